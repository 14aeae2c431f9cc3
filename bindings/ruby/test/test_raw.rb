# The raw layer: every function once, with what it takes and gives. SPDX-License-Identifier: MIT
# frozen_string_literal: true

require_relative "helper"

class TestRaw < PGCacheTest
  RAW = PGCache.const_get(:Raw)

  # Calls the raw layer, and remembers what was called.
  class Recorder < BasicObject
    def initialize(called)
      @called = called
    end

    def method_missing(name, *arguments)
      @called << name.to_sym
      RAW.public_send(name, *arguments)
    end

    def public_send(name, *arguments)
      method_missing(name, *arguments)
    end
  end

  def setup
    super
    @called = []
    @raw = Recorder.new(@called)
  end

  def handle
    _, config = @raw.config_new
    { url: URL, schema: SCHEMA, namespace: @namespace, publish_ms: "1000" }.each { |name, value| @raw.config_set(config, name.to_s, value) }
    _, made = @raw.new(config)
    made
  end

  def test_every_function
    cache = handle
    one_key(cache)
    reads(cache)
    many_keys(cache)
    loads(cache)
    whole(cache)
    figures(cache)
    requests(cache)
    requests_on_keys(cache)
    requests_on_the_whole(cache)
    rest(cache)
    assert_empty RAW.singleton_methods(false) - @called
  end

  def test_freeing
    cache = handle
    @raw.put(cache, "key", "v", 0, 60_000, nil)
    _, value = @raw.get(cache, "key", nil)
    _, observer = @raw.observe(cache, RAW::OBSERVE_OPERATIONS, RAW::LEVEL_INFO, 10)
    2.times { @raw.free(cache) }
    assert_raises(PGCache::ClosedError) { @raw.get(cache, "key", nil) }
    assert_equal "v", @raw.value_data(value)
    assert_raises(PGCache::ClosedError) { 3.times { @raw.observer_next(observer, 0) } } # with the handle that it holds
    2.times { @raw.value_free(value) }
    assert_raises(PGCache::ClosedError) { @raw.value_data(value) }
    assert_raises(TypeError) { @raw.get(value, "key", nil) }
    assert_raises(TypeError) { @raw.get(nil, "key", nil) }
    assert_raises(TypeError) { @raw.value_data("text") }
  end

  def test_arguments
    cache = handle
    { { colour: 1 } => ArgumentError, { namespace_name: "a\0b" } => PGCache::InvalidError, { tags: "t" } => TypeError, { tags: [1] } => TypeError,
      { deadline_ms: 1.5 } => TypeError, 7 => TypeError, { namespace_name: "" } => PGCache::InvalidError }.each do |options, error|
      assert_raises(error, options.inspect) { @raw.put(cache, "key", "v", 0, 1000, options) }
    end
    assert_raises(ArgumentError) { @raw.load_begin(cache, "key", { ttl: 1 }, nil) }
    assert_raises(TypeError) { @raw.get_many(cache, ["key"], nil) }
    assert_raises(TypeError) { @raw.put_many(cache, [["key", "v", "0", 1]], nil) }
    assert_raises(ArgumentError) { @raw.invalidate(cache, { names: [] }, nil) }
    assert_raises(ArgumentError) { @raw.get(cache, "key") }
  end

  # What gives it back has a completion, too.
  def test_leases_that_nobody_takes
    cache = handle
    other = handle
    keys = (0...20).map { |index| "lease#{index}" }
    begun = keys.map { |key| done(cache, :submit_load_begin, cache, key, nil, nil) }
    begun.each_with_index { |each, index| index.even? ? @raw.completion_free(each) : @raw.load_free(@raw.completion_load(each)) }
    keys.each { |key| assert_equal RAW::LEASE, @raw.completion_status(done(other, :submit_load_begin, other, key, { wait_ms: 5000 }, nil)) }
    eventually do
      done(cache, :submit_exists, cache, "key", nil)
      _, snapshot = @raw.stats_snapshot(cache)
      untaken = (0...@raw.snapshot_size(snapshot)).find { |each| @raw.snapshot_name(snapshot, each) == "pgcache_requests_untaken" }
      @raw.snapshot_value(snapshot, untaken).zero?
    end
  end

  # Then it cannot be given back, which is told to observers.
  def test_a_lease_that_is_freed_after_its_handle
    cache = handle
    _, observer = @raw.observe(cache, RAW::OBSERVE_OPERATIONS, RAW::LEVEL_INFO, 10)
    load = @raw.completion_load(done(cache, :submit_load_begin, cache, "late", nil, nil))
    @raw.shutdown(cache)
    @raw.load_free(load)
    assert_raises(PGCache::ClosedError) { @raw.load_extend(load, 1000, nil) }
    @raw.observer_free(observer)
  end

  private

  def one_key(cache)
    assert_includes [RAW::OK, RAW::EXISTS], @raw.init(cache, nil)
    status, version = @raw.put(cache, "key", "value", 0, 60_000, { tags: ["t"], keys: ["other"], span_name: "raw" })
    assert_equal RAW::OK, status
    assert_equal [RAW::EXISTS, 0], @raw.add(cache, "key", "value", 0, 60_000, nil)
    _, newer = @raw.replace(cache, "key", "value", 0, 60_000, nil)
    _, newest = @raw.compare_and_swap(cache, "key", "value", 0, 60_000, newer, nil)
    assert_equal [version, newer, newest], [version, newer, newest].sort
    assert_equal RAW::OK, @raw.exists(cache, "key", nil)
    assert_equal RAW::OK, @raw.touch(cache, "key", RAW::TTL_NEVER, nil).first
    assert_equal RAW::MISS, @raw.remove(cache, "missing", nil)
    assert_equal [RAW::OK, 12], @raw.increment(cache, "count", 2, 10, 60_000, nil).first(2)
    assert_equal RAW::OK, @raw.fence(cache, nil)
  end

  def reads(cache)
    assert_equal [RAW::MISS, nil], @raw.get(cache, "missing", nil)
    _, value = @raw.get(cache, "key", { read_mode: RAW::READ_STORE, deadline_ms: 5000, namespace_name: @namespace })
    again = @raw.value_retain(value)
    @raw.value_free(value)
    assert_equal ["value", 5, 0, 0, RAW::TTL_NEVER],
                 %i[value_data value_size value_format value_is_stale value_ttl_ms].map { |name| @raw.public_send(name, again) }
    assert_operator @raw.value_version(again), :>, 0
    assert_equal [RAW::OK, "value", 5], @raw.get_into(cache, 10, "key", nil)
    assert_equal [RAW::TOO_SMALL, nil, 5], @raw.get_into(cache, 4, "key", nil)
    assert_includes [RAW::OK, RAW::MISS], @raw.peek(cache, "key", nil).first
    assert_includes [nil, "value"], @raw.near(cache, "key", nil)
  end

  def many_keys(cache)
    _, stored = @raw.put_many(cache, [["a", "1", 0, 60_000], ["b", "null", 1, RAW::TTL_DEFAULT]], nil)
    assert_equal [RAW::OK, RAW::OK], stored.map(&:first)
    _, found = @raw.get_many(cache, [["b"], ["missing"], ["a"]], nil)
    assert_equal [RAW::OK, RAW::MISS, RAW::OK], found.map(&:first)
    assert_equal ["null", "1"], found.map(&:last).compact.map { |value| @raw.value_data(value) }
    assert_equal [RAW::OK, RAW::MISS], @raw.remove_many(cache, [["a"], ["missing"]], nil).last.map(&:first)
    assert_equal [RAW::OK, ["b"]], @raw.keys(cache, 10, "b", nil, nil).then { |status, page| [status, page.map { |key| @raw.value_data(key) }] }
  end

  def loads(cache)
    status, value, load = @raw.load_begin(cache, "load", { ttl_ms: 1, fail_safe_ms: 60_000, wait_ms: 0 }, nil)
    assert_equal [RAW::LEASE, nil], [status, value]
    assert_equal RAW::OK, @raw.load_extend(load, 20_000, nil)
    assert_equal RAW::OK, @raw.load_fill(load, "v", 0, { tags: ["t"] }).first
    sleep 0.05
    _, _, load = @raw.load_begin(cache, "load", { ttl_ms: 1, fail_safe_ms: 60_000 }, nil)
    assert_equal RAW::STALE, @raw.load_fail(load, nil).first
    _, _, load = @raw.load_begin(cache, "absent", { absent_ttl_ms: 60_000 }, nil)
    assert_equal RAW::OK, @raw.load_fill_absent(load, nil).first
    _, _, load = @raw.load_begin(cache, "abandoned", nil, nil)
    assert_equal RAW::OK, @raw.load_abandon(load, nil)
    @raw.load_free(load)
    assert_equal RAW::OK, @raw.invalidate(cache, { tags: ["t"], keys: ["k"] }, nil)
    assert_match(/"entries" ?: ?\[0\]/, @raw.value_data(@raw.dependents(cache, { tags: ["t"] }, nil).last))
  end

  def whole(cache)
    assert_equal RAW::EXISTS, @raw.upgrade(cache, nil)
    assert_equal RAW::OK, @raw.set_limits(cache, RAW::LIMIT_NAMESPACE, 100, RAW::LIMIT_KEEP, nil)
    assert_equal 2, @raw.read_usage(cache, 2, nil, nil).last.size
    assert_operator @raw.stats(cache, nil).last.entries, :>, 0
    assert_match(/"findings"/, @raw.value_data(@raw.doctor(cache, nil).last))
    status, janitor = @raw.janitor_start(cache, 60_000)
    assert_equal RAW::OK, status
    assert_equal RAW::OK, @raw.janitor_stop(janitor, 5000)
    @raw.janitor_free(janitor)
    # Busy: the janitor of another test's cache is at it.
    assert_equal [RAW::OK, 1], @raw.cleanup_some(cache, nil, 5000, nil).then { |found, progress| [found, progress.finished | progress.busy] }
    assert_kind_of Integer, @raw.cleanup(cache, nil).last
    assert_operator @raw.flush(cache, RAW::FLUSH_NAMESPACE, nil).last, :>, 0
  end

  def figures(cache)
    _, snapshot = @raw.stats_snapshot(cache)
    assert_equal RAW::OK, @raw.snapshot_add(snapshot, @raw.stats_snapshot(cache).last)
    assert_operator @raw.snapshot_taken_at(snapshot), :>, 0
    index = (0...@raw.snapshot_size(snapshot)).find { |each| @raw.snapshot_kind(snapshot, each) == RAW::HISTOGRAM }
    assert_equal "pgcache_operation_duration_seconds", @raw.snapshot_name(snapshot, index)
    assert_equal "seconds", @raw.snapshot_unit(snapshot, index)
    refute_empty @raw.snapshot_help(snapshot, index)
    assert_equal 4, @raw.snapshot_labels(snapshot, index)
    assert_equal "operation", @raw.snapshot_label_name(snapshot, index, 0)
    refute_empty @raw.snapshot_label_value(snapshot, index, 0)
    assert_operator @raw.snapshot_value(snapshot, index), :>, 0
    assert_equal @raw.snapshot_count(snapshot, index), @raw.snapshot_count_to(snapshot, index, 1000.0)
    assert_operator @raw.snapshot_percentile(snapshot, index, 50.0), :>, 0
    refute_empty @raw.snapshot_origin(snapshot)
    @raw.snapshot_free(snapshot)
    assert_kind_of Array, @raw.read_published(cache, 10, nil, nil).last
    assert_operator @raw.read_counters(cache).last.loads, :>, 0
    events(cache)
  end

  def events(cache)
    _, observer = @raw.observe(cache, RAW::OBSERVE_OPERATIONS | RAW::OBSERVE_KEYS, RAW::LEVEL_INFO, 10)
    @raw.put(cache, "seen", "v", 0, 60_000, nil)
    _, event = @raw.observer_next(observer, 1000)
    assert_equal ["put", "seen"], [event.operation, event.key_bytes]
    @raw.event_free(event)
    assert_equal 0, @raw.observer_dropped(observer)
    @raw.observer_free(observer)
  end

  def requests(cache)
    _, id = @raw.submit_put(cache, "key", "value", 0, 60_000, { token: 77 })
    assert_equal [RAW::OK, nil], @raw.wait(cache, id, 20_000).then { |status, done| [status, put_of(done, id)] }
    _, id = @raw.submit_get(cache, "key", { read_mode: RAW::READ_STORE })
    done = @raw.await(cache, id, -1)
    assert_equal [1, "value"], [@raw.completion_count(done), @raw.value_data(@raw.completion_value(done, 0))]
    assert_nil @raw.await(cache, id, -1)
    assert_kind_of Integer, @raw.event_fd(cache).last
    _, id = @raw.submit_exists(cache, "key", nil)
    found = eventually { @raw.take(cache).then { |status, taken| taken if status == RAW::OK } }
    assert_equal id, @raw.completion_id(found)
    assert_equal RAW::MISS, @raw.cancel(cache, id)
  end

  def put_of(done, id)
    assert_equal [id, 77, RAW::OK, "", ""], %i[id token status sqlstate message].map { |name| @raw.public_send("completion_#{name}", done) }
    assert_operator @raw.completion_version(done), :>, 0
    @raw.completion_free(done)
  end

  # Submits, waits, and gives the completion.
  def done(cache, submit, *arguments)
    _, id = @raw.public_send(submit, *arguments)
    @raw.await(cache, id, -1)
  end

  def requests_on_keys(cache)
    { submit_add: ["key", "v", 0, 1000], submit_replace: ["key", "v", 0, 1000], submit_compare_and_swap: ["key", "v", 0, 1000, 1],
      submit_touch: ["key", 1000], submit_remove: ["key"], submit_increment: ["n", 1, 0, 1000] }.each do |submit, arguments|
      assert_operator @raw.completion_status(done(cache, submit, cache, *arguments, nil)), :>=, 0, submit
    end
    many = done(cache, :submit_put_many, cache, [["a", "1", 0, 60_000]], nil)
    assert_equal ["a", RAW::OK, nil], @raw.completion_item(many, 0).values_at(0, 1, 3)
    assert_nil @raw.completion_item(many, 1)
    assert_equal "1", @raw.value_data(@raw.completion_item(done(cache, :submit_get_many, cache, [["a"]], nil), 0).last)
    assert_equal RAW::OK, @raw.completion_item(done(cache, :submit_remove_many, cache, [["a"]], nil), 0)[1]
    ends = { submit_load_fill: ["v", 0], submit_load_fill_absent: [], submit_load_fail: [], submit_load_abandon: [] }
    ends.each do |submit, arguments|
      load = @raw.completion_load(done(cache, :submit_load_begin, cache, submit.name, nil, nil))
      assert_equal RAW::OK, @raw.completion_status(done(cache, :submit_load_extend, load, 5000, nil))
      assert_operator @raw.completion_status(done(cache, submit, load, *arguments, nil)), :>=, 0, submit
    end
  end

  def requests_on_the_whole(cache)
    assert_equal RAW::EXISTS, @raw.completion_status(done(cache, :submit_init, cache, nil))
    assert_equal RAW::EXISTS, @raw.completion_status(done(cache, :submit_upgrade, cache, nil))
    assert_equal RAW::OK, @raw.completion_status(done(cache, :submit_invalidate, cache, { tags: ["t"] }, nil))
    assert_equal RAW::OK, @raw.completion_status(done(cache, :submit_set_limits, cache, RAW::LIMIT_NAMESPACE, 0, 0, nil))
    assert_operator @raw.completion_count(done(cache, :submit_keys, cache, 10, nil, nil, nil)), :>, 0
    assert_equal "", @raw.completion_usage(done(cache, :submit_read_usage, cache, 10, nil, nil), 0).namespace_name
    assert_operator @raw.completion_stats(done(cache, :submit_stats, cache, nil)).entries, :>, 0
    assert_match(/findings/, @raw.value_data(@raw.completion_value(done(cache, :submit_doctor, cache, nil), 0)))
    assert_kind_of Integer, @raw.completion_progress(done(cache, :submit_cleanup_some, cache, [1, 0, 0], 5000, nil)).blocks
    assert_kind_of Integer, @raw.completion_number(done(cache, :submit_cleanup, cache, nil))
    assert_operator @raw.completion_number(done(cache, :submit_flush, cache, RAW::FLUSH_NAMESPACE, nil)), :>, 0
  end

  def rest(cache)
    _, config = @raw.config_new
    @raw.config_load_environment(config)
    assert_equal "10", @raw.config_get(config, "pool_max")
    assert_equal "url", @raw.config_describe(0).last.name
    assert_match(/CREATE SCHEMA/, @raw.value_data(@raw.init_sql(config).last))
    @raw.config_free(config)
    assert_equal ["1.0.0", 10_000], [@raw.version, @raw.version_number]
    assert_equal "PGCACHE_MISS", @raw.status_name(RAW::MISS)
    refute_empty @raw.status_text(RAW::MISS)
    @raw.shutdown(cache)
    @raw.free(cache)
  end
end
