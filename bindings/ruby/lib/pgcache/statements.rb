# What is done on a connection of the application, in its own transaction. SPDX-License-Identifier: MIT
# frozen_string_literal: true

module PGCache
  class Cache
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

    # The SQL and its parameters that store an entry on a connection of the application, in the transaction that is under way there: with
    # its commit the entry is there, and after a rollback nothing has happened. The SQL gives its version. It depends on its key alone.
    #
    #   connection.exec_params(*cache.put_statement("rate", 1.5, ttl: 60))
    #
    # SQL can neither encrypt nor make secret digests: a cache that does is refused with an UnsupportedError. It does not compress, either.
    def put_statement(key, value, ttl: nil, namespace: nil)
      if setting("encryption") != "off" || setting("digests") != "plain"
        raise UnsupportedError.new("SQL cannot encrypt: #put of this cache works outside of the transaction alone", status: :unsupported)
      end

      bytes, format = @codec.encode(value)
      if bytes.bytesize > Integer(setting("max_value_bytes"))
        raise TooLargeError.new("the value is longer than max_value_bytes", status: :too_large)
      end

      sql = %(SELECT "#{@schema}".put($1::bytea, $2::bytea, $3::bigint * interval '1 millisecond', $4::text, $5::integer))
      [sql, [bytea(key_bytes(key)), bytea(bytes), span(ttl), namespace || @namespace, format.to_s]]
    end

    private

    # The longest TTL, in milliseconds: what is longer the server shortens, too, but only as far as its intervals go.
    LONGEST = 3650 * 86_400_000
    private_constant :LONGEST

    # The milliseconds of a TTL; nil: for ever.
    def span(ttl)
      found = Arguments.ttl(ttl)
      if found == Raw::TTL_DEFAULT
        told = setting("default_ttl_ms")
        found = told == "never" ? Raw::TTL_NEVER : Integer(told)
      end
      raise InvalidError, "a ttl is positive" unless found.positive?

      [found, LONGEST].min.to_s unless found == Raw::TTL_NEVER
    end

    def key_bytes(key)
      raise TypeError, "a key is a String, not #{key.class}" unless key.is_a?(String)

      key.encoding == Encoding::BINARY ? key : utf8(key) || key
    end

    def bytea(bytes)
      "\\x#{bytes.unpack1("H*")}"
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
