# Calls on one key. SPDX-License-Identifier: MIT
# frozen_string_literal: true

module PGCache
  class Cache
    # The value of a key, or +default+ where there is none. A cached nil is nil; see #get_entry and #exists? to tell it from a miss, or
    # give another default.
    def get(key, default = nil, deadline: nil, namespace: nil, span: nil, read: nil)
      if deadline || namespace || span || read
        options = Arguments.reading(deadline: deadline, namespace: namespace, span: span, read: read)
      end
      hit = @near.near(@handle, key, options) unless options&.key?(:read_mode)
      return hit if hit.is_a?(String)
      return @codec.decode(*hit) if hit

      found = found(:submit_get, key, options)
      found ? @codec.value(found) : default
    end

    # The value of a key with all that is known of it, as an Entry, or nil where there is none.
    def get_entry(key, **options)
      options = Arguments.reading(**options)
      _, found = @near.peek(@handle, key, options) unless options&.key?(:read_mode)
      found ||= found(:submit_get, key, options)
      @codec.entry(found)
    end

    # Looks into the memory of this process alone: never asks the server. What it does not find may well exist.
    def peek(key, default = nil, **options)
      value = near(key, Arguments.reading(**options))
      MISSING.equal?(value) ? default : value
    end

    # Whether there is an entry. Its value is not read.
    def exists?(key, **options)
      status(:submit_exists, key, Arguments.reading(**options)) == Raw::OK
    end

    # Stores an entry, whether there was one or not. Gives its version.
    #
    # ttl:: how long it lives, in seconds, or NEVER; without it the setting +default_ttl_ms+
    def put(key, value, ttl: nil, **options)
      write(:submit_put, key, value, ttl, options)
    end

    # Stores an entry only if there is none. Gives its version, or false if there is one.
    def add(key, value, ttl: nil, **options)
      write(:submit_add, key, value, ttl, options)
    end

    # Stores an entry only if there is one. Gives its version, or nil if there is none.
    def replace(key, value, ttl: nil, **options)
      write(:submit_replace, key, value, ttl, options)
    end

    # Stores an entry only if it still has the version that was read. Gives its new version, false if it has another one by now, nil if
    # there is none any more.
    def compare_and_swap(key, value, version, ttl: nil, **options)
      bytes, format = @codec.encode(value)
      versioned(:submit_compare_and_swap, key, bytes, format, Arguments.ttl(ttl), version, Arguments.writing(**options))
    end

    # Removes an entry. False if there was none.
    def remove(key, **options)
      status(:submit_remove, key, Arguments.options(**options)) == Raw::OK
    end

    # Gives an entry another time to live without sending its value. Gives its new version, or nil if there is none.
    def touch(key, ttl: nil, **options)
      versioned(:submit_touch, key, Arguments.ttl(ttl), Arguments.options(**options))
    end

    # Adds to a counter, and gives what it is then. One that is not there begins at +initial+, and lives for +ttl+.
    def increment(key, by = 1, initial: 0, ttl: nil, **options)
      number(:submit_increment, key, by, initial, Arguments.ttl(ttl), Arguments.options(**options))
    end

    # Subtracts from a counter, see #increment.
    def decrement(key, by = 1, **options)
      increment(key, -by, **options)
    end

    # Waits until the memory of this process has heard of everything that anybody has written before. For whoever was told by other means
    # that something was written.
    def fence(deadline: nil)
      options = Arguments.options(deadline: deadline)
      Requests.aside { Raw.fence(@handle, options) }
      nil
    end

    private

    # A hit in the memory of this process, which costs no change of threads, or MISSING; as in #get.
    def near(key, options)
      hit = @near.near(@handle, key, options)
      return MISSING unless hit

      hit.is_a?(String) ? hit : @codec.decode(*hit)
    end

    def write(submit, key, value, ttl, options)
      bytes, format = @codec.encode(value)
      versioned(submit, key, bytes, format, Arguments.ttl(ttl), Arguments.writing(**options))
    end

    # The entry's new version, or why there is none.
    def versioned(submit, *arguments)
      request(submit, *arguments) do |done|
        case Raw.completion_status(done)
        when Raw::OK then Raw.completion_version(done)
        when Raw::EXISTS then false
        end
      end
    end
  end
end
