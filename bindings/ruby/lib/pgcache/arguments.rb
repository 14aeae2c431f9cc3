# How arguments are said in Ruby, and how the library wants them. SPDX-License-Identifier: MIT
# frozen_string_literal: true

module PGCache
  # Seconds become milliseconds, and keyword arguments the fields of the library's options; what is wrong is refused by the
  # library alone, with its own words.
  module Arguments # :nodoc:
    module_function

    # Seconds as milliseconds. What is no time span becomes 0, which no TTL or interval may be.
    def milliseconds(seconds)
      raise TypeError, "a time span is a number of seconds, not #{seconds.class}" unless seconds.is_a?(Numeric)
      return 0 if seconds.respond_to?(:nan?) && seconds.nan?
      return seconds.positive? ? Raw::TTL_NEVER : 0 if seconds.respond_to?(:infinite?) && seconds.infinite?

      (seconds * 1000).ceil.clamp(-1, Raw::TTL_NEVER - 1)
    end

    def seconds(milliseconds)
      milliseconds == Raw::TTL_NEVER ? NEVER : milliseconds / 1000.0
    end

    def ttl(seconds)
      seconds.nil? ? Raw::TTL_DEFAULT : milliseconds(seconds)
    end

    def interval(seconds)
      span = milliseconds(seconds)
      span > Raw::JANITOR_INTERVAL_MAX ? 0 : span
    end

    # The options that every call takes. Only what was given stands in the Hash; nil: nothing was.
    def options(deadline: nil, namespace: nil, span: nil)
      options = {}
      options[:deadline_ms] = deadline_ms(deadline) if deadline
      options[:namespace_name] = namespace if namespace
      options[:span_name] = span if span
      options unless options.empty?
    end

    # Those of reads.
    def reading(read: nil, **others)
      raise InvalidError, "read is :near or :store" unless [nil, :near, :store].include?(read)

      options = options(**others)
      read == :store ? (options || {}).merge(read_mode: Raw::READ_STORE) : options
    end

    # Those of writes that an entry's dependencies come with.
    def writing(tags: nil, keys: nil, **others)
      options = options(**others)
      tags || keys ? (options || {}).merge(tags: Array(tags), keys: Array(keys)) : options
    end

    # The past is now.
    def deadline_ms(seconds)
      raise InvalidError, "a deadline is a number" if seconds.respond_to?(:nan?) && seconds.nan?

      [milliseconds(seconds), 0].max
    end

    # How a load is done.
    def how(ttl: nil, stale: nil, fail_safe: nil, throttle: nil, absent_ttl: nil, lease: nil, wait: nil, jitter: nil, early: nil)
      spans = { ttl_ms: ttl, stale_ms: stale, fail_safe_ms: fail_safe, throttle_ms: throttle, absent_ttl_ms: absent_ttl,
                lease_ms: lease, wait_ms: wait }
      how = spans.compact.transform_values { |seconds| milliseconds(seconds) }
      how[:jitter_percent] = jitter if jitter
      how[:early_percent] = early if early
      how unless how.empty?
    end
  end
  private_constant :Arguments
end
