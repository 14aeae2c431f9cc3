# bindings/python/build.mk - Python's binding: `make python check-python install-python`; included by the Makefile.
#
# SPDX-License-Identifier: MIT
#
# PYTHON names the interpreter. Made under $(B)/python/:
#   lib/      the package as it is imported, with the raw layer: PYTHONPATH=build/python/lib
#   sdist/    what the source distribution is made of, generated code included
#   dist/     the source distribution and the wheel
#   venv/     an environment with what tests and checks need, pinned in requirements.txt
#   django/   Django's tests of cache backends, of the same version

PYTHON ?= python3
PYTHON_HERE := bindings/python
PYTHON_B := $(B)/python
PYTHON_SOURCES := $(sort $(shell find $(PYTHON_HERE)/src/pgcache -name '*.py' -o -name '*.pyi' -o -name py.typed))
python_copy = (cd $(PYTHON_HERE)/src && cp --parents $(PYTHON_SOURCES:$(PYTHON_HERE)/src/%=%) '$(abspath $(1))')
PYTHON_RAW := $(sort $(wildcard $(PYTHON_HERE)/raw/*.c))
PYTHON_OBJECTS := $(PYTHON_B)/obj/wrap.o $(PYTHON_RAW:$(PYTHON_HERE)/raw/%.c=$(PYTHON_B)/obj/%.o)
PYTHON_MODULE := $(PYTHON_B)/lib/pgcache/_pgcache.so
PYTHON_RUN = env LD_LIBRARY_PATH='$(CURDIR)/$(B)' PYTHONPATH='$(CURDIR)/$(PYTHON_B)/lib' PATH="$(CURDIR)/$(B):$$PATH" PYTHONDONTWRITEBYTECODE=1 \
  PGCACHE_DJANGO_TESTS='$(CURDIR)/$(PYTHON_B)/django/tests'
PYTHON_VENV := $(PYTHON_B)/venv/bin

.PHONY: python
python: $(PYTHON_MODULE) $(PYTHON_B)/lib/ready $(PYTHON_B)/venv/ready $(PYTHON_B)/django/ready

# ---- The raw layer and the package ---------------------------------------------------------------------------------------------

# What SWIG cannot read it drops with a warning; no such thing may be in the header.
$(PYTHON_B)/obj/wrap.c: bindings/pgcache.i $(PYTHON_HERE)/python.i abi/pgcache.h
	@mkdir -p $(@D)
	$(SAY) SWIG $@
	$(Q)$(SWIG) -python -builtin -threads -Wextra -Werror -DSWIGWORDSIZE64 -Iabi -Ibindings -module pgcache -outdir $(@D) -o $@ $<
	@rm -f $(@D)/pgcache.py

# Another interpreter has other headers.
$(PYTHON_B)/interpreter: FORCE
	@mkdir -p $(@D)
	@$(PYTHON) -c 'import sys, sysconfig; print(sys.version, sysconfig.get_paths()["include"])' >$(NEW)
	@cmp -s $(NEW) $@ && rm -f $(NEW) || mv $(NEW) $@

python_include = -isystem "$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_paths()["include"])')"
$(PYTHON_B)/obj/wrap.o: $(PYTHON_B)/obj/wrap.c $(PYTHON_HERE)/raw/convert.h $(PYTHON_B)/interpreter
	$(SAY) CC $@
	$(Q)$(CC) -O2 -g -fPIC -fvisibility=hidden -Iabi -I$(PYTHON_HERE)/raw $(python_include) -c -o $@ $<
$(PYTHON_B)/obj/%.o: $(PYTHON_HERE)/raw/%.c $(PYTHON_HERE)/raw/convert.h abi/pgcache.h $(PYTHON_B)/interpreter
	@mkdir -p $(@D)
	$(SAY) CC $@
	$(Q)$(CC) -std=c11 -Wall -Wextra -Wshadow -Werror=implicit-function-declaration $(if $(WERROR),-Werror) -O2 -g -fPIC -fvisibility=hidden -Iabi $(python_include) -c -o $@ $<
$(PYTHON_MODULE): $(PYTHON_OBJECTS) $(SHARED_LINKS)
	@mkdir -p $(@D)
	$(SAY) LD $@
	$(Q)$(CC) -shared -o $@ $(PYTHON_OBJECTS) -L$(B) -lpgcache
$(PYTHON_B)/lib/ready: $(PYTHON_SOURCES)
	@mkdir -p $(@D)/pgcache
	@find $(@D)/pgcache \( -name '*.py' -o -name '*.pyi' \) -delete
	@$(call python_copy,$(@D))
	@touch $@

$(PYTHON_B)/venv/ready: $(PYTHON_HERE)/requirements.txt $(PYTHON_B)/interpreter
	$(SAY) PIP $(@D)
	$(Q)$(PYTHON) -m venv --clear $(@D) && $(PYTHON_VENV)/python -m pip install -q --disable-pip-version-check -r $<
	@touch $@

$(PYTHON_B)/django/ready: $(PYTHON_B)/venv/ready
	$(SAY) PIP $(@D)
	@rm -rf $(@D) && mkdir -p $(@D)
	$(Q)$(PYTHON_VENV)/python -m pip download -q --disable-pip-version-check --no-deps --no-binary :all: --no-build-isolation -d $(@D) \
	  "$$(grep '^django==' $(PYTHON_HERE)/requirements.txt)"
	$(Q)tar -xzf $(@D)/[Dd]jango-*.tar.gz -C $(@D) --strip-components=1 --wildcards '*/tests/cache'
	@touch $@

# ---- Tests and checks ------------------------------------------------------------------------------------------------------------

# ARGS go to pytest: make test-python ARGS='-k A07'. PGCACHE_LONG=1: with the long ones.
.PHONY: check-python test-python lint-python package-python
check-python: python
	ci/side-by-side '$(MAKE) lint-python package-python' '$(MAKE) test-python'
test-python: python all
	$(PYTHON_RUN) ci/with-postgres $(PYTHON_VENV)/python -m pytest -c $(PYTHON_HERE)/pyproject.toml --rootdir $(PYTHON_HERE) \
	  $(PYTHON_HERE)/tests $(ARGS)
lint-python: python
	$(PYTHON_VENV)/ruff check -q --no-cache --config $(PYTHON_HERE)/pyproject.toml $(PYTHON_HERE)
	$(PYTHON_VENV)/ruff format -q --no-cache --check --config $(PYTHON_HERE)/pyproject.toml $(PYTHON_HERE)
	$(PYTHON_VENV)/mypy --config-file $(PYTHON_HERE)/pyproject.toml --cache-dir $(PYTHON_B)/mypy $(PYTHON_HERE)/src/pgcache \
	  $(PYTHON_HERE)/tests/typing_test.py $(PYTHON_HERE)/examples
	PYRIGHT_PYTHON_CACHE_DIR='$(CURDIR)/$(PYTHON_B)/pyright' $(PYTHON_VENV)/pyright --project $(PYTHON_HERE)/pyproject.toml --pythonpath $(PYTHON_VENV)/python
# The source distribution, a wheel with the library in it, and both at work in a clean environment.
package-python: $(PYTHON_B)/sdist/ready python all
	$(PYTHON_HERE)/tests/package $(B)
$(PYTHON_B)/sdist/ready: $(PYTHON_SOURCES) $(PYTHON_RAW) $(PYTHON_B)/obj/wrap.c \
  $(addprefix $(PYTHON_HERE)/,raw/convert.h setup.py pyproject.toml README.md MANIFEST.in)
	@rm -rf $(@D) && mkdir -p $(@D)/raw $(@D)/src
	@$(call python_copy,$(@D)/src)
	@cp $(PYTHON_RAW) $(PYTHON_HERE)/raw/convert.h $(PYTHON_B)/obj/wrap.c $(@D)/raw/
	@cp $(addprefix $(PYTHON_HERE)/,setup.py pyproject.toml README.md MANIFEST.in) LICENSE $(@D)/
	@touch $@

# The API documentation, as text, of the docstrings.
.PHONY: doc-python
doc-python: python
	$(PYTHON_RUN) $(PYTHON_VENV)/python -m pdoc -o $(PYTHON_B)/doc pgcache pgcache.compat pgcache.errors pgcache.serializers pgcache.django \
	  pgcache.fastapi pgcache.opentelemetry pgcache.prometheus pgcache.psycopg pgcache.sentry pgcache.sqlalchemy

# Into the environment of PYTHON, by its pip, unless PREFIX is set; needs the library installed (or PGCACHE_CFLAGS and PGCACHE_LIBS).
.PHONY: install-python
install-python: $(PYTHON_B)/sdist/ready
	$(PYTHON) -m pip install $(if $(DESTDIR),--root '$(DESTDIR)') $(if $(filter file,$(origin PREFIX)),,--prefix '$(PREFIX)') --no-deps $(PYTHON_B)/sdist
