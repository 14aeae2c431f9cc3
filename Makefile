# Makefile - builds, tests and installs pgcache. `make help` lists the targets.
#
# SPDX-License-Identifier: MIT
#
# Everything is made under build/ (build/VARIANT/ for a variant). All paths are relative, so that the tree may stand in
# a folder whose name has spaces. Nothing here writes outside of build/ but install, uninstall and format.

.DEFAULT_GOAL := all
VARIANT ?=
B := build$(if $(VARIANT),/$(VARIANT))

# ---- What may be set from outside ------------------------------------------------------------------------------------

ifeq ($(origin CC),default)
CC := cc
endif
ifeq ($(origin CXX),default)
CXX := c++
endif
AR ?= ar
WERROR ?=
# 0 leaves out the static tracepoints, which are there if <sys/sdt.h> is.
USDT ?=
ARGS ?=
# One short line for each file that is made; V=1 shows the commands, -s nothing.
V ?=
Q := $(if $(filter 1,$(V)),,@)
SAY := @$(if $(V)$(findstring s,$(firstword -$(MAKEFLAGS))),:,printf '  %-3s %s\n')

PREFIX ?= /usr/local
prefix ?= $(PREFIX)
exec_prefix ?= $(prefix)
bindir ?= $(exec_prefix)/bin
libdir ?= $(exec_prefix)/lib
includedir ?= $(prefix)/include
datadir ?= $(prefix)/share
mandir ?= $(datadir)/man
docdir ?= $(datadir)/doc/pgcache
pkgconfigdir ?= $(libdir)/pkgconfig
bashcompletiondir ?= $(datadir)/bash-completion/completions
zshcompletiondir ?= $(datadir)/zsh/site-functions
monitoringdir ?= $(datadir)/pgcache
DESTDIR ?=

# ---- Variants ----------------------------------------------------------------------------------------------------------

# What a rule writes before it is known to be complete and new: several makes may be at work side by side.
PROCESS := $(shell echo $$PPID)
NEW = $@.$(PROCESS).tmp

VARIANTS := asan tsan coverage fuzz clang
ifneq ($(filter-out $(VARIANTS),$(VARIANT)),)
$(error VARIANT must be empty or one of: $(VARIANTS))
endif

variant_flags_asan := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
# What is counted is checked at the same time, so that all tests run once for both; but for the checks of UBSan that add branches of
# their own where nothing can go wrong, which stand with TSan. The tests are those of the plain build in both: what is looked at is
# the library, and most of the time would go into compiling them.
counted_elsewhere := nonnull-attribute,bool,shift,integer-divide-by-zero
variant_flags_tsan := -fsanitize=thread,$(counted_elsewhere) -fno-sanitize-recover=all -fno-omit-frame-pointer
variant_flags_coverage := --coverage -fprofile-update=atomic $(variant_flags_asan) -fno-sanitize=$(counted_elsewhere)
variant_flags_fuzz := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
variant_optimize_asan := -O1 -g
variant_optimize_tsan := -O1 -g
variant_optimize_coverage := -O0 -g
variant_optimize_fuzz := -O1 -g
VARIANT_FLAGS := $(variant_flags_$(VARIANT))
CFLAGS ?= $(or $(variant_optimize_$(VARIANT)),-O2 -g)
# Tests alone are C++: quick to compile is what counts. UBSan takes seven times as long, and is for the library.
CXXFLAGS ?= -O0 -g
VARIANT_CXXFLAGS := $(patsubst %,-fsanitize=address,$(filter asan,$(VARIANT))) \
  $(filter-out $(variant_flags_asan) $(variant_flags_coverage),$(VARIANT_FLAGS))

# ---- Files -------------------------------------------------------------------------------------------------------------

