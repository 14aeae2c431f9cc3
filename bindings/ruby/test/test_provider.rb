# Providers: the application's own instrumentation, and Sentry. SPDX-License-Identifier: MIT
# frozen_string_literal: true

require_relative "helper"

class TestProvider < PGCacheTest
  class Recorder
    include PGCache::Provider
    attr_reader :events, :begun

    def initialize
      @events = []
      @begun = []
    end

    def started(event)
      @begun << [event.operation, event.outcome]
      event.operation
    end

    def ended(begun, event)
      raise "not the same" unless begun == event.operation

      @events << event
    end
  end

  class Told
    include PGCache::Provider
    attr_reader :events

    def initialize = @events = Queue.new
    def told(event) = @events << event
  end

  class Broken
    include PGCache::Provider
    def started(_event) = raise("broken")
    def ended(_begun, _event) = raise("broken")
  end

  def test_operations
    recorder = Recorder.new
    here = cache(providers: [recorder])
    here.put("key", "12345".b, span: "greeting")
    here.get("key", read: :store)
    here.get("missing")
    eventually { here.peek("key") || here.get("key") && nil }
    here.add("key", 1)
    here.get_or_load("load") { here.get("inner") or 1 }
    here.get_or_load("load", namespace: @namespace) { flunk }
    eventually { here.peek("key") || here.get("key") && nil }
    here.get_entry("key")
    assert_raises(IOError) { here.get_or_load("failing") { raise IOError, "secret" } }
    assert_raises(PGCache::InvalidError) { here.get("") }
    here.get_many(%w[key missing])
    seen = recorder.events.map { |event| [event.operation, event.outcome, event.key, event.bytes] }
    assert_equal ["put", "ok", "key", 5], seen[0]
    assert_equal ["get", "hit", "key", 5], seen[1]
    assert_equal ["get", "miss", "missing", -1], seen[2]
    [["peek", "hit", "key", 5], ["add", "exists", "key", 1], ["get", "miss", "inner", -1], ["get_or_load", "ok", "load", 1],
     ["get_or_load", "hit", "load", 1], ["get", "invalid", "", -1], ["get_many", "ok", nil, 5],
     ["get_entry", "hit", "key", 5]].each { |event| assert_includes seen, event }
    assert_equal "greeting", recorder.events[0].span
    assert_equal @namespace, recorder.events[0].namespace
    assert_equal "near", recorder.events.find { |event| event.operation == "peek" && event.outcome == "hit" }.source
    assert_equal "near", recorder.events.find { |event| event.operation == "get_entry" }.source
    failing = recorder.events.find { |event| event.key == "failing" }
    assert_equal %w[IOError failed], [failing.message, failing.outcome]
    assert_operator recorder.events[0].duration, :>, 0
    assert_equal recorder.begun.size, recorder.events.size
  end

  def test_a_broken_provider_breaks_nothing
    here = cache(providers: [Broken.new])
    _, warnings = capture_io { here.put("key", 1) and assert_equal(1, here.get("key")) }
    assert_match(/a provider failed: RuntimeError/, warnings)
  end

  def test_told
    told = Told.new
    here = cache(providers: [told], slow_ms: 1)
    here.load("key") { cache.load("key", wait: 0.05) { 1 } and here.load("key", wait: 0.05) { 1 } }
    event = eventually { !told.events.empty? && told.events.pop }
    assert_includes %i[slow state log], event.kind
    pid = fork do
      told.events.clear
      here.load("child") { here.load("child", wait: 0.05) { 1 } }
      exit!(eventually { !told.events.empty? } ? 0 : 1)
    end
    assert_equal 0, Process.wait2(pid).last.exitstatus
  end

  def test_told_keeps_no_cache_from_being_garbage
    assert_operator Integer(ruby(<<~'RUBY')), :<, 5
      class Told
        include PGCache::Provider
        def told(_event) = nil
      end
      20.times { PGCache::Cache.new(janitor: nil, providers: [Told.new]).put("key", 1) }
      GC.start
      print ObjectSpace.each_object(PGCache::Cache).count
    RUBY
  end

  # What sentry-ruby looks like to PGCache::Sentry, where the gem is not installed.
  module Double
    class Span
      attr_reader :op, :description, :data, :status, :children, :finished

      def initialize(op, description)
        @op = op
        @description = description
        @data = {}
        @children = []
      end

      def start_child(op:, description:) = Span.new(op, description).tap { |child| @children << child }
      def set_data(key, value) = @data[key] = value
      def set_status(status) = @status = status
      def finish = @finished = true
    end

    class Scope
      attr_accessor :span

      def get_span = @span
      def set_span(span) = @span = span
    end

    def self.initialized? = true
    def self.get_current_scope = @scope ||= Scope.new
  end

  def with_sentry
    begin
      require "sentry-ruby"
    rescue LoadError
      puts "\n#{name}: with a double, because the gem sentry-ruby is not installed (Debian: ruby-sentry-ruby)"
      Object.const_set(:Sentry, Double)
      $LOADED_FEATURES << "sentry-ruby.rb"
    end
    require "pgcache/sentry"
    return yield(Double.get_current_scope.set_span(Double::Span.new("root", ""))) && Double.get_current_scope.span.children if ::Sentry == Double

    sent = nil
    ::Sentry.init do |config|
      config.dsn = "http://key@127.0.0.1:1/1"
      config.traces_sample_rate = 1.0
      config.background_worker_threads = 0
      config.logger = Logger.new(IO::NULL)
      config.transport.transport_class = ::Sentry::DummyTransport
    end
    transaction = ::Sentry.start_transaction(name: "test", op: "test")
    ::Sentry.get_current_scope.set_span(transaction)
    yield
    sent = transaction.span_recorder.spans - [transaction]
    transaction.finish
    ::Sentry.close if ::Sentry.respond_to?(:close)
    sent
  end

  def test_A61_sentry_spans
    here = nil
    spans = with_sentry do
      here = cache(providers: [PGCache::Sentry.new])
      here.put("key", "12345".b, span: "greeting")
      here.get("key", read: :store)
      here.get("missing")
      here.remove("key")
      here.flush
      here.get_or_load("load") { here.get("inner") or 1 }
      here.stats
      assert_raises(PGCache::InvalidError) { here.put("", 1) }
      true
    end
    seen = flat(spans).map { |span| [span.op, span.description, span.data] }
    assert_equal ["cache.put", "greeting", { "cache.key" => ["key"], "cache.item_size" => 5, "cache.success" => true }], seen[0]
    assert_equal ["cache.get", "pgcache get", { "cache.key" => ["key"], "cache.hit" => true, "cache.item_size" => 5 }], seen[1]
    assert_equal ["cache.get", "pgcache get", { "cache.key" => ["missing"], "cache.hit" => false }], seen[2]
    assert_equal ["cache.remove", "pgcache remove", { "cache.key" => ["key"], "cache.success" => true }], seen[3]
    assert_equal ["cache.flush", "pgcache flush", { "cache.success" => true }], seen[4]
    assert_equal ["cache.get", { "cache.key" => ["load"], "cache.hit" => false, "cache.item_size" => 1 }], seen[5].values_at(0, 2)
    assert_equal ["cache.get", { "cache.key" => ["inner"], "cache.hit" => false }], seen[6].values_at(0, 2)
    assert_equal [8, false], [seen.size, seen[7].last["cache.success"]]
    assert_equal %w[ok internal_error], flat(spans).map(&:status).values_at(0, 7)
  end

  private

  # The spans in the order of their beginning; those of a double are a tree.
  def flat(spans)
    spans.flat_map { |span| span.respond_to?(:children) ? [span, *flat(span.children)] : [span] }
  end
end
