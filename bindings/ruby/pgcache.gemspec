# SPDX-License-Identifier: MIT
# frozen_string_literal: true

require_relative "lib/pgcache/version"

Gem::Specification.new do |gem|
  gem.name = "pgcache"
  gem.version = PGCache::VERSION
  gem.summary = "PostgreSQL as a cache"
  gem.description = "The PostgreSQL that your application already runs is also its cache: entries with TTLs, versions, tags and guarded " \
                    "loads, shared by Ruby, Python, Go, C and SQL, with a coherent cache in the memory of each process."
  gem.authors = ["the pgcache authors"]
  gem.license = "MIT"
  gem.required_ruby_version = ">= 3.1"
  # raw_wrap.cc is what SWIG makes of the header: it is written when the gem is built, and is in it.
  gem.files = Dir["lib/**/*.rb", "ext/**/*.{rb,h,cc}", "sig/**/*.rbs", "README.md", "LICENSE", base: __dir__]
  gem.extensions = ["ext/pgcache/extconf.rb"]
  gem.extra_rdoc_files = ["README.md"]
  gem.rdoc_options = ["--main", "README.md"]
  gem.metadata = { "rubygems_mfa_required" => "true" }
end
