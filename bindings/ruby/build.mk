# bindings/ruby/build.mk - Ruby's binding: `make ruby check-ruby install-ruby`; included by the Makefile.
#
# SPDX-License-Identifier: MIT
#
# RUBY names the interpreter. Made under $(B)/ruby/, which is a load path (ruby -I build/ruby -r pgcache):
#   pgcache.rb, pgcache/   the library, with the extension pgcache/raw.so
#   active_support/        where ActiveSupport looks for its store
#   gem/                   what the gem is made of, with the file that SWIG writes
#   pgcache-VERSION.gem    the gem

RUBY ?= ruby
# By another name, or `make --dry-run` would run it.
RUBY_MAKE := $(MAKE)
RUBY_HERE := bindings/ruby
RUBY_B := $(B)/ruby
RUBY_LIBRARY := $(sort $(patsubst $(RUBY_HERE)/lib/%,%,$(wildcard $(foreach depth,* */* */*/*,$(RUBY_HERE)/lib/$(depth).rb))))
RUBY_GEM_FILES := $(sort $(wildcard $(RUBY_HERE)/pgcache.gemspec $(RUBY_HERE)/README.md $(RUBY_HERE)/sig/* $(RUBY_HERE)/ext/pgcache/*)) LICENSE
RUBY_WRAPPER := $(RUBY_B)/gem/ext/pgcache/raw_wrap.cc
RUBY_EXTENSION := $(RUBY_B)/pgcache/raw.so
RUBY_GEM := $(RUBY_B)/pgcache-$(VERSION).gem

.PHONY: ruby check-ruby install-ruby
ruby: $(RUBY_EXTENSION) $(RUBY_LIBRARY:%=$(RUBY_B)/%) $(RUBY_GEM)

$(RUBY_LIBRARY:%=$(RUBY_B)/%): $(RUBY_B)/%: $(RUBY_HERE)/lib/%
	@mkdir -p $(@D)
	@cp $< $@

# What SWIG cannot read it drops with a warning; no such thing may be in the header.
$(RUBY_WRAPPER): bindings/pgcache.i $(RUBY_HERE)/ruby.i abi/pgcache.h
	@mkdir -p $(@D)
	$(SAY) SWIG $@
	$(Q)$(SWIG) -ruby -c++ -module PGCache::Raw -initname raw -Wextra -Werror -DSWIGWORDSIZE64 -Iabi -Ibindings -o $@ $<

# The extension is built as the gem builds it, with a pgcache.pc that leads into this tree: relative paths, because the tree's may
# have spaces, which mkmf does not know.
ruby_upwards = $(subst $() ,/,$(foreach folder,$(subst /, ,$(RUBY_B)/ext),..))
$(RUBY_EXTENSION): $(RUBY_WRAPPER) $(sort $(wildcard $(RUBY_HERE)/ext/pgcache/*)) $(SHARED_LINKS)
	@mkdir -p $(@D) $(RUBY_B)/ext
	@cp $(RUBY_HERE)/ext/pgcache/* $(RUBY_B)/gem/ext/pgcache/
	@printf '%s\n' 'Name: pgcache' 'Description: as built here' 'Version: $(VERSION)' 'Libs: -L$(ruby_upwards)/$(B) -lpgcache' \
	  'Cflags: -I$(ruby_upwards)/abi' >$(RUBY_B)/ext/pgcache.pc
	$(SAY) RB $@
	$(Q)cd $(RUBY_B)/ext && { PKG_CONFIG_PATH=. $(RUBY) ../gem/ext/pgcache/extconf.rb && MAKEFLAGS= $(RUBY_MAKE) V=0; } >log 2>&1 || \
	  { cat log mkmf.log; exit 1; }
	@cp $(RUBY_B)/ext/raw.so $@

$(RUBY_GEM): $(RUBY_WRAPPER) $(RUBY_LIBRARY:%=$(RUBY_HERE)/lib/%) $(RUBY_GEM_FILES)
	@cd $(RUBY_B)/gem && rm -rf lib sig
	@cp -R $(RUBY_HERE)/lib $(RUBY_HERE)/sig $(RUBY_HERE)/pgcache.gemspec $(RUBY_HERE)/README.md LICENSE $(RUBY_B)/gem/
	@cp $(RUBY_HERE)/ext/pgcache/* $(RUBY_B)/gem/ext/pgcache/
	$(SAY) GEM $@
	$(Q)cd $(RUBY_B)/gem && $(RUBY) -S gem build --silent --output ../$(@F) pgcache.gemspec

# ARGS go to minitest: make check-ruby ARGS='-n /A07/'. PGCACHE_LONG=1: longer runs.
check-ruby: ruby
	@for file in $(RUBY_HERE)/*/*.rb $(RUBY_HERE)/*/*/*.rb $(RUBY_HERE)/lib/*/*/*.rb $(RUBY_HERE)/pgcache.gemspec; do \
	  said=$$($(RUBY) -wc "$$file" 2>&1) && [ "$$said" = 'Syntax OK' ] || { echo "$$file: $$said"; exit 1; }; done
	BUILD=$(B) ci/check-bindings-cover ruby
	ci/side-by-side '$(call ruby_test,interface gem settings provider raw)' '$(call ruby_test,lifetime)' \
	  '$(call ruby_test,entries many whole loads waiting fibers measurements statements)' '$(call ruby_test,active_support rack orders)'
# Quotes of quotes: side-by-side hands each to a shell.
ruby_test = LD_LIBRARY_PATH="$(CURDIR)/$(B)" PGCACHE_GEM_FOLDER="$(CURDIR)/$(RUBY_B)" ci/with-postgres $(RUBY) -w -I $(RUBY_B) \
  -I $(RUBY_HERE)/test $(foreach name,$(1),-r test_$(name)) -e "" -- $(ARGS)

# The library itself has to be installed, see `make install`.
install-ruby: $(RUBY_GEM)
	PKG_CONFIG_PATH='$(pkgconfigdir)':"$$PKG_CONFIG_PATH" $(RUBY) -S gem install --local --no-document \
	  $(if $(DESTDIR),--build-root '$(DESTDIR)') $(RUBY_GEM)