VERSION := $(shell sed -n 's/^.define PGCACHE_VERSION_STRING "\(.*\)"/\1/p' abi/pgcache.h)
SOVERSION := $(firstword $(subst ., ,$(VERSION)))
LIB_SOURCES := $(sort $(wildcard $(foreach layer,platform pure state store engine operations api,impl/$(layer)/*.c)))
SQL_FILES := $(sort $(wildcard impl/sql/*.sql impl/sql/*/*.sql))
LIB_OBJECTS := $(LIB_SOURCES:%.c=$(B)/obj/%.o) $(B)/obj/gen/pgc_sql.o
CLI_OBJECTS := $(patsubst %.c,$(B)/obj/%.o,$(sort $(wildcard impl/cli/*.c)))
# What the command shares with the library beside the public interface: reading addresses; and with libpgcache-prometheus: its text.
CLI_INTERNAL := $(filter $(B)/obj/impl/pure/address.o $(B)/obj/impl/pure/error.o $(B)/obj/impl/platform/memory.o, \
  $(LIB_OBJECTS)) $(B)/obj/instrumentation/prometheus/exposition.o $(B)/obj/instrumentation/prometheus/words.o
EXAMPLES := $(patsubst abi/examples/%.c,$(B)/examples/%,$(sort $(wildcard abi/examples/*.c)))
BENCH_OBJECTS := $(patsubst %.c,$(B)/obj/%.o,$(sort $(wildcard tests/bench/*.c)))
SPANS := $(B)/obj/instrumentation/spans/spans.o
FUZZERS := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
# libpgcache-prometheus needs libmicrohttpd, and is left out where that is not.
MICROHTTPD_LIBS := $(shell pkg-config --exists libmicrohttpd 2>/dev/null && echo `pkg-config --libs libmicrohttpd` -lm)
PROMETHEUS_OBJECTS := $(patsubst %.c,$(B)/obj/%.o,$(sort $(wildcard instrumentation/prometheus/*.c)))
PROMETHEUS := $(B)/libpgcache-prometheus.so.$(VERSION)
PROMETHEUS_LINKS := $(B)/libpgcache-prometheus.so.$(SOVERSION) $(B)/libpgcache-prometheus.so
PROMETHEUS_STATIC := $(B)/libpgcache-prometheus.a
PROMETHEUS_ALL := $(if $(MICROHTTPD_LIBS),$(PROMETHEUS) $(PROMETHEUS_LINKS) $(PROMETHEUS_STATIC) $(B)/pgcache-prometheus.pc)
# A suite is a folder of tests/ with Catch2 tests; it becomes one program. tests/support helps those that need a server.
SUITES := $(foreach suite,unit store async near loads faults $(if $(MICROHTTPD_LIBS),prometheus),$(if $(wildcard tests/$(suite)/*.cpp),$(suite)))
TESTS_B := $(if $(filter coverage tsan,$(VARIANT)),build,$(B))
SUPPORT_OBJECTS := $(patsubst %.cpp,$(TESTS_B)/obj/%.o,$(filter-out %/main.cpp,$(sort $(wildcard tests/support/*.cpp))))
SOAK_OBJECTS := $(patsubst %.cpp,$(TESTS_B)/obj/%.o,$(sort $(wildcard tests/soak/*.cpp)))
HARNESS_OBJECTS := $(patsubst %.cpp,$(TESTS_B)/obj/%.o,$(sort $(wildcard tests/harness/*.cpp)))
HISTORY_OBJECTS := $(patsubst %.cpp,$(TESTS_B)/obj/%.o,$(sort $(wildcard tests/histories/*.cpp)))
SUPPORT_MAIN := $(patsubst %.cpp,$(TESTS_B)/obj/%.o,$(wildcard tests/support/main.cpp))

SHARED := $(B)/libpgcache.so.$(VERSION)
SHARED_LINKS := $(B)/libpgcache.so.$(SOVERSION) $(B)/libpgcache.so
STATIC := $(B)/libpgcache.a
COMMAND := $(if $(CLI_OBJECTS),$(B)/pgcache)

# ---- Flags ---------------------------------------------------------------------------------------------------------------

# These targets start before there is a compiler, or need none.
SIMPLE_TARGETS := check check-long demo clean help format check-format tidy dist uninstall
ifneq ($(filter-out $(SIMPLE_TARGETS),$(or $(MAKECMDGOALS),all)),)
# The answers of ci/probe-flags, asked anew for another compiler or other flags.
PROBE := $(B)/probe-$(shell printf '%s' '$(CC) $(CFLAGS) $(VARIANT_FLAGS)' | cksum | tr -d ' ').mk
include $(PROBE)
endif
$(PROBE): ci/probe-flags
	@mkdir -p $(B)
	@CC='$(CC)' CFLAGS='$(CFLAGS) $(VARIANT_FLAGS)' ci/probe-flags >$(NEW) && mv $(NEW) $@

# A sanitizer brings its own checks, and with clang its run-time stands in the program alone.
ifneq ($(filter asan tsan coverage fuzz,$(VARIANT)),)
HARDENING_CFLAGS :=
SHARED_LDFLAGS := $(filter-out %defs,$(SHARED_LDFLAGS))
endif

INCLUDES := -Iimpl -Iabi -Iinstrumentation/prometheus -Iinstrumentation/spans -I$(B)/gen
ALL_CPPFLAGS := $(INCLUDES) -D_GNU_SOURCE $(if $(filter 0,$(USDT)),,$(USDT_CPPFLAGS)) $(PQ_CFLAGS) $(SODIUM_CFLAGS) \
  $(CPPFLAGS)
ALL_CFLAGS := -std=c11 $(WARNINGS) $(if $(WERROR),-Werror) -fvisibility=hidden -fPIC -pthread $(HARDENING_CFLAGS) \
  $(CFLAGS) $(VARIANT_FLAGS)
ALL_CXXFLAGS := -std=c++17 -Wall -Wextra -Wpedantic -Wshadow $(if $(WERROR),-Werror) -pthread $(CXXFLAGS) \
  $(VARIANT_CXXFLAGS)
ALL_LDFLAGS := -pthread $(HARDENING_LDFLAGS) $(VARIANT_FLAGS) $(LDFLAGS)
# dlopen() stands in libc since glibc 2.34.
LIBS := $(PQ_LIBS) $(SODIUM_LIBS) -ldl -lm

# What is linked into programs to count what forked children cover, too.
ifeq ($(VARIANT),coverage)
COUNT_EXITS := $(B)/obj/ci/coverage-exit.o
COUNT_EXITS_LDFLAGS := -Wl,--wrap=_exit,--wrap=execv,--wrap=execvp,--wrap=raise
endif

# ---- Default ---------------------------------------------------------------------------------------------------------------

.PHONY: all FORCE
.DELETE_ON_ERROR:
.SUFFIXES:
all: $(SHARED) $(SHARED_LINKS) $(STATIC) $(COMMAND) $(B)/pgcache.pc $(PROMETHEUS_ALL)

FORCE:

# Recompile what was compiled with another compiler or other flags, and link again when a file was removed. Without warnings as
# errors comes out what came out with them.
$(B)/flags: FORCE
	@mkdir -p $(B)
	@printf '%s\n' '$(CC) $(CXX) $(filter-out -Werror,$(ALL_CPPFLAGS) $(ALL_CFLAGS) $(ALL_CXXFLAGS)) $(ALL_LDFLAGS)' >$(NEW)
	@cmp -s $(NEW) $@ && rm -f $(NEW) || mv $(NEW) $@
$(B)/files: FORCE
	@mkdir -p $(B)
	@printf '%s\n' $(LIB_SOURCES) $(SQL_FILES) >$(NEW)
	@cmp -s $(NEW) $@ && rm -f $(NEW) || mv $(NEW) $@

# ---- Compile -----------------------------------------------------------------------------------------------------------------

$(B)/gen/pgc_sql.c: impl/sql/functions impl/sql/embed $(SQL_FILES) $(B)/files
	@mkdir -p $(@D)
	$(SAY) SQL $@
	$(Q)impl/sql/functions $(B)/gen $(filter impl/sql/statements/%,$(SQL_FILES))
	$(Q)impl/sql/embed $(B)/gen/pgc_sql.h $(B)/gen/pgc_sql.c $(SQL_FILES) $(B)/gen/sql/*/*.sql
$(B)/gen/pgc_sql.h: $(B)/gen/pgc_sql.c ;

$(B)/obj/gen/%.o: $(B)/gen/%.c $(B)/flags
	@mkdir -p $(@D)
	$(SAY) CC $@
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/obj/%.o: %.c $(B)/flags | $(B)/gen/pgc_sql.h
	@mkdir -p $(@D)
	$(SAY) CC $@
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# All C++ is tests. What they include anyway is compiled once, a third of their time; but main.cpp asks Catch2 for more.
COMMON := $(B)/obj/tests/support/common.hpp
COMPILE_TEST = $(CXX) $(ALL_CPPFLAGS) -Itests -Itests/support $(ALL_CXXFLAGS) -MMD -MP
$(COMMON).gch: tests/support/common.hpp $(B)/flags
	@mkdir -p $(@D)
	@printf '#error "%s.gch does not fit"\n' '$(@F)' >$(COMMON)
	$(SAY) CXX $@
	$(Q)$(COMPILE_TEST) -MF $(COMMON).d -x c++-header -o $@ $<
$(B)/obj/%.o: %.cpp $(B)/flags $(COMMON).gch | $(B)/gen/pgc_sql.h
	@mkdir -p $(@D)
	$(SAY) CXX $@
	$(Q)$(COMPILE_TEST) $(if $(filter %/main.cpp,$<),,-include $(COMMON)) -c -o $@ $<

-include $(shell test -d $(B)/obj && find $(B)/obj -name '*.d')

# ---- Link ------------------------------------------------------------------------------------------------------------------------

$(SHARED): $(LIB_OBJECTS) abi/pgcache.map $(B)/files
	$(SAY) LD $@
	$(Q)$(CC) -shared -Wl,-soname,libpgcache.so.$(SOVERSION) -Wl,--version-script=abi/pgcache.map $(SHARED_LDFLAGS) \
	  $(ALL_LDFLAGS) -o $@ $(LIB_OBJECTS) $(LIBS)
$(SHARED_LINKS): $(SHARED)
	@ln -sf $(notdir $(SHARED)) $@

$(STATIC): $(LIB_OBJECTS) $(B)/files
	@rm -f $@
	$(SAY) AR $@
	$(Q)$(AR) rcs $@ $(LIB_OBJECTS)

# It calls libpgcache.so, which its users link anyway.
$(PROMETHEUS): $(PROMETHEUS_OBJECTS) instrumentation/prometheus/pgcache_prometheus.map $(SHARED_LINKS)
	$(SAY) LD $@
	$(Q)$(CC) -shared -Wl,-soname,libpgcache-prometheus.so.$(SOVERSION) \
	  -Wl,--version-script=instrumentation/prometheus/pgcache_prometheus.map $(SHARED_LDFLAGS) \
	  $(ALL_LDFLAGS) -o $@ $(PROMETHEUS_OBJECTS) -L$(B) -lpgcache $(MICROHTTPD_LIBS)
$(PROMETHEUS_LINKS): $(PROMETHEUS)
	@ln -sf $(notdir $(PROMETHEUS)) $@
$(PROMETHEUS_STATIC): $(PROMETHEUS_OBJECTS)
	@rm -f $@
	$(SAY) AR $@
	$(Q)$(AR) rcs $@ $(PROMETHEUS_OBJECTS)

$(B)/pgcache: $(CLI_OBJECTS) $(CLI_INTERNAL) $(COUNT_EXITS) $(SHARED_LINKS)
	$(SAY) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) $(COUNT_EXITS_LDFLAGS) -Wl,-rpath,'$$ORIGIN' -o $@ $(filter %.o,$^) -L$(B) -lpgcache $(PQ_LIBS) -lm
# The same without the build tree's search path.
$(B)/install/pgcache: $(CLI_OBJECTS) $(CLI_INTERNAL) $(SHARED_LINKS)
	@mkdir -p $(@D)
	$(SAY) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(CLI_OBJECTS) $(CLI_INTERNAL) -L$(B) -lpgcache $(PQ_LIBS) -lm

$(B)/pgcache.pc: pgcache.pc.in abi/pgcache.h Makefile FORCE
	@mkdir -p $(B)
	@sed -e 's|@prefix@|$(prefix)|; s|@exec_prefix@|$(exec_prefix)|; s|@libdir@|$(libdir)|' \
	  -e 's|@includedir@|$(includedir)|; s|@version@|$(VERSION)|; s|@libs@|$(strip $(LIBS))|' pgcache.pc.in >$(NEW)
	@cmp -s $(NEW) $@ && rm -f $(NEW) || mv $(NEW) $@

$(B)/pgcache-prometheus.pc: instrumentation/prometheus/pgcache-prometheus.pc.in abi/pgcache.h Makefile FORCE
	@mkdir -p $(B)
	@sed -e 's|@prefix@|$(prefix)|; s|@exec_prefix@|$(exec_prefix)|; s|@libdir@|$(libdir)|' \
	  -e 's|@includedir@|$(includedir)|; s|@version@|$(VERSION)|; s|@libs@|$(strip $(MICROHTTPD_LIBS))|' $< >$(NEW)
	@cmp -s $(NEW) $@ && rm -f $(NEW) || mv $(NEW) $@

# ci/demo does without libuv and libmicrohttpd, and so without the examples for them; the tests want them.
UV_LIBS := $(shell pkg-config --libs libuv 2>/dev/null)
EXAMPLES := $(filter-out $(if $(UV_LIBS),,%/async_libuv) $(if $(MICROHTTPD_LIBS),,%/prometheus),$(EXAMPLES))
.PHONY: examples
examples: $(EXAMPLES)
$(B)/examples/%: $(B)/obj/abi/examples/%.o $(SHARED_LINKS)
	@mkdir -p $(@D)
	$(SAY) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -Wl,-rpath,'$$ORIGIN/..' -o $@ $< -L$(B) -lpgcache $(PQ_LIBS) $(EXAMPLE_LIBS) -lm
$(B)/obj/abi/examples/async_libuv.o: ALL_CPPFLAGS += $(shell pkg-config --cflags libuv 2>/dev/null)
$(B)/examples/async_libuv: EXAMPLE_LIBS := $(UV_LIBS)
$(B)/examples/prometheus: $(PROMETHEUS_ALL)
$(B)/examples/prometheus: EXAMPLE_LIBS := -lpgcache-prometheus

# The texts of the statements are no part of the interface: the bare loops have a copy of their own.
$(B)/bench: $(BENCH_OBJECTS) $(SPANS) $(B)/obj/gen/pgc_sql.o $(SHARED_LINKS)
	$(SAY) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -Wl,-rpath,'$$ORIGIN' -o $@ $(BENCH_OBJECTS) $(SPANS) $(B)/obj/gen/pgc_sql.o -L$(B) -lpgcache \
	  $(PQ_LIBS) $(HIREDIS_LIBS) -lm
# The comparison with Redis alone needs hiredis. Whether it is there is asked each time, so that installing it is enough.
HIREDIS_CFLAGS = $(patsubst -I%,-isystem %,$(shell pkg-config --exists hiredis && echo -DBENCH_HIREDIS && \
  pkg-config --cflags hiredis))
HIREDIS_LIBS = $(shell pkg-config --exists hiredis && pkg-config --libs hiredis)
$(B)/obj/tests/bench/redis.o: ALL_CPPFLAGS += $(HIREDIS_CFLAGS)
$(B)/obj/tests/bench/redis.o: $(B)/hiredis
$(B)/hiredis: FORCE
	@mkdir -p $(@D)
	@echo '$(HIREDIS_CFLAGS)' >$(NEW)
	@cmp -s $(NEW) $@ && rm -f $(NEW) || mv $(NEW) $@

# ---- Tests -----------------------------------------------------------------------------------------------------------------------

# One program for each suite; a suite without a main.cpp of its own takes that of tests/support.
suite_objects = $(patsubst %.cpp,$(TESTS_B)/obj/%.o,$(sort $(wildcard tests/$(1)/*.cpp))) \
  $(if $(wildcard tests/$(1)/main.cpp),,$(SUPPORT_MAIN)) $(if $(filter-out unit,$(1)),$(SUPPORT_OBJECTS)) \
  $(if $(filter store,$(1)),$(SPANS))
define suite_rule
$(B)/tests/$(1): $(call suite_objects,$(1)) $(COUNT_EXITS) $(suite_static_$(1)) $(STATIC)
	@mkdir -p $$(@D)
	$$(SAY) LD $$@
	$$(Q)$$(CXX) $$(ALL_LDFLAGS) $$(COUNT_EXITS_LDFLAGS) $(suite_ldflags_$(1)) -o $$@ $$(filter %.o,$$^) $(suite_static_$(1)) $(STATIC) $$(CATCH2_LIBS) \
	  $(if $(suite_static_$(1)),$(MICROHTTPD_LIBS)) $$(LIBS)
endef
suite_static_prometheus := $(PROMETHEUS_STATIC)
suite_ldflags_prometheus := -Wl,--wrap=calloc,--wrap=realloc,--wrap=strdup
$(foreach suite,$(SUITES),$(eval $(call suite_rule,$(suite))))

TEST_OBJECTS := $(filter $(TESTS_B)/obj/tests/%,$(sort $(foreach suite,$(SUITES),$(call suite_objects,$(suite))) \
  $(SOAK_OBJECTS) $(HARNESS_OBJECTS) $(HISTORY_OBJECTS)))
.PHONY: test-objects
ifeq ($(TESTS_B),$(B))
test-objects: $(TEST_OBJECTS)
else
test-objects:
	$(Q)$(MAKE) VARIANT= test-objects
$(TEST_OBJECTS): test-objects
	@:
endif

# No Catch2: it runs for as long as it is told, in several processes.
$(B)/tests/soak: $(SOAK_OBJECTS) $(SUPPORT_OBJECTS) $(STATIC)
	@mkdir -p $(@D)
	$(SAY) LD $@
	$(Q)$(CXX) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(STATIC) $(LIBS) -ldl
$(B)/tests/harness: $(HARNESS_OBJECTS) $(SUPPORT_OBJECTS) $(STATIC)
	@mkdir -p $(@D)
	$(SAY) LD $@
	$(Q)$(CXX) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(STATIC) $(LIBS) -ldl
$(B)/tests/histories: $(HISTORY_OBJECTS) $(SUPPORT_OBJECTS) $(STATIC)
	@mkdir -p $(@D)
	$(SAY) LD $@
	$(Q)$(CXX) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(STATIC) $(LIBS) -ldl

# The harness with a bug in the library, which it must find: the files that know the bug are compiled once more with it. That
# of EXCLUDED_VERSION is in SQL, which has no preprocessor.
PLANTS := NAIVE_FILL PLACEHOLDER_FILL NO_FLUSH NO_RECONNECT_FLUSH EXCLUDED_VERSION NAIVE_CURSOR DROPPED_NOTIFY
.PHONY: planted planted-programs
planted-programs: $(PLANTS:%=$(B)/planted/%)
planted: planted-programs
	ci/planted $(B)/planted $(PLANTS)
$(B)/planted/%: $(HARNESS_OBJECTS) $(SUPPORT_OBJECTS) $(LIB_OBJECTS) Makefile
	@mkdir -p $(@D)/$*.obj
	$(SAY) LD $@
	$(Q)set -e; objects='$(LIB_OBJECTS)'; \
	  if [ '$*' = EXCLUDED_VERSION ]; then \
	    sources=$(@D)/$*.obj/pgc_sql.c; \
	    ci/plant-version $(@D)/$*.obj; \
	  else \
	    sources=$$(grep -lw 'PGC_PLANT_$*' $(LIB_SOURCES)) || { echo 'planted: no file knows PGC_PLANT_$*' >&2; exit 1; }; \
	  fi; \
	  for source in $$sources; do \
	    name=$$(basename "$$source" .c); \
	    $(CC) $(ALL_CPPFLAGS) -DPGC_PLANT_$* $(ALL_CFLAGS) -c -o $(@D)/$*.obj/$$name.o "$$source"; \
	    objects=$$(printf '%s\n' $$objects | sed "s|.*/$$name\.o\$$|$(@D)/$*.obj/$$name.o|"); \
	  done; \
	  $(CXX) $(ALL_LDFLAGS) -o $@ $(HARNESS_OBJECTS) $(SUPPORT_OBJECTS) $$objects $(LIBS) -ldl

.PHONY: tests test-unit test-store test-async test-near test-loads test-roles test-pooler test-near-store test-cli test-faults test-prometheus soak harness staleness loads histories
tests: $(SUITES:%=$(B)/tests/%) $(if $(MICROHTTPD_LIBS),$(B)/tests/prometheus-traffic) $(B)/tests/soak $(B)/tests/harness $(B)/tests/histories $(EXAMPLES)

# TESTED=coverage: what each suite is run with in .ci/run, which has built it; roles, poolers and whatever is not written in C++
# have the plain library all the same.
RUN := $(if $(TESTED),build/$(TESTED),$(B))
# ARGS go to the test program: make test-store ARGS='[A07]'
test-unit: $(B)/tests/unit
	$(RUN)/tests/unit $(ARGS)
test-store: $(B)/tests/store all
	$(if $(ARGS),ci/with-postgres $(RUN)/tests/store $(ARGS),ci/in-parts 6 $(RUN)/tests/store)
# What the library does, with handles that log in as application roles; see tests/support/server.hpp. ARGS go to the store's tests,
# and then loads and requests are left out.
ROLES_TESTS := [model],[add],[cas],[replace],[touch],[exists],[increment],[cleanup]~[crash],[stats],[keys],[value]
ROLES_LOADS := [basics],[dependents]~[memory],[rule:dependencies]
ROLES_REQUESTS := [many]~[rule:late],[model]~[direct]
# A role kept to namespaces has no part in the walk over all of them.
ROLES_TESTS_restricted := $(subst [cleanup]~[crash],[A05]~[slices],$(ROLES_TESTS))
# Nor has it keyed digests.
ROLES_LOADS_restricted := $(subst [basics],[basics]~[digests],$(ROLES_LOADS))
test-roles: $(B)/tests/store $(if $(ARGS),,$(B)/tests/loads $(B)/tests/async) all
	ci/side-by-side -j 3 $(foreach access,functions tables restricted,"echo 'as a role with: $(access)'; \
	  PGCACHE_TEST_ACCESS=$(access) ci/with-postgres $(B)/tests/store \
	  $(or $(ARGS),'$(or $(ROLES_TESTS_$(access)),$(ROLES_TESTS))')" $(if $(ARGS),, \
	  "echo 'loads and requests of a role with: $(access)'; PGCACHE_TEST_ACCESS=$(access) ci/with-postgres sh -c \"$(B)/tests/loads '$(or $(ROLES_LOADS_$(access)),$(ROLES_LOADS))' && \
	  $(B)/tests/async '$(ROLES_REQUESTS)'\""))
# The store's tests once more, each Store behind a PgBouncer in transaction mode with prepared=off: those that say most
# about statements in a few seconds; make check-long: all that do not need sessions of their own.
POOLER_TESTS := $(if $(PGCACHE_LONG),~[direct],[pooler],[model],[add],[cas],[replace],[touch],[exists],[increment],[flush],[keys],[stats],[value],[version],[init],[migrations],[changed],[epoch])
test-pooler: $(B)/tests/store all
	PGCACHE_TEST_POOLER=1 ci/in-parts 2 $(B)/tests/store $(or $(ARGS),'$(POOLER_TESTS)')
# The same with a near cache in every handle, where no round trips are counted: what is written is read from copies.
NEAR_TESTS := [model],[add],[cas],[replace],[touch],[exists],[increment],[keys],[stats],[value]~[limits]
test-near-store: $(B)/tests/store all
	PGCACHE_TEST_NEAR=1 ci/in-parts 2 $(B)/tests/store $(or $(ARGS),'$(NEAR_TESTS)')
test-async: $(B)/tests/async all
	$(if $(ARGS),ci/with-postgres $(RUN)/tests/async $(ARGS),ci/in-parts 4 $(RUN)/tests/async)
test-near: $(B)/tests/near all
	$(if $(ARGS),ci/with-postgres $(RUN)/tests/near $(ARGS),ci/in-parts 4 $(RUN)/tests/near)
test-loads: $(B)/tests/loads all
	$(if $(ARGS),ci/with-postgres $(RUN)/tests/loads $(ARGS),ci/in-parts 4 $(RUN)/tests/loads)
test-faults: $(B)/tests/faults all
	ci/with-postgres $(RUN)/tests/faults $(ARGS)
# The exporter by itself, then with a program whose figures a real Prometheus scrapes.
ifneq ($(MICROHTTPD_LIBS),)
test-prometheus: $(B)/tests/prometheus $(B)/tests/prometheus-traffic all
	$(RUN)/tests/prometheus $(ARGS)
	$(if $(ARGS),,BUILD=$(B) ci/with-postgres tests/prometheus/run)
else
test-prometheus:
	@echo 'test-prometheus: skipped, libmicrohttpd-dev is not installed; ci/setup check installs it'
endif
$(B)/tests/prometheus-traffic: $(B)/obj/tests/prometheus/traffic.o $(PROMETHEUS_ALL) $(SHARED_LINKS)
	@mkdir -p $(@D)
	$(SAY) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -Wl,-rpath,'$$ORIGIN/..' -o $@ $(filter %.o,$^) -L$(B) -lpgcache-prometheus -lpgcache
soak: $(B)/tests/soak
	$(B)/tests/soak $(ARGS)
# URL: a server of yours; ARGS='--readers 8', see --help.
harness: $(B)/tests/harness
	$(B)/tests/harness load $(if $(URL),--url '$(URL)') $(ARGS)
staleness: $(B)/tests/harness
	$(B)/tests/harness staleness $(or $(ARGS),--faults all)
# OPERATIONS: of each kind of fault.
histories: $(B)/tests/histories
	OPERATIONS=$(or $(OPERATIONS),$(if $(PGCACHE_LONG),1000000,20000)) BUILD=$(B) tests/histories/run $(ARGS)
# LOADS: of all kinds of faults together.
loads: $(B)/tests/harness
	$(B)/tests/harness loads --faults all $(if $(LOADS),--loads $(LOADS)) $(ARGS)
test-cli: all examples
	PGCACHE_BIN=$(RUN)/pgcache $(if $(ARGS),ci/with-postgres tests/cli/run $(ARGS),tests/cli/run-all)

.PHONY: check check-long check-all light-checks
check:
	ci/setup check
	$(MAKE) check-all
check-long:
	ci/setup check
	PGCACHE_LONG=1 $(MAKE) check-all
	$(MAKE) soak ARGS='--self-test'
	$(MAKE) soak ARGS='--seconds 1800'
	$(B)/tests/harness self-test
	$(MAKE) planted
	$(MAKE) staleness ARGS='--faults all --seconds 60 --reads 10000000'
	$(MAKE) histories OPERATIONS=1000000
	$(MAKE) loads LOADS=1000000
# What mostly waits runs beside something else; what takes long begins first.
check-all: all tests bindings orders-golang $(B)/conformance light-checks
	ci/side-by-side -j 3 $(patsubst %,'$(MAKE) %',test-store check-python test-near test-loads check-golang test-async \
	  test-cli check-ruby test-near-store test-faults test-unit test-prometheus test-roles test-pooler test-conformance test-orders check-guides)
	ci/check-bindings-cover
light-checks: all
	ci/check-symbols
	$(if $(PROMETHEUS_ALL),ci/check-symbols --prometheus)
	ci/check-header
	ci/check-layers
	ci/check-citations
	ci/check-workplace
	ci/check-settings-doc
	ci/check-metrics-doc
	ci/check-probes

# ---- Fuzzing ---------------------------------------------------------------------------------------------------------------------

FUZZ_SECONDS ?= 20
.PHONY: fuzz fuzzers
fuzz:
	$(MAKE) VARIANT=fuzz CC=clang CXX=clang++ fuzzers
	@set -e; for name in $(patsubst tests/fuzz/%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c))); do \
	  echo "$$name, $(FUZZ_SECONDS) s"; mkdir -p "build/fuzz/corpus/$$name"; \
	  "build/fuzz/fuzz/$$name" -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 -verbosity=0 \
	    -artifact_prefix="build/fuzz/$$name-" "build/fuzz/corpus/$$name" "tests/fuzz/corpus/$$name"; done
fuzzers: $(FUZZERS)
$(B)/fuzz/%: $(B)/obj/tests/fuzz/%.o $(STATIC)
	@mkdir -p $(@D)
	$(SAY) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $(filter %.o,$^) $(STATIC) $(LIBS)
# What the command reads, which is no part of the library.
CLI_READERS := $(patsubst %,$(B)/obj/impl/cli/%.o,pickle pickle_json text)
$(B)/fuzz/fuzz_pickle $(B)/tests/unit: $(CLI_READERS)

# ---- Demo and measurements --------------------------------------------------------------------------------------------------------

.PHONY: demo bench trace
demo:
	ci/setup demo
	$(MAKE) all examples
	ci/demo
# ONLY=store runs one group of measurements.
bench: $(B)/bench all $(if $(filter bindings,$(ONLY)),bench-bindings)
	ONLY='$(ONLY)' ci/bench $(ARGS)
# Hit ratios of the near cache's policy; ARGS: files of keys, see --help.
trace: $(B)/pgcache-trace
	$(B)/pgcache-trace $(ARGS)
$(B)/obj/tests/trace/main.o: CXXFLAGS := -O2 -g
$(B)/pgcache-trace: $(B)/obj/tests/trace/main.o $(STATIC)
	$(SAY) LD $@
	$(Q)$(CXX) $(ALL_LDFLAGS) -o $@ $< $(STATIC) $(LIBS)

# ---- Install ----------------------------------------------------------------------------------------------------------------------

# $(call put,MODE,FILE,FOLDER[,NAME])
put = install -d '$(DESTDIR)$(3)' && install -m $(1) $(2) '$(DESTDIR)$(3)/$(or $(4),$(notdir $(2)))'
COMPLETION_BASH := $(wildcard impl/cli/completion/pgcache.bash)
COMPLETION_ZSH := $(wildcard impl/cli/completion/_pgcache)
MANPAGE := $(wildcard impl/cli/pgcache.1)
DOCUMENTS := $(wildcard LICENSE README.md CHANGELOG.md abi/ABI.md abi/ENCRYPTION.md instrumentation/METRICS.md)
# For Prometheus and Grafana: rules, alerts, the dashboard.
MONITORING := $(wildcard instrumentation/prometheus/*.yml instrumentation/prometheus/*.json)

.PHONY: install uninstall installcheck dist
install: all $(if $(COMMAND),$(B)/install/pgcache)
	$(call put,644,abi/pgcache.h,$(includedir))
	$(call put,644,abi/pgcache_hooks.h,$(includedir))
	$(call put,755,$(SHARED),$(libdir))
	ln -sf libpgcache.so.$(VERSION) '$(DESTDIR)$(libdir)/libpgcache.so.$(SOVERSION)'
	ln -sf libpgcache.so.$(VERSION) '$(DESTDIR)$(libdir)/libpgcache.so'
	$(call put,644,$(STATIC),$(libdir))
	$(call put,644,$(B)/pgcache.pc,$(pkgconfigdir))
	$(if $(PROMETHEUS_ALL),$(call put,644,instrumentation/prometheus/pgcache_prometheus.h,$(includedir)))
	$(if $(PROMETHEUS_ALL),$(call put,755,$(PROMETHEUS),$(libdir)))
	$(if $(PROMETHEUS_ALL),ln -sf $(notdir $(PROMETHEUS)) '$(DESTDIR)$(libdir)/libpgcache-prometheus.so.$(SOVERSION)')
	$(if $(PROMETHEUS_ALL),ln -sf $(notdir $(PROMETHEUS)) '$(DESTDIR)$(libdir)/libpgcache-prometheus.so')
	$(if $(PROMETHEUS_ALL),$(call put,644,$(PROMETHEUS_STATIC),$(libdir)))
	$(if $(PROMETHEUS_ALL),$(call put,644,$(B)/pgcache-prometheus.pc,$(pkgconfigdir)))
	@$(foreach file,$(MONITORING),$(call put,644,$(file),$(monitoringdir)) &&) :
	$(if $(COMMAND),$(call put,755,$(B)/install/pgcache,$(bindir)))
	$(if $(MANPAGE),$(call put,644,$(MANPAGE),$(mandir)/man1))
	$(if $(COMPLETION_BASH),$(call put,644,$(COMPLETION_BASH),$(bashcompletiondir),pgcache))
	$(if $(COMPLETION_ZSH),$(call put,644,$(COMPLETION_ZSH),$(zshcompletiondir)))
	@$(foreach document,$(DOCUMENTS),$(call put,644,$(document),$(docdir)) &&) :
	@test -n '$(DESTDIR)' || ldconfig 2>/dev/null || :

uninstall:
	rm -f '$(DESTDIR)$(includedir)/pgcache.h' '$(DESTDIR)$(includedir)/pgcache_hooks.h' '$(DESTDIR)$(libdir)/libpgcache.so.$(VERSION)' \
	  '$(DESTDIR)$(libdir)/libpgcache.so.$(SOVERSION)' '$(DESTDIR)$(libdir)/libpgcache.so' \
	  '$(DESTDIR)$(includedir)/pgcache_prometheus.h' '$(DESTDIR)$(libdir)/libpgcache-prometheus.so.$(VERSION)' \
	  '$(DESTDIR)$(libdir)/libpgcache-prometheus.so.$(SOVERSION)' '$(DESTDIR)$(libdir)/libpgcache-prometheus.so' \
	  '$(DESTDIR)$(libdir)/libpgcache-prometheus.a' '$(DESTDIR)$(pkgconfigdir)/pgcache-prometheus.pc' \
	  $(foreach file,$(MONITORING),'$(DESTDIR)$(monitoringdir)/$(notdir $(file))') \
	  '$(DESTDIR)$(libdir)/libpgcache.a' '$(DESTDIR)$(pkgconfigdir)/pgcache.pc' '$(DESTDIR)$(bindir)/pgcache' \
	  '$(DESTDIR)$(mandir)/man1/pgcache.1' '$(DESTDIR)$(bashcompletiondir)/pgcache' \
	  '$(DESTDIR)$(zshcompletiondir)/_pgcache' \
	  $(foreach document,$(DOCUMENTS),'$(DESTDIR)$(docdir)/$(notdir $(document))')
	@ci/prune-folders '$(DESTDIR)$(prefix)' '$(DESTDIR)$(includedir)' '$(DESTDIR)$(pkgconfigdir)' '$(DESTDIR)$(libdir)' \
	  '$(DESTDIR)$(bindir)' '$(DESTDIR)$(mandir)/man1' '$(DESTDIR)$(bashcompletiondir)' \
	  '$(DESTDIR)$(zshcompletiondir)' '$(DESTDIR)$(docdir)' '$(DESTDIR)$(monitoringdir)'
	@test -n '$(DESTDIR)' || ldconfig 2>/dev/null || :

installcheck: all
	ci/installcheck

dist:
	ci/dist $(VERSION) build

# ---- Bindings --------------------------------------------------------------------------------------------------------------------

# Each language has a file of its own: how it is built, checked and installed.
SWIG ?= swig
include $(sort $(wildcard bindings/*/build.mk)) tests/conformance/build.mk tests/orders/build.mk

.PHONY: bindings check-bindings
bindings: python golang ruby
# Each language by itself, then all of them with one another.
check-bindings: bindings $(B)/conformance
	ci/side-by-side '$(MAKE) check-python' '$(MAKE) check-golang' '$(MAKE) check-ruby'
	$(MAKE) test-conformance
	$(MAKE) test-orders
	$(MAKE) check-guides
	ci/check-bindings-cover

# ---- Care of the source ------------------------------------------------------------------------------------------------------------

.PHONY: format check-format tidy clean help
format:
	ci/check-format --fix
check-format:
	ci/check-format
tidy:
	$(MAKE) build/gen/pgc_sql.h
	ci/check-tidy

clean:
	rm -rf build

help:
	@echo 'make                 the library (shared and static), the command, pgcache.pc, under build/'
	@echo 'make bindings        for Python, Go and Ruby, or one of them: python, golang, ruby; check-bindings, check-python, ..., check-guides; install-python, install-ruby'
	@echo 'make check           installs what is missing, builds, runs all tests and light checks (check-long: longer runs)'
	@echo 'make demo            installs what is missing, builds, shows pgcache at work'
	@echo 'make bench           measures; ONLY=store runs one group'
	@echo 'make trace           hit ratios of the near cache, to LRU; ARGS="FILE" runs a trace of keys'
	@echo 'make test-unit       one suite; also test-store, test-async, test-near, test-loads, test-near-store, test-roles, test-pooler, test-cli, test-faults, test-prometheus; ARGS="[A07]" picks tests'
	@echo 'make soak            random operations under faults, checked; ARGS="--seconds 1800 --seed 7"'
	@echo 'make harness         load: rates, latencies, hit ratio, consistency; URL="..." takes your server, ARGS="--help" tells more'
	@echo 'make staleness       every read of near caches checked under faults; planted: bugs that this must find'
	@echo 'make loads           values loaded from rows that others change, under faults: no one older than a commit; LOADS=1000000'
	@echo 'make histories       checks whether operations under faults are linearizable; OPERATIONS=1000000 of each kind of fault'
	@echo 'make fuzz            runs each fuzz target for FUZZ_SECONDS (20)'
	@echo 'make install         DESTDIR, PREFIX, libdir, ... as usual; uninstall; installcheck'
	@echo 'make dist            a tarball of the last commit, build/pgcache-$(VERSION).tar.gz'
	@echo 'make format          formats C and C++; check-format and tidy only look'
	@echo 'VARIANT=asan|tsan|coverage|fuzz builds under build/VARIANT/ with that instrument; WERROR=1 forbids warnings'
