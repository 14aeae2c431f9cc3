# tests/conformance/build.mk - the C runner, and all languages against one table of cases; included by the Makefile.
#
# SPDX-License-Identifier: MIT

CONFORMANCE_OBJECTS := $(patsubst %.c,$(B)/obj/%.o,$(sort $(wildcard tests/conformance/*.c)))
$(B)/conformance: $(CONFORMANCE_OBJECTS) $(SHARED_LINKS)
	$(SAY) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -Wl,-rpath,'$$ORIGIN' -o $@ $(CONFORMANCE_OBJECTS) -L$(B) -lpgcache -ljansson

.PHONY: test-conformance
# ARGS: the languages, if not all that are built. PGCACHE_LONG=1: with more callers.
test-conformance: $(B)/conformance all
	BUILD=$(B) POSTGRES_OPTIONS='-c max_connections=300' ci/with-postgres tests/conformance/run $(ARGS)
