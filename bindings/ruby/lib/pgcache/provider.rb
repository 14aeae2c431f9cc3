# The application's own instrumentation. SPDX-License-Identifier: MIT
# frozen_string_literal: true

module PGCache
  # What a provider may do: a span for each operation, words for its log, whatever it likes. Include it and define what is wanted, then give
  # it to Cache.new. A cache without providers pays nothing for them.
  #
  # An operation is a call on the cache; those that its block makes are operations of their own, inside of it. Events of operations hold
  # keys. An error of a provider is reported as a warning, and changes nothing.
  module Provider
    # An operation begins, on the thread and fiber that call: of the Event the operation, namespace, span, key and began are known. What it
    # returns #ended is given.
    def started(_event)
      nil
    end

    # It has ended: the Event is complete.
    def ended(_begun, _event)
      nil
    end

    # Something slow, another state, or words for a log, see Observer; on a thread of its own. Define it to be told.
    def told(_event)
      nil
    end
  end

  # What an operation is while it is under way: the event that its providers will get.
  class Operation # :nodoc:
    # Of which the first answer tells whether what was looked for was there.
    READS = %w[get get_entry peek exists get_or_load load].freeze
    MANY = %w[get_many put_many remove_many].freeze
    KEYLESS = %w[invalidate fence flush cleanup].freeze
    CURRENT = :pgcache_operation

    def self.current
      Thread.current[CURRENT]
    end

    attr_reader :event

    def initialize(name, first, options, namespace)
      many = MANY.include?(name)
      @event = Event.new(kind: :operation, level: :info, operation: name, outcome: "", source: "store",
                         namespace: options[:namespace] || namespace, span: options[:span] || "", message: "", sqlstate: "",
                         key: many || KEYLESS.include?(name) ? nil : first, key_count: many ? first.size : 1, bytes: -1, number: 0,
                         began: Time.now, duration: 0.0)
      @event.key_count = 0 if KEYLESS.include?(name)
      @status = @event.operation == "peek" ? :miss : nil
      @clock = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end

    # As the innermost operation of this fiber.
    def run
      outer = Operation.current
      Thread.current[CURRENT] = self
      yield
    rescue Error => error
      @event.message = error.message
      @event.sqlstate = error.sqlstate
      @status = error.status
      raise
    rescue Exception => error # of the block of a load: what it says is the application's
      @event.message = error.class.name
      @status = :failed
      raise
    ensure
      Thread.current[CURRENT] = outer
      @event.duration = Process.clock_gettime(Process::CLOCK_MONOTONIC) - @clock
      @event.outcome = (@status || :ok).name
      @event.freeze
    end

    def answered(status)
      @status = @status.nil? && status == :ok && READS.include?(@event.operation) ? :hit : status
    end

    # What is no String is decoded, which tells its size.
    def near(hit)
      @event.source = "near"
      @status = :hit
      carried(hit.bytesize) if hit.is_a?(String)
    end

    def carried(bytes)
      @event.bytes = [@event.bytes, 0].max + bytes
      @event.number += 1
    end
  end
  private_constant :Operation

  # What a cache with providers does beside what others do.
  module Instrumented # :nodoc:
    %i[get get_entry peek exists? put add replace compare_and_swap remove touch increment get_many put_many remove_many
       get_or_load load invalidate fence flush cleanup].each do |method|
      name = method.name.delete_suffix("?")
      define_method(method) do |*arguments, **options, &block|
        told_of(Operation.new(name, arguments.first, options, @namespace)) { super(*arguments, **options, &block) }
      end
    end

    def instrument(providers)
      @providers = providers
      @near = Near
      @codec.extend(Sizes)
      @requests.extend(Statuses)
      tell
      self
    end

    private

    def told_of(operation)
      begun = @providers.map { |provider| [provider, Instrumented.safely { provider.started(operation.event) }] }
      operation.run { yield }
    ensure
      begun&.reverse_each { |provider, token| Instrumented.safely { provider.ended(token, operation.event) } }
    end

    def begin_in_child
      super
      tell
    end

    # Those that want to hear what is no call.
    def tell
      listeners = @providers.select { |provider| provider.method(:told).owner != Provider }
      return if listeners.empty?

      Instrumented.listen(observe(:slow, :states, :log), listeners)
    end

    # Knows nothing of the cache, which may become garbage.
    def self.listen(observer, listeners)
      Thread.new { observer.each { |event| listeners.each { |provider| safely { provider.told(event) } } } }
    end

    def self.safely
      yield
    rescue StandardError => error
      warn "pgcache: a provider failed: #{error.class}"
    end

    # What the memory of the process answered.
    module Near # :nodoc:
      def self.near(handle, key, options)
        hit = Raw.near(handle, key, options)
        Operation.current&.near(hit) if hit
        hit
      end

      def self.peek(handle, key, options)
        Raw.peek(handle, key, options).tap { |_, found| Operation.current&.near(nil) if found }
      end
    end

    # How many bytes an operation read or wrote.
    module Sizes # :nodoc:
      def encode(value)
        super.tap { |bytes, _| Operation.current&.carried(bytes.bytesize) }
      end

      def decode(bytes, format)
        Operation.current&.carried(bytes.bytesize)
        super
      end
    end

    # What the library answered.
    module Statuses # :nodoc:
      def finish(done)
        Operation.current&.answered(PGCache.status(Raw.completion_status(done)))
        super
      end
    end
  end
  private_constant :Instrumented
end
