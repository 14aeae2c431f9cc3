# Loads and invalidation. SPDX-License-Identifier: MIT
# frozen_string_literal: true

require_relative "helper"
require "minitest/mock"
require "open3"

class TestLoads < PGCacheTest
  class Boom < StandardError; end

  def test_a_miss_and_a_hit_give_the_same
    here = cache
    value = { "count" => 3, "list" => [nil, "x"] }
    assert_equal(value, here.get_or_load("key", ttl: 60) { { count: 3, list: [nil, :x] } })
    assert_equal(value, here.get_or_load("key") { flunk })
    assert_equal "\xff".b, here.get_or_load("bytes") { "\xff".b }
    assert_nil(here.get_or_load("null") { nil })
    assert_nil(here.get_or_load("null") { flunk })
    assert_in_delta 60, here.get_entry("key").ttl, 2
    assert_raises(ArgumentError) { here.get_or_load("key") }
  end

  def test_A40_one_load_for_many_threads
    runs = Queue.new
    caches = [cache, cache]
    threads = Array.new(40) do |index|
      Thread.new { caches[index % 2].get_or_load("key") { sleep 0.1 and runs << 1 and 42 } }
    end
    assert_equal [42], threads.map(&:value).uniq
    assert_equal 1, runs.size
  end

  def test_A40_one_load_for_many_processes
    processes, threads = LONG ? [20, 50] : [4, 10]
    script = <<~RUBY
      PGCache::Cache.open(on_error: "error", janitor: nil) do |cache|
        Array.new(#{threads}) { Thread.new { cache.get_or_load("key", wait: 30, deadline: 30) { puts "ran"; sleep 0.5; 42 } } }.each { |t| t.value == 42 or abort "wrong" }
      end
    RUBY
    outputs = Array.new(processes) { Thread.new { ruby(script) } }.map(&:value)
    assert_equal "ran\n", outputs.join
  end

  def test_A41_a_load_that_fails
    here = cache
    assert_raises(Boom) { here.get_or_load("key") { raise Boom } }
    assert_nil here.get("key")
    waiter = nil
    assert_raises(Boom) do
      here.get_or_load("key") do
        waiter = Thread.new { here.get_or_load("key") { 7 } }
        sleep 0.1
        raise Boom
      end
    end
    assert_equal 7, waiter.value
  end

  def test_what_cannot_be_written_is_an_error_and_the_lease_is_given_back
    here = cache(max_value_bytes: 100)
    assert_raises(PGCache::FormatError) { here.get_or_load("key") { Float::NAN } }
    assert_equal("x".b * 200, here.get_or_load("key") { "x".b * 200 })
    assert_equal 1, here.get_or_load("key", wait: 1) { 1 }
  end

  def test_a_block_that_is_left_gives_the_lease_back
    here = cache
    assert_equal(:left, here.get_or_load("key") { break :left })
    thread = Thread.new { here.get_or_load("key") { sleep } }
    eventually { thread.status == "sleep" && here.counters[:loads] == 2 }
    thread.kill.join
    assert_equal 1, here.get_or_load("key", wait: 2) { 1 }
  end

  def test_A43_loaders_use_the_cache
    here = cache(pool_max: 1)
    values = Array.new(8) do |index|
      Thread.new { here.get_or_load("outer#{index}") { here.get_or_load("inner") { here.put("other", 1) and 5 } + here.get("other") } }
    end.map(&:value)
    assert_equal [6] * 8, values
  end

  def test_A45_stale_while_somebody_refreshes
    here = cache
    there = cache
    assert_equal 1, here.get_or_load("key", ttl: 0.1, stale: 60) { 1 }
    sleep 0.2
    refreshing = Queue.new
    assert_equal 1, here.get_or_load("key", ttl: 60, stale: 60) { refreshing.pop and 2 }
    assert_equal 1, there.get_or_load("key", ttl: 60, stale: 60) { flunk }
    refreshing << true
    eventually { there.get_or_load("key", ttl: 60, stale: 60) { flunk } == 2 }
  end

  def test_A45_a_refresh_that_fails_is_reported
    here = cache
    here.get_or_load("key", ttl: 0.1, stale: 60) { 1 }
    sleep 0.2
    before = Thread.list.size
    _, reported = capture_io do
      assert_equal 1, here.get_or_load("key", stale: 60, throttle: 60) { raise Boom, "of the refresh" }
      eventually { here.counters[:load_failures] == 1 && Thread.list.size == before }
    end
    assert_match(/Boom/, reported)
    assert_equal 1, here.get_or_load("key", stale: 60) { flunk }
  end

  def test_A45_at_most_so_many_refresh_at_once
    here = cache
    keys = (0...8).map { |index| "k#{index}" }
    keys.each { |key| here.get_or_load(key, ttl: 0.1, stale: 60) { 1 } }
    sleep 0.2
    go = Queue.new
    keys.each { |key| assert_equal 1, here.get_or_load(key, ttl: 60, stale: 60) { go.pop and 2 } }
    eventually { go.num_waiting == 4 }
    8.times { go << true }
    keys.each { |key| eventually { here.get_or_load(key, ttl: 60, stale: 60) { 2 } == 2 } }
  end

  def test_A45_fail_safe_and_throttle
    here = cache
    runs = 0
    here.get_or_load("key", ttl: 0.1, fail_safe: 60) { 1 }
    sleep 0.2
    2.times { assert_equal 1, here.get_or_load("key", ttl: 60, fail_safe: 60, throttle: 5) { runs += 1 and raise Boom } }
    assert_equal 1, runs
    assert_nil here.get("key")
  end

  def test_A45_something_stale_stands_in_for_a_load_that_is_late
    here = cache
    here.get_or_load("key", ttl: 0.1, fail_safe: 60) { 1 }
    sleep 0.2
    late = Queue.new
    took = seconds do
      assert_equal 1, here.get_or_load("key", ttl: 60, fail_safe: 60, wait: 0.2) { late.pop and 2 }
    end
    assert_operator took, :<, 10
    late << true
    eventually { here.get("key") == 2 }
    here.get_or_load("quick", ttl: 0.1, fail_safe: 60) { 1 }
    sleep 0.2
    assert_equal 2, here.get_or_load("quick", ttl: 60, fail_safe: 60, wait: 5) { 2 }
  end

  def test_A45_absence_is_remembered
    here = cache
    assert_nil(here.get_or_load("key", absent_ttl: 60) { PGCache::ABSENT })
    assert_nil(here.get_or_load("key", absent_ttl: 60) { flunk })
    assert_nil here.get("key")
    here.invalidate(keys: ["key"])
    assert_equal 1, here.get_or_load("key") { 1 }
  end

  def test_A45_early_refresh_and_jitter
    here = cache
    here.get_or_load("key", ttl: 1, jitter: 50, early: 1000) { sleep 0.2 and 1 }
    assert_operator here.get_entry("key").ttl, :<=, 1
    runs = Queue.new
    eventually { here.get_or_load("key", ttl: 1, early: 1000) { runs << 1 and 2 } and !runs.empty? }
    assert_raises(PGCache::InvalidError) { here.get_or_load("other", jitter: 51) { 1 } }
  end

  def test_busy
    here = cache
    here.load("key") do |load|
      assert load.lease?
      assert_raises(PGCache::BusyError) { cache.get_or_load("key", wait: 0.05) { flunk } }
    end
  end

  def test_low_level_loads
    here = cache
    given = here.load("key", ttl: 60) do |load|
      assert_equal [:lease, nil, nil, true], [load.status, load.value, load.entry, load.lease?]
      assert_equal true, load.extend_lease(20)
      assert_operator load.fill("value"), :>, 0
      assert_equal false, load.lease?
      assert_raises(PGCache::InvalidError) { load.fill("again") }
      :given
    end
    assert_equal :given, given
    here.load("key") do |load|
      assert_equal [:ok, "value", false], [load.status, load.value, load.lease?]
      assert_raises(PGCache::InvalidError) { load.abandon }
    end
    here.load("other", &:abandon)
    here.load("other") { |load| assert_equal :lease, load.status } # and is given back
    here.load("other", absent_ttl: 60) { |load| assert_equal true, load.fill_absent }
    here.load("other") { |load| assert_equal :miss, load.status }
  end

  def test_low_level_loads_take_dependencies
    here = cache
    here.load("key", tags: "t", keys: ["other"]) { |load| load.fill(1, tags: ["u"]) }
    assert_equal [1, 1, 1], here.dependents(tags: %w[t u], keys: ["other"])["entries"]
    here.invalidate(tags: ["t"])
    assert_nil here.get("key", read: :store)
  end

  def test_a_load_without_a_block_takes_no_lease
    assert_raises(ArgumentError) { cache.load("key") }
    assert_equal :lease, cache.load("key", wait: 0.1, &:status)
  end

  # A lease that was lost would be there again only when it is over.
  def test_loads_that_are_interrupted_at_any_moment
    here = cache
    there = cache
    GC.disable
    took = seconds { here.load("first", &:abandon) }
    (LONG ? 1000 : 100).times do |round|
      thread = Thread.new { here.load("key#{round}") { sleep } }
      sleep rand * 2 * took
      thread.kill.join
      assert_equal :lease, there.load("key#{round}", wait: 1, lease: 5, &:status), "round #{round}"
    end
  ensure
    GC.enable
  end

  def test_low_level_failure
    here = cache
    here.load("key", ttl: 0.05, fail_safe: 60) { |load| load.fill(1) }
    sleep 0.1
    here.load("key", ttl: 60, fail_safe: 60) do |load|
      entry = load.fail
      assert_equal [1, true], [entry.value, entry.stale?]
    end
    here.load("other") { |load| assert_nil load.fail }
  end

  def test_A45_a_load_goes_on_in_the_background
    here = cache
    there = cache
    here.load("key", ttl: 0.05, stale: 60) { |load| load.fill(1) }
    sleep 0.1
    go = Queue.new
    here.load("key", ttl: 60, stale: 60) do |load|
      assert_equal :stale, load.status
      assert_equal true, load.in_background { |later| go.pop and later.fill(2) }
    end
    there.load("key", stale: 60) { |load| assert_equal [:stale, 1, false], [load.status, load.value, load.lease?] }
    go << true
    eventually { there.get("key") == 2 }
    there.load("key") { |load| assert_raises(PGCache::InvalidError) { load.in_background { flunk } } }
  end

  def test_A45_what_a_load_in_the_background_leaves_open_is_given_back
    here = cache
    there = cache
    here.load("key") { |load| load.in_background { nil } }
    there.load("key", wait: 5) { |load| assert load.lease? }
    go = Queue.new
    4.times { |index| here.load("k#{index}") { |load| load.in_background { go.pop } } }
    here.load("one more") do |load|
      assert_equal false, load.in_background { flunk }
      assert load.lease?
    end
    there.load("one more", wait: 5) { |load| assert load.lease? }
    4.times { go << true }
  end

  def test_A45_where_the_system_has_no_threads_left
    here = cache
    here.get_or_load("key", ttl: 0.05, stale: 60) { 1 }
    sleep 0.1
    Thread.stub(:new, ->(*) { raise ThreadError, "can't create Thread" }) do
      assert_equal 1, here.get_or_load("key", ttl: 60, stale: 60) { flunk }
    end
    cache.load("key", stale: 60) { |load| assert load.lease?, "the lease was given back" }
  end

  def test_A46_an_invalidation_between_the_miss_and_the_fill
    here = cache
    there = cache
    assert_equal 1, (here.get_or_load("key", tags: ["orders"]) { there.invalidate(tags: ["orders"]) or 1 })
    assert_nil here.get("key", read: :store), "a value whose tag was invalidated is not stored"
    here.load("key") do |load|
      there.invalidate(keys: ["key"])
      assert_nil load.fill(1)
    end
    assert_nil there.get("key", read: :store)
  end

  def test_tags_end_what_depends_on_them
    here = cache
    here.put("a", 1, tags: ["t"], keys: ["other"])
    here.put_many({ "b" => 1, "c" => 1 }, tags: "t")
    here.get_or_load("d", tags: ["t"]) { 1 }
    here.get_or_load("e") { |load| load.depend(tags: "t") and 1 }
    assert_equal [5, 1], here.dependents(tags: ["t"], keys: ["other"])["entries"]
    here.invalidate(tags: ["t"])
    assert_equal({}, here.get_many(%w[a b c d e], read: :store))
  end

  # As an application does on a connection of its own.
  def test_invalidation_in_a_transaction_of_the_application
    here = cache
    tag = %q(a "tag", with \ and {braces})
    psql = lambda do |ending|
      sql, parameters = here.invalidation(tags: [tag], keys: ["caf\u00e9"])
      parameters.each_with_index { |text, index| sql = sql.sub("$#{index + 1}") { "$q$#{text}$q$" } }
      output, status = Open3.capture2e("#{ENV.fetch("PGCACHE_TEST_BINDIR")}/psql", "-XqAtd", URL, "-v", "ON_ERROR_STOP=1",
                                       stdin_data: "BEGIN; #{sql}; #{ending};")
      assert status.success?, output
    end
    here.put("key", 1, tags: [tag])
    here.put("caf\u00e9", 1)
    psql.call("ROLLBACK")
    assert_equal 1, here.get("key", read: :store)
    psql.call("COMMIT")
    assert_nil here.get("key", read: :store)
    assert_nil here.get("caf\u00e9", read: :store)
    assert_raises(PGCache::InvalidError) { here.invalidation(keys: ["\xff".b]) }
  end
end
