# bindings/go/build.mk - the Go binding: its raw layer, what is built of it, its tests; included by the Makefile.
#
# SPDX-License-Identifier: MIT
#
# What Go downloads and compiles stays in $(B)/go. GO: the Go to use, 1.19 or newer.

GO ?= go
GO_SOURCE ?= bindings/go
GO_CONFORMANCE ?= $(B)/go/conformance
GO_B = $(CURDIR)/$(B)/go
# What Go has compiled and loaded before is where it keeps that for all projects, if it knows a place.
go_caches = $(if $(HOME),,GOCACHE='$(GO_B)/cache' GOMODCACHE='$(GO_B)/modules' GOFLAGS=-modcacherw)
# The library as it stands in the build folder, for the module's `#cgo pkg-config: pgcache`; a space in a path is escaped there.
space := $(subst ,, )
GO_ENV = GO='$(GO)' BUILD='$(CURDIR)/$(B)' $(go_caches) GOTOOLCHAIN=local \
  GOWORK=off CGO_ENABLED=1 PKG_CONFIG_PATH='$(GO_B)/pkgconfig' LD_LIBRARY_PATH='$(CURDIR)/$(B)'

.PHONY: golang check-golang generate-golang
golang: $(SHARED_LINKS) $(B)/go/pkgconfig/pgcache.pc
	$(SAY) GO $(GO_CONFORMANCE)
	$(Q)cd '$(GO_SOURCE)' && env $(GO_ENV) OUT='$(CURDIR)/$(GO_CONFORMANCE)' sh -c '"$$GO" build ./... && "$$GO" build -o "$$OUT" ./conformance'

$(B)/go/pkgconfig/pgcache.pc: bindings/go/build.mk
	@mkdir -p $(@D)
	@printf '%s\n' 'Name: pgcache' 'Description: the library in its build folder' 'Version: $(VERSION)' \
	  'Libs: -L$(subst $(space),\$(space),$(CURDIR)/$(B)) -lpgcache' 'Cflags: -I$(subst $(space),\$(space),$(CURDIR)/abi)' >$@

# Tests, linters, and whether what is committed is what SWIG writes. PGCACHE_LONG=1: the long forms.
check-golang: golang
	env $(GO_ENV) ci/with-postgres bindings/go/check

generate-golang:
	SWIG=$(SWIG) bindings/go/generate
