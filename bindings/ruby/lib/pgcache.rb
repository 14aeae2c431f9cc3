# PostgreSQL as a cache. SPDX-License-Identifier: MIT
# frozen_string_literal: true

require "pgcache/version"
require "pgcache/errors"
require "pgcache/raw"
require "pgcache/arguments"
require "pgcache/settings"
require "pgcache/formats"
require "pgcache/results"
require "pgcache/codec"
require "pgcache/requests"
require "pgcache/cache"

# PostgreSQL as a cache: the database that the application already runs keeps its cached values, too.
#
#   cache = PGCache::Cache.new("postgresql://localhost/shop")
#   cache.init
#   count = cache.get_or_load("count:7", ttl: 300, tags: ["customer:7"]) { Order.where(customer: 7).count }
#
# Cache is where to begin. Everything else is what its methods take and give.
module PGCache
  # The ttl of an entry that does not expire.
  NEVER = Float::INFINITY

  # What the block of Cache#get_or_load gives when there is no value.
  ABSENT = Object.new
  def ABSENT.inspect # :nodoc:
    "PGCache::ABSENT"
  end
  ABSENT.freeze

  private_constant :Raw

  class << self
    # The version of the library that runs, such as "1.0.0".
    def library_version
      Raw.version
    end

    # All statuses: what they mean, by their names, such as +:timeout+.
    def statuses
      STATUSES.to_h { |number, name| [name, Raw.status_text(number)] }
    end

    def status(number) # :nodoc:
      STATUSES.fetch(number) { number.negative? ? :server_error : :miss }
    end
  end

  STATUSES = (-99..99).to_h { |number| [number, Raw.status_name(number).delete_prefix("PGCACHE_").downcase.to_sym] }
                      .reject { |_, name| name == :"?" }.freeze
  private_constant :STATUSES
end
