# bindings/bench/build.mk - what `make bench ONLY=bindings` measures with; included by the Makefile.
#
# SPDX-License-Identifier: MIT

BENCH_B := $(B)/bindings-bench
$(BENCH_B)/native: $(B)/obj/bindings/bench/native.o $(SHARED_LINKS)
	@mkdir -p $(@D)
	$(SAY) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) -Wl,-rpath,'$$ORIGIN/..' -o $@ $< -L$(B) -lpgcache

# What cannot be had is said and left out.
$(BENCH_B)/venv/ready: bindings/bench/requirements.txt
	@mkdir -p $(@D)
	$(Q)python3 -m venv $(@D)
	$(Q)grep -v '^#' $< | while read -r package; do \
	  $(@D)/bin/pip install --quiet --disable-pip-version-check "$$package" || echo "bench: $$package cannot be installed"; done
	@touch $@

# A module of its own, so that the binding depends on no Redis client.
$(BENCH_B)/go: $(wildcard bindings/bench/go/* bindings/go/*.go bindings/go/internal/raw/*) $(SHARED_LINKS) $(B)/go/pkgconfig/pgcache.pc
	@mkdir -p $(@D)
	$(SAY) GO $@
	$(Q)cd bindings/bench/go && env $(GO_ENV) sh -c '"$$GO" build -o "$$BUILD/bindings-bench/go" .' || \
	  echo 'bench: the client in Go cannot be built'

.PHONY: bench-bindings
bench-bindings: bindings $(BENCH_B)/native $(BENCH_B)/venv/ready $(BENCH_B)/go
