# Events: what happens to a cache, for whoever takes them. SPDX-License-Identifier: MIT
# frozen_string_literal: true

module PGCache
  # Something that happened to a cache. Texts are "" and numbers 0 or -1 where nothing is known.
  #
  # kind:: +:operation+ (one ended), +:slow+ (it took long), +:state+ (something is in another state now), +:log+ (words for a log)
  # level:: +:debug+, +:info+, +:warning+ or +:error+
  # operation:: +"get"+ and so on; of a state what it is of: +"breaker"+, +"listener"+, +"janitor"+
  # outcome:: +"hit"+, or a status; of a state which
  # source:: +"near"+ or +"store"+
  # namespace, span:: as the call said
  # message, sqlstate:: of an error or a log
  # key:: of an operation on one key, if keys were asked for; else nil
  # key_count:: how many keys it was on
  # bytes:: of the values that were read or written, as stored
  # number:: of entries: hits, or how many were removed
  # began:: when it began, a Time
  # duration:: in seconds
  Event = Struct.new(:kind, :level, :operation, :outcome, :source, :namespace, :span, :message, :sqlstate, :key, :key_count, :bytes,
                     :number, :began, :duration, keyword_init: true)

  # A queue of events, until it is closed. Enumerable: each waits for the next event until the cache or the observer is closed.
  #
  #   Thread.new { cache.observe(:slow, :states).each { |event| logger.warn(event.to_h) } }
  class Observer
    include Enumerable

    WHAT = { operations: Raw::OBSERVE_OPERATIONS, slow: Raw::OBSERVE_SLOW, states: Raw::OBSERVE_STATES, log: Raw::OBSERVE_LOG,
             keys: Raw::OBSERVE_KEYS }.freeze
    LEVELS = { debug: Raw::LEVEL_DEBUG, info: Raw::LEVEL_INFO, warning: Raw::LEVEL_WARNING, error: Raw::LEVEL_ERROR }.freeze
    KINDS = { Raw::EVENT_OPERATION => :operation, Raw::EVENT_SLOW => :slow, Raw::EVENT_STATE => :state, Raw::EVENT_LOG => :log }.freeze
    # How long one look into the queue lasts, so that interrupts and schedulers get their turn, in milliseconds.
    LOOK = 20
    private_constant :WHAT, :LEVELS, :KINDS, :LOOK

    def initialize(handle, what, level, room) # :nodoc:
      flags = what.map { |name| WHAT.fetch(name) { raise InvalidError, "what is one of #{WHAT.keys.join(", ")}" } }.reduce(0, :|)
      level = LEVELS.fetch(level) { raise InvalidError, "level is one of #{LEVELS.keys.join(", ")}" }
      _, @observer = Raw.observe(handle, flags, level, room)
    end

    # Each event from now on. Ends when the observer or the cache is closed.
    def each
      return to_enum unless block_given?

      while (event = next_event)
        yield event
      end
      self
    end

    # Takes the oldest event; waits for one for so many seconds, nil: for ever. Nil if there was none in time, or when all is closed.
    def next_event(wait: nil)
      limit = Process.clock_gettime(Process::CLOCK_MONOTONIC) + (wait || Float::INFINITY)
      loop do
        left = [(limit - Process.clock_gettime(Process::CLOCK_MONOTONIC)) * 1000, LOOK].min
        status, event = look([left.ceil, 0].max)
        return event_of(event) if status == Raw::OK
        return nil if left <= 0
      end
    rescue ClosedError
      nil
    end

    # How many events did not fit.
    def dropped
      Raw.observer_dropped(@observer)
    end

    # Ends it: who waits for an event gets none.
    def close
      Raw.observer_free(@observer)
      nil
    end

    private

    def look(milliseconds)
      return Raw.observer_next(@observer, milliseconds) unless Fiber.current_scheduler

      found = Raw.observer_next(@observer, 0)
      sleep(milliseconds / 1000.0) if found.first == Raw::MISS
      found
    end

    def event_of(raw)
      Event.new(kind: KINDS[raw.kind], level: LEVELS.key(raw.level), operation: raw.operation, outcome: raw.outcome, source: raw.source,
                namespace: raw.namespace_name, span: raw.span_name, message: raw.message, sqlstate: raw.sqlstate, key: raw.key_bytes,
                key_count: raw.key_count, bytes: raw.bytes, number: raw.number, began: Time.at(0, raw.began_us, :microsecond),
                duration: raw.duration_ns / 1e9).freeze
    end
  end

  class Cache
    # An Observer of what happens from now on: any of +:operations+, +:slow+, +:states+, +:log+; with +:keys+ events hold keys, too.
    #
    # level:: of a log the least that counts
    # room:: how many events it can hold
    def observe(*what, level: :warning, room: 1000)
      Observer.new(@handle, what, level, room)
    end
  end
end
