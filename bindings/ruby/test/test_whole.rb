# Calls on the cache as a whole. SPDX-License-Identifier: MIT
# frozen_string_literal: true

require_relative "helper"
require "socket"

class TestWhole < PGCacheTest
  # A schema of its own: these count everything.
  def whole(**options)
    @schema ||= "whole_#{SecureRandom.hex(4)}"
    cache(schema: @schema, **options).tap(&:init)
  end

  def test_A20_init
    here = cache(schema: "init_#{SecureRandom.hex(4)}")
    assert_raises(PGCache::SchemaMissingError) { here.get("key") }
    assert_raises(PGCache::SchemaMissingError) { here.upgrade }
    assert_equal true, here.init
    assert_equal false, here.init
    assert_equal false, here.upgrade
    assert_match(/CREATE SCHEMA/, PGCache.init_sql(schema: "somewhere"))
    assert_equal Encoding::UTF_8, PGCache.init_sql.encoding
  end

  def test_A05_cleanup
    here = whole
    here.put("gone", 1, ttl: 0.001)
    here.put_many({ "a" => 1, "b" => 2 })
    sleep 0.05
    assert_equal 1, here.cleanup
    assert_equal %w[a b], here.keys.to_a
  end

  def test_cleanup_some
    here = whole
    here.put("gone", 1, ttl: 0.001)
    sleep 0.05
    progress = nil
    progress = here.cleanup_some(progress, budget: 0.01) until progress&.finished?
    assert_equal [1, 0, false], [progress.removed, progress.evicted, progress.busy?]
    assert here.cleanup_some(restart: true).frozen?
  end

  def test_A06_flush
    here = whole
    here.put_many({ "a" => 1, "b" => 2, "c" => 3 })
    here.put("d", 4, namespace: other)
    assert_equal 1, here.flush(namespace: other)
    assert_equal 3, here.keys.count
    assert_equal 3, here.flush(all: true)
    assert_equal 0, here.keys.count
    assert_nil here.get("a")
  end

  def test_keys_and_entries_are_read_in_pages
    here = whole
    here.put_many((0...2500).to_h { |index| [format("k%04d", index), index] })
    here.put("z\xff".b, "bytes".b, ttl: PGCache::NEVER)
    assert_equal 2501, here.keys.count
    assert_equal %w[k0000 k0001], here.keys.first(2)
    assert_equal ["z\xff".b], here.keys(prefix: "z").to_a
    count = 0
    assert_same(here, here.keys(prefix: "k") { |key| count += 1 if key.encoding == Encoding::BINARY })
    assert_equal 2500, count
    entries = here.entries(prefix: "k1").to_h
    assert_equal 1000, entries.size
    assert_equal 1234, entries["k1234"].value
    key, entry = here.entries(prefix: "z").first
    assert_equal ["z\xff".b, "bytes".b, PGCache::NEVER, 0], [key, entry.value, entry.ttl, entry.format]
  end

  def test_limits_and_usage
    here = whole
    here.set_limits(entries: 5)
    here.set_limits(bytes: 1_000_000, all: true)
    here.put_many((0...20).to_h { |index| ["k#{index}", index] })
    here.cleanup
    assert_operator here.keys.count, :<=, 5
    all, mine = here.usage.to_a
    assert_nil all.namespace
    assert_equal [1_000_000, nil], [all.max_bytes, all.max_entries]
    assert_equal [@namespace, 5, nil], [mine.namespace, mine.max_entries, mine.max_bytes]
    assert_operator mine.bytes, :>, 0
    here.set_limits(entries: 0)
    assert_nil here.usage.to_a.find { |usage| usage.namespace == @namespace }&.max_entries
  end

  def test_stats_and_doctor
    here = whole
    here.put("key", "12345".b)
    stats = here.stats
    assert_equal [1, 0, 5, false], stats.values_at(:entries, :expired, :value_bytes, :logged)
    assert_operator stats[:server_version], :>=, 150_000
    report = here.doctor
    assert_includes %w[ok info warning error], report["worst"]
    assert(report["findings"].any? { |finding| finding["check"] && finding["severity"] })
  end

  def test_A50_janitor
    here = whole
    here.put("gone", 1, ttl: 0.001)
    sleep 0.05
    here.janitor(0.05) do |janitor|
      eventually { here.stats[:expired].zero? }
      here.put("gone", 1, ttl: 0.001)
      eventually { here.stats[:expired].zero? }
      assert_equal true, janitor.stop
      assert_equal true, janitor.stop
    end
    [0, -1, Float::NAN, Float::INFINITY, 86_401].each do |interval|
      assert_raises(PGCache::InvalidError, interval.to_s) { here.janitor(interval) }
    end
    assert_raises(PGCache::InvalidError) { cache(janitor: 0) }
  end

  def test_A50_a_janitor_survives_failures
    schema = "late_#{SecureRandom.hex(4)}"
    here = cache(schema: schema)
    walks = here.observe(:states)
    here.janitor(0.05) do
      assert_equal "janitor", walks.find { |event| event.operation == "janitor" && !event.message.empty? }.operation
      here.init
      here.put("gone", 1, ttl: 0.001)
      eventually { here.stats[:expired].zero? && here.stats[:entries].zero? }
    end
  end

  # It is in the middle of a walk that cannot end: of a server that never answers.
  def test_A50_stop_waits_no_longer_than_it_is_told
    server = TCPServer.new("127.0.0.1", 0)
    here = cache("host=127.0.0.1 port=#{server.addr[1]} user=nobody dbname=x sslmode=disable")
    janitor = here.janitor(60)
    accepted = server.accept
    took = seconds { assert_equal false, janitor.stop(timeout: 0.05) }
    assert_operator took, :<, 5
    accepted.close
    eventually { janitor.stop(timeout: 0) }
  ensure
    server&.close
  end

  def test_A50_the_janitor_of_a_cache
    here = whole(janitor: 0.05)
    here.put("gone", 1, ttl: 0.001)
    eventually { here.stats[:expired].zero? }
  end

  # Unless it is told otherwise a cache has a janitor, that walks at once, and whose thread ends with the cache.
  def test_A50_the_janitor_that_is_on_by_default
    schema = "default_#{SecureRandom.hex(4)}"
    without = cache(schema: schema)
    without.init
    without.put("gone", 1, ttl: 0.001)
    assert_equal 1, without.stats.values_at(:entries, :expired).sum
    threads = -> { Dir.children("/proc/self/task") }
    before = threads.call
    here = PGCache::Cache.new(URL, schema: schema, on_error: "error", timeout_ms: 20_000)
    eventually(60) { without.stats.values_at(:entries, :expired).sum.zero? }
    its = threads.call - before
    refute_empty its
    here.close
    eventually(60) { (its & threads.call).empty? }
  end
end
