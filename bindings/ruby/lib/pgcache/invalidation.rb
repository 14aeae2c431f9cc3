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

    # The SQL and its parameters that invalidate on a connection of the application, in the transaction that is under way there: with its
    # commit the entries end, and after a rollback nothing has happened.
    #
    #   connection.exec_params(*cache.invalidation(tags: ["customer:7"]))        # pg
    #   connection.exec_query(sql, "pgcache", parameters)                        # Active Record
    #
    # Tags and keys are text here; a binary one that is no UTF-8 is refused.
    def invalidation(tags: [], keys: [], namespace: nil)
      sql = %(SELECT "#{@schema}".invalidate($1::text[], $2::text[], $3::text))
      [sql, [array(tags), array(keys), namespace || @namespace]]
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

    # As PostgreSQL writes arrays of texts.
    def array(names)
      texts = Array(names).map do |name|
        text = [Encoding::BINARY, Encoding::US_ASCII].include?(name.encoding) ? name.dup.force_encoding(Encoding::UTF_8) : utf8(name)
        raise InvalidError, "a tag or key that is no UTF-8 text cannot be invalidated in SQL" if !text&.valid_encoding? || text.include?("\0")

        %("#{text.gsub(/["\\]/) { |special| "\\#{special}" }}")
      end
      "{#{texts.join(",")}}"
    end

    # As the library gets it; nil where that cannot be.
    def utf8(name)
      name.encode(Encoding::UTF_8)
    rescue EncodingError
      nil
    end
  end
end
