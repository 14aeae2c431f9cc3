# bindings/guides/build.mk - the guides for who comes from another cache, and the README's code: `make check-guides`; included by the Makefile.
#
# SPDX-License-Identifier: MIT

# ARGS: the guides to run; all of them, and the code of the README, if none is given.
.PHONY: check-guides
check-guides: bindings all
	$(PYTHON_VENV)/ruff check -q --no-cache --config $(PYTHON_HERE)/pyproject.toml --ignore D bindings/guides/check*
	$(PYTHON_VENV)/ruff format -q --no-cache --check --config $(PYTHON_HERE)/pyproject.toml bindings/guides/check*
	$(if $(ARGS),,env $(GO_ENV) $(PYTHON_RUN) ci/with-postgres $(PYTHON_VENV)/python bindings/guides/check-readme)
	$(PYTHON_RUN) ci/with-postgres $(PYTHON_VENV)/python bindings/guides/check $(ARGS)
