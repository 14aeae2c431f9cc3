# A cache store for ActiveSupport, and so for Rails. SPDX-License-Identifier: MIT
#
#   config.cache_store = :pgcache_store, ENV["DATABASE_URL"], { secret: ENV.fetch("SECRET_KEY_BASE") }
#
# frozen_string_literal: true

begin
  require "active_support"
  require "active_support/cache"
  require "active_support/core_ext/array/extract_options"
rescue LoadError => missing
  raise LoadError, "pgcache/active_support needs the gem activesupport, 6.1 or newer (Debian: ruby-activesupport)", cause: missing
end
require "openssl"
require "pgcache"

module ActiveSupport # :nodoc:
  module Cache # :nodoc:
    # ActiveSupport's Store on a PGCache::Cache: every process sees one set of entries, reads mostly come from its own memory, and of all who
    # #fetch what is missing one runs the block, in all processes.
    #
    # Beyond what every store has:
    #
    # tags:: of #write, #write_multi, #fetch and #fetch_multi: what the entry depends on. Invalidating one of them ends it, best in the
    #        transaction that changes the data, by PGCache::Cache#invalidation or the SQL function watch(). What a block of #fetch has read
    #        before such a commit is not stored after it, unless +force+ has it written whatever there is. So a block reads in no transaction
    #        that has begun before it.
    # lease:: of #fetch: how long the block may take before somebody else may run it (10 seconds)
    # race_condition_ttl:: of #fetch: for so long after the end of what a #fetch has stored the others get it, while one runs the block
    # raw:: the value as other languages read it, or have written it: what is a whole number is a counter, everything else its #to_s
    #
    # What is not +raw+ goes through the store's coder, which is Marshal unless ActiveSupport is told otherwise, and is signed with the
    # secret, for this key: nobody who can merely write to the cache can make objects here, or values that this application did not store.
    # What is not signed so is a miss, unless it is read with +raw+.
    #
    # The server's clock alone decides when an entry ends. Without +expires_in+ that is never: let Cache#set_limits bound the cache.
    # #delete_matched and #clear of a namespace look at all keys. Failures of the server are misses, and told to the error handler.
    class PgcacheStore < Store
      # As in RedisCacheStore: gets +method+, +returning+ and +exception+.
      DEFAULT_ERROR_HANDLER = lambda do |method:, returning:, exception:|
        logger&.error { "PgcacheStore: #{method} failed, returned #{returning.inspect}: #{exception.class}: #{exception.message}" }
      end

      # What a signed entry begins with.
      HEADER = "\x00ActiveSupport\x01".b.freeze
      # How long a signature is, and the least that a secret may be, in bytes.
      SIGNATURE = 32
      # The longest key; of a longer one the beginning and a digest.
      KEY = 4096
      # The shortest TTL, in seconds: of what has expired when it is written.
      LEAST = 0.001
      private_constant :HEADER, :SIGNATURE, :KEY, :LEAST

      # Advertises recyclable keys, whose version stands in the entry.
      def self.supports_cache_versioning?
        true
      end

      # The PGCache::Cache, for whatever a Store has no words for.
      attr_reader :pgcache

      # cache:: a PGCache::Cache, or the address for one; without it PGCACHE_URL or DATABASE_URL of the environment
      # secret:: at least 32 bytes, the same in all processes, and nobody else's
      # error_handler:: is told of failures, see DEFAULT_ERROR_HANDLER
      # options:: of ActiveSupport, as of any store: +namespace+, +expires_in+, +race_condition_ttl+, +coder+ and so on. Compression is the
      #           cache's own (its setting +compression+), unless +compress+ says otherwise.
      def initialize(cache = nil, secret:, error_handler: DEFAULT_ERROR_HANDLER, **options)
        raise ArgumentError, "the secret has at least #{SIGNATURE} bytes" if secret.to_s.bytesize < SIGNATURE

        @pgcache = cache.is_a?(PGCache::Cache) ? cache : PGCache::Cache.new(cache)
        @timeout = Integer(@pgcache.setting("timeout_ms")) / 1000.0
        @secret = secret
        @error_handler = error_handler
        super({ compress: false, **options })
      end

      # Reads many at once, and has what is missing loaded key by key, as #fetch does it. When the cache has taken as long as a single call
      # may (its setting +timeout_ms+), the block is run for the rest without it.
      def fetch_multi(*names)
        raise ArgumentError, "a block has to give what is missing" unless block_given?

        options = merged_options(names.extract_options!)
        found = {}
        limit = now + @timeout
        instrument(:read_multi, names, options) do |payload|
          found = read_multi_entries(names, **options) unless options[:force]
          payload.merge!(hits: found.keys, super_operation: :fetch_multi)
        end
        names.to_h do |name|
          value = found.fetch(name) do
            next yield(name) if now >= limit

            fetch(name, options) do
              began = now
              yield name
            ensure
              limit += now - began # which the cache has not taken
            end
          end
          [name, value]
        end
      end

      # Adds to a counter: an Integer that was written with +raw+, or nothing yet, which counts as 0. Gives what it is then.
      def increment(name, amount = 1, options = nil, **more)
        count(:increment, name, amount, amount, { **options.to_h, **more })
      end

      # Subtracts from a counter, see #increment.
      def decrement(name, amount = 1, options = nil, **more)
        count(:decrement, name, amount, -amount, { **options.to_h, **more })
      end

      # Deletes all entries whose keys begin with a String (a <tt>*</tt> at its end may stand for the rest), or match a Regexp. Gives how
      # many.
      def delete_matched(matcher, options = nil)
        options = merged_options(options)
        instrument(:delete_matched, matcher) do
          keys = matcher.is_a?(Regexp) ? keys_matching(key_matcher(matcher, options)) : keys_from(namespace_key(prefix(matcher), options))
          keys.each_slice(1000).sum { |slice| @pgcache.remove_many(slice).size }
        end
      end

      # Deletes what has expired, which the janitor of the cache does anyway. Gives how many that were.
      def cleanup(_options = nil)
        @pgcache.cleanup
      end

      # Deletes all entries: those of the store's namespace if it has one, or else all of the cache's namespace.
      def clear(options = nil)
        failsafe(:clear) do
          merged_options(options)[:namespace] ? delete_matched("", options) : @pgcache.flush
        end
      end

      def inspect # :nodoc:
        "#<#{self.class} options=#{options.inspect} pgcache=#{@pgcache.inspect}>"
      end

      private

      def now
        Process.clock_gettime(Process::CLOCK_MONOTONIC)
      end

      def read_entry(key, raw: false, **_options)
        failsafe(:read_entry) do
          found = @pgcache.get(key, self)
          entry_of(key, found, raw) unless equal?(found)
        end
      end

      def read_multi_entries(names, **options)
        keys = names.to_h { |name| [name, normalize_key(name, options)] }
        found = failsafe(:read_multi_entries, returning: {}) { @pgcache.get_many(keys.values.uniq) }
        keys.each_with_object({}) do |(name, key), values|
          entry = entry_of(key, found[key], options[:raw]) if found.key?(key)
          values[name] = entry.value if entry && !entry.mismatched?(normalize_version(name, options))
        end
      end

      def write_entry(key, entry, raw: false, unless_exist: false, tags: nil, pgcache_load: nil, pgcache_ttl: nil, **_options)
        ttl = take_ttl(entry)
        value = value_of(key, entry, raw)
        failsafe(:write_entry, returning: false) do
          if pgcache_load
            fill(pgcache_load, pgcache_ttl, value, ttl, tags)
          elsif pgcache_load == false # of a #fetch without a load: what its block gave may have become false meanwhile
            false
          else
            @pgcache.public_send(unless_exist ? :add : :put, key, value, ttl: ttl, tags: tags) != false
          end
        end
      end

      def write_multi_entries(entries, raw: false, tags: nil, **_options)
        failsafe(:write_multi_entries, returning: false) do
          entries.group_by { |_, entry| take_ttl(entry).round(3) }.each do |ttl, alike|
            @pgcache.put_many(alike.to_h { |key, entry| [key, value_of(key, entry, raw)] }, ttl: ttl, tags: tags)
          end
          true
        end
      end

      def delete_entry(key, **_options)
        failsafe(:delete_entry, returning: false) { @pgcache.remove(key) }
      end

      def delete_multi_entries(keys, **_options)
        failsafe(:delete_multi_entries, returning: 0) { @pgcache.remove_many(keys).size }
      end

      # Of all who come here for a key one runs the block, and the others get what it has stored. ActiveSupport calls it with the options
      # last; the lease goes with them to #write_entry.
      def save_block_result_to_cache(name, *rest, &block)
        *others, options = rest
        return super if options[:force]

        begun = false
        key = normalize_key(name, options)
        how = how(options)
        begin
          @pgcache.load(key, **how) do |load|
            begun = true
            entry = entry_of(key, load.value, options[:raw]) if load.entry
            next entry.value if entry && !load.lease? && !entry.mismatched?(normalize_version(name, options))

            super(name, *others, { **options, pgcache_load: load, pgcache_ttl: how[:ttl] }, &block)
          end
        rescue PGCache::Error => error
          raise if begun || error.is_a?(PGCache::InvalidError)

          failed(:fetch, nil, error)
          retry if error.is_a?(PGCache::FormatError) && failsafe(:fetch) { @pgcache.remove(key) } # nobody here can read what was there
          super(name, *others, { **options, pgcache_load: false }, &block)
        end
      end

      # How an entry that a #fetch stores is to be kept.
      def how(options)
        ttl, stale, lease = options.values_at(:expires_in, :race_condition_ttl, :lease)
        { ttl: ttl ? [ttl.to_f, LEAST].max : PGCache::NEVER, stale: stale&.to_f, lease: lease&.to_f }.compact
      end

      # Stores what the block of a #fetch gave, unless it became false meanwhile: with the lease, or in place of the entry that did not do
      # (its version was another). Without either somebody else stores his own. A block may change the TTL that its load began with.
      def fill(load, planned, value, ttl, tags)
        if load.lease?
          version = load.fill(value, tags: tags || [])
          @pgcache.touch(load.key, ttl: ttl) if version && (ttl - planned).abs > 0.5
        elsif load.entry
          version = @pgcache.compare_and_swap(load.key, value, load.entry.version, ttl: ttl, tags: tags)
        end
        version ? true : false
      end

      # The server's clock is asked alone, so the entry itself is not to know when it ends.
      def take_ttl(entry)
        left = entry.expires_at ? [entry.expires_at - Time.now.to_f, LEAST].max : PGCache::NEVER
        entry.expires_at = nil
        left
      end

      def value_of(key, entry, raw)
        raise ArgumentError, "a key is not blank" if key.nil?
        return raw_value(entry.value) if raw

        payload = serialize_entry(entry).b
        HEADER + signature(key, payload) + payload
      end

      # What PGCache::Cache#increment can count is an Integer in its own right.
      def raw_value(value)
        text = value.to_s
        text.match?(/\A(0|-?[1-9]\d{0,17})\z/) ? Integer(text, 10) : text.b
      end

      # The entry of what was read, or nil if it is not ours.
      def entry_of(key, found, raw)
        return raw ? Entry.new(plain(found), compress: false) : nil unless binary?(found) && found.start_with?(HEADER)

        signature = found.byteslice(HEADER.bytesize, SIGNATURE)
        payload = found.byteslice((HEADER.bytesize + SIGNATURE)..)
        readable(payload) if payload && OpenSSL.fixed_length_secure_compare(signature, signature(key, payload))
      end

      # What cannot be read is a miss, such as an object of a class that is no more. Newer versions of ActiveSupport read the value late.
      def readable(payload)
        deserialize_entry(payload)&.tap(&:value)
      rescue StandardError => error
        failed(:read_entry, nil, error)
      end

      # What was written with +raw+ came as text, and a counter is asked for as such.
      def plain(found)
        return found.is_a?(Integer) ? found.to_s : found unless binary?(found)

        text = found.dup.force_encoding(Encoding::UTF_8)
        text.valid_encoding? ? text : found
      end

      def binary?(found)
        found.is_a?(String) && found.encoding == Encoding::BINARY
      end

      # Good for this key alone.
      def signature(key, payload)
        OpenSSL::HMAC.digest("SHA256", @secret, ["pgcache ActiveSupport", key.bytesize, key.b, payload].pack("Z*Na*a*"))
      end

      def count(operation, name, amount, by, options)
        instrument(operation, name, amount: amount) do
          failsafe(operation) do
            options = merged_options(options)
            @pgcache.increment(normalize_key(name, options), by, ttl: options[:expires_in]&.to_f || PGCache::NEVER)
          end
        end
      end

      def prefix(matcher)
        raise ArgumentError, "a String or a Regexp is needed: #{matcher.inspect}" unless matcher.is_a?(String)

        matcher.delete_suffix("*").tap do |text|
          raise ArgumentError, "a * stands at the end alone; use a Regexp for more: #{matcher.inspect}" if text.match?(/[*?\[\\]/)
        end
      end

      def keys_from(prefix)
        @pgcache.keys(prefix: prefix)
      end

      def keys_matching(pattern)
        @pgcache.keys.lazy.select { |key| pattern.match?(key.dup.force_encoding(Encoding::UTF_8).scrub) }
      end

      def normalize_key(name, options = nil)
        key = super
        return key unless key && key.bytesize > KEY

        digest = ":sha2:#{OpenSSL::Digest::SHA256.hexdigest(key)}"
        key.byteslice(0, KEY - digest.bytesize).scrub("") + digest
      end

      def failsafe(method, returning: nil)
        yield
      rescue PGCache::InvalidError # which is the caller's to mend
        raise
      rescue PGCache::Error => error
        failed(method, returning, error)
      end

      def failed(method, returning, exception)
        @error_handler&.call(method: method, returning: returning, exception: exception)
        returning
      end
    end
  end
end
