# bindings/guides/build.mk - the guides for who comes from another cache: `make check-guides`; included by the Makefile.
#
# SPDX-License-Identifier: MIT

# ARGS: the guides to run; all of them if none is given.
.PHONY: check-guides
check-guides: python all
	$(PYTHON_VENV)/ruff check -q --no-cache --config $(PYTHON_HERE)/pyproject.toml --ignore D bindings/guides/check
	$(PYTHON_VENV)/ruff format -q --no-cache --check --config $(PYTHON_HERE)/pyproject.toml bindings/guides/check
	$(PYTHON_RUN) ci/with-postgres $(PYTHON_VENV)/python bindings/guides/check $(ARGS)
