# What ends entries when data change. SPDX-License-Identifier: MIT
# frozen_string_literal: true

require "json"

module PGCache
  class Cache
    # Ends all entries that depend on these tags and keys, now, in a transaction of its own.
    #
    #   cache.invalidate(tags: ["customer:7"])
    #
    # Better is the transaction that changes the data, see #invalidation, or the SQL function watch(), which does it by itself.
    def invalidate(tags: [], keys: [], **options)
      status(:submit_invalidate, { tags: Array(tags), keys: Array(keys) }, Arguments.options(**options))
      nil
    end

    # How many entries depend on each of these tags and keys, and which tables are watched, a Hash:
    #
    #   cache.dependents(tags: ["prices"])
    #   # => {"entries" => [3], "tagged" => 7, "watched" => [{"table" => "public.orders", ...}]}
    #
    # Tags come first in +entries+. It reads the whole table, for people and monitors.
    def dependents(tags: [], keys: [], **options)
      what = { tags: Array(tags), keys: Array(keys) }
      options = Arguments.options(**options)
      _, report = Requests.aside { Raw.dependents(@handle, what, options) }
      report(report)
    end

    private

    # A report of the library: JSON, whatever the serializer of the cache is.
    def report(value)
      JSON.parse(Raw.value_data(value).force_encoding(Encoding::UTF_8))
    end
  end
end
