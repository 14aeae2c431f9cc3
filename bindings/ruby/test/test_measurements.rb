# Figures and events. SPDX-License-Identifier: MIT
# frozen_string_literal: true

require_relative "helper"
require "open3"
require "pgcache/prometheus"

class TestMeasurements < PGCacheTest
  def test_A60_samples
    here = cache
    here.put("key", "x".b * 100, span: "greeting")
    2.times { here.get("key", span: "greeting", read: :store) }
    here.get("missing", span: "greeting")
    snapshot = here.snapshot
    hits = snapshot.find { |sample| sample.name == "pgcache_hits_total" && sample.labels == { source: "store", span_name: "greeting" } }
    assert_equal [:counter, 2.0, ""], [hits.kind, hits.value, hits.unit]
    assert_match(/found/, hits.help)
    sizes = snapshot.find { |sample| sample.name == "pgcache_item_size_bytes" && sample.labels[:operation] == "put" }
    assert_equal [:histogram, 1, 100.0, 1, 0], [sizes.kind, sizes.count, sizes.value, sizes.count_to(128), sizes.count_to(50)]
    assert_in_delta 100, sizes.percentile(50), 4
    assert_equal snapshot.size, snapshot.count
    assert_in_delta Time.now.to_f, snapshot.taken_at.to_f, 60
    assert_equal here.snapshot.origin, snapshot.origin
  end

  # Each figure of psycache's has its counterpart.
  def test_A60_the_figures_of_psycache
    here = cache
    here.put("key", 1, span: "s")
    here.get("key", span: "s")
    here.remove("key", span: "s")
    here.flush
    here.cleanup
    names = here.snapshot.map(&:name).uniq
    %w[hits_total misses_total operation_duration_seconds item_size_bytes flushed_entries cleanup_last_run_timestamp_seconds
       cleanup_deleted_entries].each { |name| assert_includes names, "pgcache_#{name}" }
    durations = here.snapshot.select { |sample| sample.name == "pgcache_operation_duration_seconds" }.map(&:labels)
    %w[put remove flush].each { |operation| assert(durations.any? { |labels| labels[:operation] == operation }, operation) }
  end

  def test_A60_the_exposition_parses_with_promtool
    here = cache
    there = cache
    here.put("key", 1, span: "a \"quoted\" \\ name\n")
    there.get("key", read: :store)
    text = PGCache::Prometheus.text(here, there)
    assert_match(/^pgcache_hits_total\{source="store",span_name=""\} 1$/, text)
    assert_match(/^pgcache_handles\{.*\} 2$/, text)
    skip "promtool is not installed (Debian: prometheus)" unless system("command -v promtool >/dev/null")
    output, status = Open3.capture2e("promtool", "check", "metrics", stdin_data: text)
    assert status.success?, output
    _, status = Open3.capture2e("promtool", "check", "metrics", stdin_data: "#{text}pgcache_handles 1\npgcache_handles 1\nbroken{ 1\n")
    refute status.success?, "promtool refuses what is broken"
  end

  def test_A60_an_exposition_changes_no_snapshot
    here = cache
    snapshot = here.snapshot
    before = PGCache::Prometheus.text(snapshot)
    assert_match(/^pgcache_handles\{.*\} 2$/, PGCache::Prometheus.text(snapshot, here))
    assert_equal before, PGCache::Prometheus.text(snapshot)
  end

  def test_snapshots_add_up
    here = cache
    there = cache
    [here, there].each { |each| each.put("key", 1) }
    sum = here.snapshot.add(there.snapshot)
    puts = sum.find { |sample| sample.name == "pgcache_operation_duration_seconds" && sample.labels[:operation] == "put" }
    assert_equal 2, puts.count
  end

  def test_published
    here = cache(publish_ms: 1000)
    here.put("key", 1)
    found = eventually(15) { here.published.find { |snapshot| snapshot.origin == here.snapshot.origin } }
    assert(found.any? { |sample| sample.name == "pgcache_handles" })
  end

  def test_counters
    here = cache
    here.get_or_load("key") { 1 }
    assert_equal [1, 1, 0], here.counters.values_at(:loads, :load_fills, :load_failures)
  end

  def test_events
    here = cache
    observer = here.observe(:operations, :keys, room: 10)
    here.put("key", "12345".b, span: "greeting")
    here.get("missing")
    put = observer.next_event(wait: 5)
    assert_equal [:operation, "put", "ok", "store", @namespace, "greeting", "key", 5],
                 [put.kind, put.operation, put.outcome, put.source, put.namespace, put.span, put.key, put.bytes]
    assert_in_delta Time.now.to_f, put.began.to_f, 60
    assert_operator put.duration, :>, 0
    assert_equal %w[peek get], observer.first(2).map(&:operation)
    assert_nil observer.next_event(wait: 0.01)
    20.times { here.exists?("key") }
    assert_operator observer.dropped, :>=, 10
    waiting = Thread.new { observer.each { |_event| nil } }
    sleep 0.05
    observer.close
    assert waiting.join(5)
    assert_raises(PGCache::InvalidError) { here.observe(:everything) }
    assert_raises(PGCache::InvalidError) { here.observe(:log, level: :loud) }
  end

  def test_events_end_with_the_cache
    here = cache
    waiting = Thread.new { here.observe(:states).each.to_a }
    sleep 0.05
    here.close
    assert waiting.join(5)
  end
end
