# Fiber schedulers: calls wait without their thread. SPDX-License-Identifier: MIT
# frozen_string_literal: true

require_relative "helper"
require_relative "scheduler"
require "minitest/mock"

class TestFibers < PGCacheTest
  def test_a_thousand_fibers_over_two_connections
    here = cache
    found = []
    turns = 0
    SmallScheduler.run do
      1000.times { |index| Fiber.schedule { here.put("k#{index}", index) and found << here.get("k#{index}", read: :store) } }
      Fiber.schedule { 5.times { sleep 0.001 and turns += 1 } }
    end
    assert_equal (0...1000).to_a, found.sort
    assert_equal 5, turns
    assert_operator here.counters[:connections_opened], :<=, 4
  end

  def test_all_kinds_of_calls
    here = cache
    SmallScheduler.run do
      Fiber.schedule do
        here.put_many({ "a" => 1, "b" => 2 })
        assert_equal({ "a" => 1, "b" => 2 }, here.get_many(%w[a b]))
        assert_equal 3, here.increment("count", 3)
        assert_equal [6], Array.new(10) { here.get_or_load("load", tags: ["t"]) { here.get("count") * 2 } }.uniq
        assert_equal [1], here.dependents(tags: ["t"])["entries"]
        here.fence
        here.invalidate(tags: ["t"])
        assert_nil here.get("load", read: :store)
        assert_equal %w[a b], here.keys.first(2)
        assert_equal 4, here.flush
        assert_raises(PGCache::InvalidError) { here.get("") }
        here.load("low") { |load| load.fill(1) }
        assert_equal 1, here.get("low")
        assert_equal 1, here.janitor(10) { 1 }
      end
    end
  end

  # The root fiber of a thread with a scheduler blocks, as does one that asks for it.
  def test_fibers_that_block
    here = cache
    SmallScheduler.run do
      Fiber.schedule { 10.times { |index| here.put("fiber#{index}", 1) and here.get("fiber#{index}", read: :store) } }
      10.times { |index| assert_equal 1, here.put("root#{index}", 1) && here.get("root#{index}", read: :store) }
      Fiber.new(blocking: true) { assert_equal 1, here.get("root1", read: :store) }.resume
    end
    assert_equal 20, here.keys.count
  end

  # The fiber behind Enumerator#next blocks.
  def test_enumerators
    here = cache
    here.put_many({ "a" => 1, "b" => 2 })
    found = []
    SmallScheduler.run do
      Fiber.schedule { here.keys.tap { |keys| found << keys.next << keys.next } }
      Fiber.schedule { found << here.usage.next.class }
    end
    assert_equal ["a", "b", PGCache::Usage], found.sort_by(&:to_s).rotate
  end

  class Stop < StandardError; end

  # One whose fibers belong to the one that began them, and are stopped with it, as tasks of async do.
  class Tasks < SmallScheduler
    CHILDREN = Hash.new { |children, fiber| children[fiber] = [] }.compare_by_identity

    def fiber(&block)
      parent = Fiber.current
      super.tap { |child| CHILDREN[parent] << child }
    end

    def self.stop(fiber)
      CHILDREN[fiber].each { |child| stop(child) }
      fiber.raise(Stop) if fiber.alive?
    end
  end

  def test_whoever_takes_for_the_others_may_be_stopped
    here = cache
    ended = []
    cache.load("key") do
      Tasks.run do
        fibers = Array.new(10) do
          Fiber.schedule do
            ended << here.load("key", wait: 0.5, &:status)
          rescue Stop
            ended << :stopped
          end
        end
        Fiber.schedule { sleep 0.05 and fibers.first(3).each { |fiber| Tasks.stop(fiber) } }
      end
    end
    assert_equal [:stopped] * 3 + [:busy] * 7, ended
  end

  def test_what_one_fiber_fails_with_ends_no_other
    here = cache
    raw = PGCache.const_get(:Raw)
    failures = [Errno::EMFILE, NoMemoryError]
    ended = []
    event_fd = raw.method(:event_fd)
    raw.stub(:event_fd, ->(handle) { (failure = failures.shift) ? raise(failure) : event_fd.call(handle) }) do
      SmallScheduler.run do
        5.times do
          Fiber.schedule do
            ended << here.get("key")
          rescue SystemCallError, NoMemoryError => error
            ended << error.class
          end
        end
      end
    end
    assert_equal [Errno::EMFILE, NoMemoryError, nil, nil, nil], ended.sort_by { |each| each.to_s.empty? ? "z" : each.to_s }
  end

  def test_fibers_that_are_interrupted_at_any_moment
    here = cache
    there = cache
    rounds = LONG ? 500 : 50
    SmallScheduler.run do
      rounds.times do |round|
        fiber = Fiber.schedule do
          here.load("key#{round}") { sleep }
        rescue Stop
          nil
        end
        Fiber.schedule { sleep rand * 0.05 and fiber.raise(Stop) }
      end
    end
    rounds.times { |round| assert_equal :lease, there.load("key#{round}", wait: 1, &:status) }
    eventually { !here.exists?("key") && here.snapshot.find { |sample| sample.name == "pgcache_requests_untaken" }.value.zero? }
  end

  def test_nothing_goes_on_after_the_last_answer
    here = cache
    here.put("key", 1)
    took = Array.new(20) { seconds { SmallScheduler.run { Fiber.schedule { here.get("key", read: :store) } } } }
    assert_operator took.min, :<, 0.03
  end

  def test_A40_one_load_for_many_fibers
    here = cache
    runs = 0
    values = []
    SmallScheduler.run do
      200.times { Fiber.schedule { values << here.get_or_load("key") { (runs += 1) and sleep 0.05 and 9 } } }
    end
    assert_equal [1, [9], 200], [runs, values.uniq, values.size]
  end

  def test_A45_a_refresh_is_a_fiber
    here = cache
    here.get_or_load("key", ttl: 0.05, stale: 60) { 1 }
    sleep 0.1
    order = []
    SmallScheduler.run do
      Fiber.schedule { order << here.get_or_load("key", ttl: 60, stale: 60) { sleep 0.05 and 2 } }
    end
    assert_equal [1], order
    assert_equal 2, here.get("key")
  end

  def test_threads_and_schedulers_share_a_cache
    here = cache
    work = lambda do |name|
      50.times { |index| here.put("#{name}-#{index}", index) and here.get("#{name}-#{index}", read: :store) == index or raise "wrong" }
    end
    threads = Array.new(3) { |name| Thread.new { work.call("thread#{name}") } }
    schedulers = Array.new(3) do |name|
      Thread.new { SmallScheduler.run { 10.times { |fiber| Fiber.schedule { work.call("fiber#{name}-#{fiber}") } } } }
    end
    (threads + schedulers).each(&:join)
    assert_equal 33 * 50, here.keys.count
    assert_equal 0, here.snapshot.find { |sample| sample.name == "pgcache_requests_untaken" }.value
  end

  def test_a_fiber_that_is_given_up
    here = cache
    SmallScheduler.run do
      Fiber.schedule do
        there = cache
        there.load("key") do
          assert_raises(Timeout::Error) { Fiber.scheduler && Timeout.timeout(0.1) { here.get_or_load("key") { flunk } } }
        end
        assert_equal 1, here.get_or_load("key", wait: 5) { 1 }
      end
    end
    assert_equal 0, here.snapshot.find { |sample| sample.name == "pgcache_requests_untaken" }.value
  end

  def test_close_ends_fibers_that_wait
    here = cache
    there = cache
    ended = false
    there.load("key") do
      SmallScheduler.run do
        Fiber.schedule { assert_raises(PGCache::ClosedError) { here.get_or_load("key") { flunk } } and ended = true }
        Fiber.schedule { sleep 0.1 and here.close }
      end
    end
    assert ended
  end

  def test_async
    begin
      require "async"
    rescue LoadError
      skip "the gem async is not installed (Debian: ruby-async)"
    end
    skip "async #{Async::VERSION} has no Fiber scheduler" unless defined?(Async::Scheduler) || Async::VERSION.to_i >= 2
    here = cache
    found = Thread.new do
      Async do |task|
        Array.new(100) { |index| task.async { here.put("k#{index}", index) and here.get("k#{index}", read: :store) } }.map(&:wait)
      end.wait
    end.value
    assert_equal (0...100).to_a, found
  end
end
