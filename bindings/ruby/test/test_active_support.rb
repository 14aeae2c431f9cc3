# The store for ActiveSupport, with ActiveSupport itself. SPDX-License-Identifier: MIT
# frozen_string_literal: true

require_relative "helper"
require "minitest/mock"
require "socket"
begin
  require "pgcache/active_support"
  require "active_support/notifications"
  require "active_support/logger"
  require "active_support/core_ext/numeric/time"
  require "active_support/core_ext/object/blank"
rescue LoadError => error
  ACTIVE_SUPPORT_MISSING = error.message
end

class TestActiveSupport < PGCacheTest
  SECRET = "a secret of at least 32 bytes, of nobody else"
  # Something that JSON has no form for.
  Point = Struct.new(:x, :y)

  class Boom < StandardError; end

  def setup
    super
    skip ACTIVE_SUPPORT_MISSING if defined?(ACTIVE_SUPPORT_MISSING)
  end

  # As in an application: reads go on without the server.
  def store(of = cache(on_error: "miss"), **options)
    ActiveSupport::Cache::PgcacheStore.new(of, secret: SECRET, **options)
  end

  def test_values_of_all_kinds
    here = store
    ["bar", "", "caf\u00e9", "\xff".b, 1, 1.5, nil, false, true, :symbol, { a: "b", "c" => [nil, 2] }, Time.at(0), Point.new(1, :y), 2**80].each do |value|
      assert_equal true, here.write("key", value)
      found = here.read("key")
      value.nil? ? assert_nil(found) : assert_equal(value, found)
      assert_equal value.class, found.class
      assert here.exist?("key")
    end
  end

  def test_what_was_written_and_read_is_nobody_elses
    here = store
    text = +"bar"
    here.write("key", text)
    text << "!"
    here.read("key") << "?"
    assert_equal "bar", here.read("key")
  end

  def test_keys
    here = store
    with_key = Struct.new(:cache_key)
    by_param = Object.new
    def by_param.to_param = "param"
    names = [["fu", "foo"], { foo: 1, fu: 2 }, with_key.new("views/1"), [with_key.new("a"), with_key.new("b")], by_param, :symbol, 7,
             "#/:*(<+=> )&$%@?;'\"\\'`~-", "\u00fc".encode("ISO-8859-1"), "\xff\x00".b, "FOO"]
    names.each_with_index { |name, index| here.write(name, index) }
    names.each_with_index { |name, index| assert_equal index, here.read(name), name.inspect }
    assert_equal [0, 1, 2, 3, 4], ["fu/foo", "foo=1/fu=2", "views/1", "a/b", "param"].map { |name| here.read(name) }
    assert_nil here.read("foo")
  end

  def test_long_keys
    here = store
    long = "\u00e9" * 3000
    here.write(long, "one")
    here.write("#{long}!", "two")
    assert_equal %w[one two], [here.read(long), here.read("#{long}!")]
    assert_equal({ long => "one" }, here.read_multi(long, "#{long}?"))
    assert here.delete(long)
    assert_nil here.fetch(long)
  end

  def test_fetch
    here = store
    assert_equal(3, here.fetch("foo") { |name| name.length })
    assert_equal 3, here.fetch("foo") { flunk }
    assert_equal 5, here.fetch("foo", force: true) { 5 }
    assert_equal 5, here.read("foo")
    assert_raises(ArgumentError) { here.fetch("foo", force: true) }
    assert_raises(Boom) { here.fetch("bar") { raise Boom } }
    assert_equal false, here.exist?("bar")
    assert_equal 2, (here.fetch("outer") { here.fetch("inner") { 1 } + 1 })
    assert_equal [2, 1], [here.read("outer"), here.read("inner")]
  end

  def test_A72_a_cached_nil_is_a_hit
    here = store
    assert_nil(here.fetch("skipped", skip_nil: true) { nil })
    assert_equal false, here.exist?("skipped")
    assert_equal 1, here.fetch("skipped", skip_nil: true) { 1 }
    assert_nil(here.fetch("kept") { nil })
    assert_nil(here.fetch("kept") { flunk })
  end

  def test_many
    here = store
    assert_equal({}, here.read_multi)
    assert here.write_multi({ "a" => 1, "b" => nil, "c" => :three }, expires_in: 60)
    assert_equal({ "c" => :three, "b" => nil, "a" => 1 }, here.read_multi("c", "missing", "b", "a", "a"))
    titled = Struct.new(:cache_key, :title)
    d = titled.new("d", "D!")
    assert_equal({ "a" => 1, d => "D!", "b" => nil }, here.fetch_multi("a", d, "b") { |name| name.title })
    assert_equal %w[x a y], here.fetch_multi("x", "a", "y", &:upcase).keys
    assert_equal ["D!", "X"], [here.read("d"), here.read("x")]
    assert_in_delta 60, here.pgcache.get_entry("a").ttl, 5
    assert_equal 2, here.delete_multi(%w[a missing c])
    assert_equal [true, false], [here.delete("b"), here.delete("b")]
    assert_raises(ArgumentError) { here.fetch_multi("a") }
    assert_equal({ "x" => 1 }, here.fetch_multi("x", force: true) { 1 })
    assert_equal({ "nil" => nil }, here.fetch_multi("nil", skip_nil: true) { nil })
    assert_equal [1, false], [here.read("x"), here.exist?("nil")]
  end

  def test_A07_expires_in
    here = store(expires_in: 0.2)
    here.write("short", 1)
    here.write("long", 2, expires_in: 60)
    here.fetch("fetched") { 3 }
    here.write_multi({ "multi" => 4 })
    assert_equal [1, 2, 3, 4], %w[short long fetched multi].map { |name| here.read(name) }
    sleep 0.3
    assert_equal [nil, 2, nil, nil], %w[short long fetched multi].map { |name| here.read(name) }
    assert_equal({ "long" => 2 }, here.read_multi("short", "long"))
    assert_equal 5, here.fetch("short") { 5 }
    here.write("never", 1, expires_in: nil)
    assert_equal PGCache::NEVER, here.pgcache.get_entry("never").ttl
    here.write("over", 1, expires_in: 0)
    sleep 0.01
    assert_nil here.read("over")
  end

  # The clocks of those who write and of those who read may be anything.
  def test_A08_the_servers_clock_decides
    here = store
    then_ = Time.now - 3600
    Time.stub(:now, then_) { here.write("behind", 1, expires_in: 60) and here.fetch("fetched", expires_in: 60) { 2 } }
    Time.stub(:now, then_ + 7200) { assert_equal [1, 2], [here.read("behind"), here.fetch("fetched")] }
    assert_in_delta 60, here.pgcache.get_entry("behind").ttl, 5
  end

  def test_namespaces
    all = store
    mine = store(all.pgcache, namespace: "mine")
    mine.write("key", 1)
    all.write("key", 2)
    assert_equal [1, 2, 1], [mine.read("key"), all.read("key"), all.read("mine:key")]
    assert_equal 1, all.read("key", namespace: "mine")
    assert_equal 1, all.read("key", namespace: -> { "mine" })
    assert_equal({ "key" => 1 }, mine.read_multi("key"))
    assert_equal 3, mine.fetch("other") { 3 }
    assert_equal 2, mine.clear
    assert_equal [nil, 2], [mine.read("key"), all.read("key")]
    all.clear
    assert_nil all.read("key")
  end

  # Recyclable keys: the same key whatever the record's version is.
  def test_versions
    here = store
    record = Struct.new(:cache_key, :cache_version)
    one, two = record.new("posts/1", "1"), record.new("posts/1", "2")
    here.write(one, "first")
    assert_equal "first", here.read(one)
    assert_nil here.read(two)
    assert_equal [true, false], [here.exist?(one), here.exist?(two)]
    assert_equal({}, here.read_multi(two))
    assert_equal "second", here.fetch(two) { "second" }
    assert_equal "second", here.fetch(two) { flunk }
    assert_nil here.read(one)
    assert_equal "second", here.read("posts/1")
    here.write("key", 1, version: 7)
    assert_equal [1, nil], [here.read("key", version: 7), here.read("key", version: 8)]
    assert ActiveSupport::Cache::PgcacheStore.supports_cache_versioning?
  end

  def test_A14_counters
    here = store
    assert_equal 1, here.increment("new")
    assert_equal(-5, here.decrement("other", 5))
    here.write("count", 10, raw: true)
    assert_equal [11, 14, 12], [here.increment("count"), here.increment("count", 3), here.decrement("count", 2)]
    assert_equal "12", here.read("count", raw: true)
    here.write("text", "7", raw: true)
    assert_equal ["7", { "text" => "7" }, "7"], [here.read("text", raw: true), here.read_multi("text", raw: true), here.fetch("text", raw: true) { flunk }]
    assert_equal 8, here.increment("text")
    assert_equal 8, here.pgcache.get("text"), "as other languages read it"
    # As the stores of different versions of ActiveSupport take options.
    here.increment("brief", 1, { expires_in: 60 })
    here.decrement("briefer", expires_in: 30)
    assert_equal "-1", here.read("briefer", raw: true)
    assert_equal [60, 30], %w[brief briefer].map { |name| here.pgcache.get_entry(name).ttl.ceil }
    Array.new(8) { Thread.new { 25.times { here.increment("many") } } }.each(&:join)
    assert_equal "200", here.read("many", raw: true)
  end

  def test_a_value_that_is_no_counter
    told = []
    here = store(error_handler: ->(**what) { told << what })
    here.write("key", 1)
    assert_nil here.increment("key")
    assert_equal [[:increment, nil, PGCache::NotACounterError]], told.map { |what| [what[:method], what[:returning], what[:exception].class] }
  end

  def test_raw_values_are_for_all_languages
    here = store
    ["caf\u00e9", "007", "", "-0", "1" * 30].each do |text|
      here.write("key", text, raw: true)
      assert_equal text, here.read("key", raw: true)
      assert_equal text.b, here.pgcache.get("key")
    end
    here.write("bytes", "\xff\x00".b, raw: true)
    assert_equal "\xff\x00".b, here.read("bytes", raw: true)
    assert_equal "2", here.fetch("fetched", raw: true) { "2" }.to_s
    assert_equal 3, here.increment("fetched")
    here.pgcache.put("json", { "from" => "Python" })
    assert_equal({ "from" => "Python" }, here.read("json", raw: true))
    here.write_multi({ "many" => "text" }, raw: true)
    assert_equal "text".b, here.pgcache.get("many")
  end

  def test_delete_matched
    here = store
    there = store(here.pgcache, namespace: "app")
    fill = -> { [here, there].each { |of| of.write_multi({ "user:1" => 1, "user:2" => 2, "post:1" => 3, "a_user:1" => 4 }) } }
    fill.call
    assert_equal 2, here.delete_matched("user:")
    assert_equal({ "post:1" => 3, "a_user:1" => 4 }, here.read_multi("user:1", "user:2", "post:1", "a_user:1"))
    assert_equal 2, there.delete_matched("user:*")
    assert_equal [nil, 3], [there.read("user:1"), there.read("post:1")]
    fill.call
    assert_equal 1, there.delete_matched(/^user:\d$/, namespace: "app") - 1
    assert_equal 1, here.read("user:1")
    assert_equal 4, here.delete_matched(/user:[1]\z/) + here.delete_matched(/\Auser/) + here.delete_matched(/none/)
    assert_raises(ArgumentError) { here.delete_matched("us?r:*") }
    assert_raises(ArgumentError) { here.delete_matched("*:1") }
    assert_raises(ArgumentError) { here.delete_matched(:symbol) }
  end

  def test_cleanup_and_clear
    here = store(cache(schema: "store_#{SecureRandom.hex(4)}").tap(&:init))
    here.write("gone", 1, expires_in: 0.001)
    here.write("kept", 2)
    sleep 0.05
    assert_equal 1, here.cleanup
    assert_equal 2, here.read("kept")
    here.clear
    assert_nil here.read("kept")
  end

  def test_unless_exist
    here = store
    assert_equal [true, false, 1], [here.write("key", 1, unless_exist: true), here.write("key", 2, unless_exist: true), here.read("key")]
  end

  def test_A40_one_of_all_who_fetch_runs_the_block
    stores = Array.new(2) { store }
    runs = Queue.new
    values = Array.new(20) { |index| Thread.new { stores[index % 2].fetch("key", expires_in: 60) { sleep 0.1 and runs << 1 and Point.new(1, 2) } } }.map(&:value)
    assert_equal [Point.new(1, 2)], values.uniq
    assert_equal 1, runs.size
  end

  def test_A41_who_waits_tries_again_when_a_block_fails
    here = store
    waiter = nil
    assert_raises(Boom) do
      here.fetch("key") do
        waiter = Thread.new { here.fetch("key") { 7 } }
        sleep 0.1
        raise Boom
      end
    end
    assert_equal 7, waiter.value
  end

  def test_A42_a_block_that_outlives_its_lease
    here = store
    there = store
    assert_equal(:late, here.fetch("key", lease: 0.1) { there.fetch("key") { :other } and :late })
    assert_equal :other, here.read("key")
  end

  def test_A45_race_condition_ttl
    here = store
    there = store
    assert_equal 1, here.fetch("key", expires_in: 0.1, race_condition_ttl: 60) { 1 }
    sleep 0.2
    assert_nil here.read("key")
    assert_raises(Boom) { here.fetch("key", race_condition_ttl: 60) { raise Boom } }
    old = nil
    new = here.fetch("key", expires_in: 60, race_condition_ttl: 60) do
      old = Array.new(3) { there.fetch("key", race_condition_ttl: 60) { flunk } }
      2
    end
    assert_equal [[1, 1, 1], 2, 2], [old, new, there.fetch("key") { flunk }]
  end

  def test_A45_without_it_others_wait
    here = store
    there = store
    here.fetch("key", expires_in: 0.1) { 1 }
    sleep 0.2
    waiter = nil
    assert_equal 2, (here.fetch("key") { (waiter = Thread.new { there.fetch("key") { flunk } }) && sleep(0.1) && 2 })
    assert_equal 2, waiter.value
  end

  def test_A46_what_became_false_while_the_block_ran_is_not_stored
    here = store
    there = store
    assert_equal 1, (here.fetch("key", tags: ["orders"]) { there.pgcache.invalidate(tags: ["orders"]) || 1 })
    assert_equal false, there.exist?("key")
    # The same where there is an entry of another version.
    there.write("post", 1, version: 1, tags: ["orders"])
    assert_equal 2, (here.fetch("post", version: 2, tags: ["orders"]) { there.pgcache.invalidate(tags: ["orders"]) || 2 })
    assert_equal false, there.exist?("post")
    assert_equal({ "many" => 3 }, here.fetch_multi("many", tags: ["orders"]) { there.pgcache.invalidate(tags: ["orders"]) || 3 })
    assert_equal false, there.exist?("many")
  end

  def test_tags
    here = store
    here.write("a", 1, tags: ["orders"])
    here.write_multi({ "b" => 1, "c" => 1 }, tags: "orders")
    here.fetch("d", tags: ["orders"]) { 1 }
    here.fetch_multi("e", tags: ["orders"]) { 1 }
    here.write("f", 1, unless_exist: true, tags: ["orders"])
    here.write("kept", 1)
    assert_equal [6], here.pgcache.dependents(tags: ["orders"])["entries"]
    here.pgcache.invalidate(tags: ["orders"])
    here.pgcache.fence
    assert_equal({ "kept" => 1 }, here.read_multi("a", "b", "c", "d", "e", "f", "kept"))
  end

  def test_A80_what_is_not_signed_for_its_key_is_a_miss
    here = store
    raw = here.pgcache
    here.write("key", Point.new(1, 2))
    signed = raw.get("key")
    raw.put("moved", signed)
    [signed.bytesize - 1, 20, 40].each_with_index { |at, index| raw.put("bad#{index}", signed.dup.tap { |bytes| bytes.setbyte(at, bytes.getbyte(at) ^ 1) }) }
    raw.put("short", signed[0, 30])
    assert_equal({ "key" => Point.new(1, 2) }, here.read_multi("key", "moved", "bad0", "bad1", "bad2", "short"))
    assert_nil ActiveSupport::Cache::PgcacheStore.new(raw, secret: SECRET.reverse).read("key")
    assert_equal :anew, here.fetch("moved") { :anew }
    assert_equal :anew, here.read("moved")
    { "marshal" => Marshal.dump(Point.new(1, 2)).b, "true" => true, "number" => 1, "text" => "<script>" }.each do |key, forged|
      raw.put(key, forged)
      assert_equal [nil, {}, false], [here.read(key), here.read_multi(key), here.exist?(key)], key
      assert_equal [:own, :own], [here.fetch(key) { :own }, here.read(key)], key
    end
    ["short", nil].each { |secret| assert_raises(ArgumentError) { ActiveSupport::Cache::PgcacheStore.new(raw, secret: secret) } }
    refute_includes here.inspect, SECRET
  end

  # Of a language that has other formats, or of somebody who wants errors to be raised.
  def test_A80_what_is_in_no_format_that_is_known_is_a_miss
    told = []
    here = store(error_handler: ->(**what) { told << what[:exception].class })
    unknown = Module.new { def self.number = 99 and def self.dump(_value) = "?" }
    there = cache(serializer: unknown)
    there.put("key", 1)
    assert_equal [nil, false, {}], [here.read("key"), here.exist?("key"), here.read_multi("key")]
    assert_equal [2, 2], [here.fetch("key") { 2 }, here.read("key")]
    there.put("one", 1)
    here.write("other", 3)
    assert_equal({ "one" => "ONE", "other" => 3 }, here.fetch_multi("one", "other", &:upcase))
    assert_equal ["ONE", [PGCache::FormatError]], [here.read("one"), told.uniq]
  end

  # The server was away for a moment, so that nobody knows whether what the block has read is still true.
  def test_A46_what_was_fetched_without_a_load_is_not_stored
    of = cache
    there = cache
    here = store(of)
    fails = ->(*) { raise PGCache::TimeoutError.new("late", status: :timeout) }
    assert_equal(1, of.stub(:load, fails) { here.fetch("key", tags: ["orders"]) { there.invalidate(tags: ["orders"]) || 1 } })
    assert_nil here.read("key")
    assert_equal [2, 2], [here.fetch("key", tags: ["orders"]) { 2 }, here.read("key")]
  end

  def test_A72_the_server_is_down
    %w[miss error].each do |on_error|
      told = []
      here = store(cache("host=127.0.0.1 port=1 user=nobody", on_error: on_error), error_handler: ->(**what) { told << what[:method] })
      assert_nil here.read("key")
      assert_equal({}, here.read_multi("key"))
      assert_equal [false, false, false, nil, nil], [here.write("key", 1), here.delete("key"), here.exist?("key"), here.increment("key"), here.clear]
      assert_equal [3, 0], [here.fetch("key") { |name| name.length }, here.delete_multi(["key"])]
      assert_equal [{ "a" => "A" }, false], [here.fetch_multi("a", &:upcase), here.write_multi({ "a" => 1 })]
      assert_empty %i[write_entry delete_entry increment clear delete_multi_entries write_multi_entries] - told
      assert_equal on_error == "error", (%i[read_entry read_multi_entries fetch] - told).empty?
    end
  end

  def test_A72_a_server_that_says_nothing_is_not_waited_for_once_for_each_key
    silent = TCPServer.new("127.0.0.1", 0)
    here = store(cache("host=127.0.0.1 user=nobody port=#{silent.addr[1]}", on_error: "miss", timeout_ms: 300, breaker_failures: 1000))
    names = Array.new(10, &:to_s)
    assert_operator seconds { assert_equal names, here.fetch_multi(*names) { |name| name }.values }, :<, 1.5
    # What the blocks take is not the cache's.
    there = store(cache(timeout_ms: 1000))
    2.times { |round| assert_equal({ "a" => 0, "b" => 0, "c" => 0 }, there.fetch_multi("a", "b", "c") { sleep(0.6) && round }) }
  ensure
    silent&.close
  end

  def test_an_object_of_a_class_that_is_no_more
    told = []
    here = store(error_handler: ->(**what) { told << what[:exception].class })
    self.class.const_set(:Gone, Struct.new(:x))
    here.write("key", self.class::Gone.new(1))
    self.class.send(:remove_const, :Gone)
    assert_nil here.read("key")
    assert_equal({}, here.read_multi("key"))
    assert_equal 2, here.fetch("key") { 2 }
    assert_equal 2, here.read("key")
    assert_equal [ArgumentError], told.uniq if ActiveSupport::VERSION::STRING < "7.1" # which keeps it to itself
  end

  def test_the_default_error_handler_logs
    lines = StringIO.new
    ActiveSupport::Cache::PgcacheStore.logger = Logger.new(lines)
    assert_equal false, store(cache("host=127.0.0.1 port=1 user=nobody")).write("key", 1)
    assert_match(/PgcacheStore: write_entry failed, returned false: PGCache::UnavailableError/, lines.string)
    store(cache).fetch("other") { 1 }
    assert_operator lines.string.lines.map(&:size).max, :<, 1000
  ensure
    ActiveSupport::Cache::PgcacheStore.logger = nil
  end

  def test_mistakes_are_told
    here = store
    assert_raises(PGCache::InvalidError) { here.write("key", 1, tags: [""]) }
    assert_raises(PGCache::InvalidError, ArgumentError) { here.read("") } # ActiveSupport's own since 7.1
    assert_raises(ArgumentError) { here.write(nil, 1) }
    assert_raises(TypeError) { here.write("key", proc {}) }
    assert_raises(PGCache::BusyError) { here.fetch("key") { raise PGCache::BusyError, "of the block" } }
  end

  def test_rails_finds_it_by_its_name
    here = ActiveSupport::Cache.lookup_store(:pgcache_store, "null:", { secret: SECRET, namespace: "app" })
    @caches << here.pgcache
    assert_instance_of ActiveSupport::Cache::PgcacheStore, here
    assert_equal 1, here.fetch("key") { 1 }
    assert_nil here.read("key")
    assert_equal "app", here.options[:namespace]
  end

  def test_without_activesupport
    output = ruby('begin; require "pgcache/active_support"; rescue LoadError => e; print e.message; end', preload: %w[-W0 --disable=gems])
    assert_match(/needs the gem activesupport/, output)
  end

  def test_instrumentation
    here = store
    events = []
    subscriber = ActiveSupport::Notifications.subscribe(/^cache_.*\.active_support$/) { |name, _, _, _, payload| events << [name[/\w+/], payload[:hit]] }
    here.fetch("key") { 1 }
    here.fetch("key") { flunk }
    here.increment("count")
    here.fetch_multi("key", "missing") { |name| name }
    assert_equal [["cache_read_multi", nil], ["cache_read", false], ["cache_generate", nil], ["cache_write", nil]], events.pop(4)
    assert_equal [["cache_read", false], ["cache_generate", nil], ["cache_write", nil], ["cache_read", true], ["cache_fetch_hit", nil],
                  ["cache_increment", nil]], events
  ensure
    ActiveSupport::Notifications.unsubscribe(subscriber) if subscriber
  end

  # ActiveSupport has that since 7.1.
  def test_a_block_may_change_how_long_its_value_lives
    skip "activesupport #{ActiveSupport::VERSION::STRING} has no options for blocks" unless defined?(ActiveSupport::Cache::WriteOptions)
    here = store
    here.fetch("key") { |_, options| options.expires_in = 60 and 1 }
    assert_in_delta 60, here.pgcache.get_entry("key", read: :store).ttl, 5
  end
end
