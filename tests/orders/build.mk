# tests/orders/build.mk - the order-count application in three languages on one cache; included by the Makefile.
#
# SPDX-License-Identifier: MIT

.PHONY: test-orders orders-golang
# ARGS: the languages, if not all. PGCACHE_LONG=1: a minute under load.
test-orders: bindings orders-golang
	BUILD=$(B) POSTGRES_OPTIONS='-c max_connections=200' ci/with-postgres tests/orders/run $(ARGS)

orders-golang: golang
	$(SAY) GO $(B)/go/orders
	$(Q)cd bindings/go/examples/orders && env $(GO_ENV) OUT='$(GO_B)/orders' sh -c '"$$GO" build -o "$$OUT" .'
