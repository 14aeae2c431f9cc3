# Calls that wait: other threads run, and interrupts arrive. SPDX-License-Identifier: MIT
# frozen_string_literal: true

require_relative "helper"
require "minitest/mock"
require "socket"

class TestWaiting < PGCacheTest
  # A server that accepts connections and never answers.
  def silent
    server = TCPServer.new("127.0.0.1", 0)
    accepted = []
    thread = Thread.new { loop { accepted << server.accept } }
    yield "host=127.0.0.1 port=#{server.addr[1]} user=nobody dbname=x sslmode=disable"
  ensure
    thread&.kill&.join
    (accepted << server).each(&:close)
  end

  def test_other_threads_run_while_a_call_waits
    silent do |url|
      here = cache(url)
      turns = Queue.new
      waiting = Thread.new { assert_raises(PGCache::TimeoutError) { here.get("key", deadline: 5) } && turns.close }
      50.times { sleep 0.001 and turns << 1 } # of a closed Queue an error
      waiting.join
    end
  end

  def test_a_server_that_is_not_there_is_told_at_once
    here = cache("host=127.0.0.1 port=1 user=nobody")
    calls = { get: ["key"], put: ["key", 1], get_many: [%w[a b]], get_or_load: ["key"], init: [], flush: [], keys: [], remove: ["key"] }
    calls.each do |name, arguments|
      took = seconds { assert_raises(PGCache::UnavailableError, name.to_s) { here.public_send(name, *arguments) { 1 } } }
      assert_operator took, :<, 2, name
    end
    assert_equal 0, figure(here, "pgcache_requests_under_way")
    assert_equal 0, figure(here, "pgcache_requests_untaken")
  end

  def test_a_slow_call_is_no_call_that_fails
    here = cache
    here.load("key") do |load|
      waiting = Thread.new { here.get_or_load("key") { flunk } }
      sleep 0.5
      load.fill(1)
      assert_equal 1, waiting.value
    end
  end

  def test_timeout_ends_a_call
    silent do |url|
      here = cache(url)
      calls = { get: [:get, "key"], put: [:put, "key", 1], load: [:get_or_load, "key"], fence: [:fence], dependents: [:dependents],
                keys: [:get_many, %w[a b]] }
      calls.each_value do |name, *arguments|
        took = seconds { assert_raises(Timeout::Error, name.to_s) { Timeout.timeout(0.1) { here.public_send(name, *arguments) { 1 } } } }
        assert_operator took, :<, 2, name
      end
    end
  end

  def test_kill_ends_a_call_and_nothing_is_left
    silent do |url|
      here = cache(url)
      threads = Array.new(20) { Thread.new { here.get("key") } }
      eventually { threads.all? { |thread| thread.status == "sleep" || thread.stop? } }
      assert_operator(seconds { threads.each(&:kill).each(&:join) }, :<, 2)
      eventually { figure(here, "pgcache_requests_under_way").zero? }
      assert_equal 0, figure(here, "pgcache_requests_untaken")
    end
  end

  def test_a_signal_that_is_handled_changes_nothing
    here = cache
    seen = 0
    before = trap("USR1") { seen += 1 }
    stop = false
    sender = Thread.new { Process.kill("USR1", Process.pid) and sleep 0.002 until stop }
    200.times { |index| assert_operator here.put("k#{index}", index), :>, 0 }
    stop = true
    sender.join
    assert_operator seen, :>, 0
    assert_equal 200, here.get_many((0...200).map { |index| "k#{index}" }).size
  ensure
    trap("USR1", before || "DEFAULT")
  end

  def test_an_interrupted_lease_is_given_back
    here = cache
    there = cache
    there.load("key") do
      waiting = Thread.new { here.get_or_load("key") { 1 } }
      eventually { here.counters[:load_waits] == 1 }
      waiting.kill.join
    end
    assert_equal 2, there.get_or_load("key", wait: 5) { 2 }
  end

  def test_close_wakes_whoever_waits
    silent do |url|
      here = cache(url)
      threads = Array.new(5) { Thread.new { assert_raises(PGCache::ClosedError) { here.get("key") } } }
      eventually { figure(here, "pgcache_requests_under_way") == 5 }
      assert_operator(seconds { here.close }, :<, 2)
      threads.each(&:join)
      assert here.closed?
      here.close
      [-> { here.get("key") }, -> { here.put("key", 1) }, -> { here.counters }, -> { here.snapshot }].each { |call| assert_raises(PGCache::ClosedError, &call) }
    end
  end

  def test_close_loses_no_answer
    here = cache
    raw = PGCache.const_get(:Raw)
    await = raw.method(:await)
    closing = lambda do |handle, *arguments|
      sleep 0.2
      here.close
      await.call(handle, *arguments)
    end
    raw.stub(:await, closing) { assert_operator here.put("key", 1), :>, 0 }
    assert_equal 1, cache.get("key", read: :store)
  end

  def test_close_while_threads_are_at_work
    20.times do
      here = cache
      threads = Array.new(8) do |thread|
        Thread.new do
          loop { here.put("k#{thread}", 1) and here.get("k#{thread}", read: :store) and here.get_or_load("l") { 1 } and here.snapshot }
        rescue PGCache::ClosedError, PGCache::UnknownError
          :closed
        end
      end
      sleep rand * 0.02
      here.close
      assert_equal [:closed], threads.map(&:value).uniq
    end
  end

  def test_A15_threads_share_a_cache
    here = cache
    Array.new(16) do |thread|
      Thread.new do
        50.times do |index|
          here.put("#{thread}-#{index}", [thread, index])
          assert_equal [thread, index], here.get("#{thread}-#{index}", read: index.even? ? :near : :store)
        end
      end
    end.each(&:join)
    assert_equal 800, here.keys.count
  end

  private

  def figure(cache, name)
    cache.snapshot.find { |sample| sample.name == name }.value
  end
end
