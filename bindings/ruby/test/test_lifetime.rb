# Fork, exit, garbage. SPDX-License-Identifier: MIT
# frozen_string_literal: true

require_relative "helper"

class TestLifetime < PGCacheTest
  def test_A53_forked_children_go_on
    here = cache
    here.put("key", 1)
    assert_equal 1, here.get("key", read: :store)
    children = Array.new(4) do |child|
      fork do
        here.put("child#{child}", here.get("key", read: :store) + child)
        here.get_or_load("load#{child}") { 1 }
        exit!(here.get("child#{child}") == 1 + child ? 0 : 1)
      end
    end
    children.each { |pid| assert_equal 0, Process.wait2(pid).last.exitstatus }
    assert_equal 4, here.get("child3", read: :store)
    assert_equal 1, here.get("key", read: :store)
  end

  def test_A53_forks_while_threads_are_at_work
    here = cache
    stop = false
    threads = Array.new(4) do |thread|
      Thread.new { here.put("t#{thread}", 1) and here.get("t#{thread}", read: :store) and here.get_or_load("l#{thread}") { 1 } until stop }
    end
    10.times do |child|
      pid = fork do
        here.put("child#{child}", 1)
        exit!(here.get("child#{child}", read: :store) == 1 && here.get_or_load("load#{child}") { 2 } == 2 ? 0 : 1)
      end
      assert_equal 0, Process.wait2(pid).last.exitstatus
    end
    stop = true
    threads.each(&:join)
    assert_equal 1, here.get("child9", read: :store)
  end

  # As puma's cluster does: a cache made before, workers with threads, that end in the usual way.
  def test_A53_workers_of_a_cluster
    output = ruby(<<~'RUBY', status: 0)
      CACHE = PGCache::Cache.new(on_error: "error", janitor: 0.05)
      CACHE.put("master", 1)
      workers = Array.new(3) do |worker|
        fork do
          Array.new(5) { |thread| Thread.new { 20.times { |i| CACHE.put("#{worker}-#{thread}-#{i}", i); CACHE.get("#{worker}-#{thread}-#{i}") == i or abort "wrong" } } }.each(&:join)
        end
      end
      workers.each { |pid| Process.wait(pid); $?.success? or abort "a worker failed" }
      print CACHE.keys.count
    RUBY
    assert_equal "301", output
  end

  # They wait for what is the parent's.
  def test_A53_fibers_that_came_along
    assert_equal "child: 1, PGCache::ClosedError\nparent: 1, done\n", ruby(<<~'RUBY', preload: %W[-w -rpgcache -r#{FOLDER}/test/scheduler])
      cache = PGCache::Cache.new(janitor: nil)
      cache.put("key", 1)
      PGCache::Cache.open(janitor: nil) do |other|
        other.load("load") do |load|
          said = nil
          SmallScheduler.run do
            Fiber.schedule do
              cache.load("load", wait: 20) { said = "done" }
            rescue PGCache::Error => error
              said = error.class
            end
            pid = fork
            Process.wait && load.abandon if pid
            found = cache.get("key", read: :store)
            Fiber.schedule do
              sleep 0.01 until said
              puts "#{pid ? "parent" : "child"}: #{found}, #{said}"
              $stdout.flush
              exit! unless pid
            end
          end
        end
      end
    RUBY
  end

  def test_A53_a_load_of_the_parent_is_not_the_childs
    here = cache
    here.load("key") do |load|
      pid = fork do
        load.fill(2)
      rescue PGCache::InvalidError
        exit # the usual way, with all that is garbage
      end
      assert_equal 0, Process.wait2(pid).last.exitstatus
      assert_operator load.fill(1), :>, 0
    end
    assert_equal 1, here.get("key", read: :store)
  end

  def test_A53_a_child_has_its_janitor
    here = cache(janitor: 0.05, schema: "fork_#{SecureRandom.hex(4)}")
    here.init
    reader, writer = IO.pipe
    pid = fork do
      here.exists?("key")
      walks = here.observe(:states)
      writer.puts(walks.each.find { |event| event.operation == "janitor" }&.operation)
      exit!(0)
    end
    Process.wait(pid)
    writer.close
    assert_equal "janitor\n", reader.read
  end

  def test_exit_in_any_state
    endings = ["", "cache.close", "exit", "exit!(0)", "Thread.new { loop { cache.get('key', read: :store) } }; sleep 0.05",
               "Thread.new { cache.get_or_load('load') { sleep } }; sleep 0.05", "$kept = cache.load('key') { |load| load }",
               "$observer = cache.observe(:operations); Thread.new { $observer.each { } }; sleep 0.05",
               "Thread.new { $enumerator = cache.keys; $enumerator.next }.join", "cache.snapshot; cache = nil; GC.start",
               "at_exit { cache.put('late', 1) }"]
    endings.map do |ending|
      Thread.new { ruby("cache = PGCache::Cache.new(janitor: 1); cache.put('key', 1); cache.get('key'); #{ending}") }
    end.each { |thread| assert_equal "", thread.value }
  end

  def test_garbage_in_any_order
    assert_equal "", ruby(<<~RUBY)
      #{LONG ? 500 : 50}.times do |round|
        objects = []
        cache = PGCache::Cache.new(janitor: round.even? ? 1 : nil)
        objects << cache << cache.snapshot << cache.observe(:operations) << (cache.janitor(1) if round % 3 == 0)
        cache.put("key", "x".b * 1000)
        objects << cache.get_entry("key") << cache.keys << cache.usage
        Fiber.new { cache.load("load\#{round}") { Fiber.yield } }.resume
        cache = nil
        objects.shuffle!
        objects.pop(rand(objects.size))
        GC.start if round % 10 == 0
      end
    RUBY
  end

  # Without RubyGems there is less to mark.
  # Threads, descriptors and connections go with #close, not with the garbage.
  def test_close_frees_everything
    assert_equal "", ruby(<<~'RUBY', preload: %w[-w -rpgcache -rtimeout] + ["-r#{FOLDER}/test/scheduler"])
      GC.disable
      PGCache::Cache.open { |cache| cache.put("key", 1) }
      held = -> { %w[task fd].map { |kind| Dir.children("/proc/self/#{kind}").size } }
      Timeout.timeout(5) { nil } # which has a thread of its own
      before = held.call
      5.times do
        PGCache::Cache.open(janitor: 60) do |cache|
          SmallScheduler.run { Fiber.schedule { cache.get("key", read: :store) } }
        end
      end
      1000.times { (0..1).any? { |index| held.call[index] > before[index] } ? sleep(0.01) : exit }
      print "before #{before}, after #{held.call}"
    RUBY
  end

  def test_GC_stress
    assert_equal "", ruby(<<~RUBY, preload: %w[-w --disable-gems -rpgcache])
      cache = PGCache::Cache.new(janitor: nil)
      cache.put("key", 1)
      GC.stress = true
      #{LONG ? 20 : 1}.times do |i|
        cache.put("k\#{i}", {"a" => [i]}, ttl: 60, tags: ["t", "u"], keys: ["v"])
        cache.get("k\#{i}")
        cache.get("k\#{i}", read: :store)
        cache.get_entry("k\#{i}")
        cache.put_many({"a" => "b".b * 100, "c" => nil})
        cache.get_many(%w[a c])
        cache.get_or_load("l\#{i}", tags: ["t"]) { [1, 2] }
        cache.invalidate(tags: ["t"])
        cache.keys.to_a
        cache.snapshot.first(3).map(&:labels)
        cache.counters
        begin
          cache.get("")
        rescue PGCache::Error
        end
      end
    RUBY
  end

  def test_objects_that_move
    assert_equal "", ruby(<<~'RUBY')
      cache = PGCache::Cache.new(janitor: nil)
      mover = Thread.new { loop { GC.compact and sleep 0.005 } }
      5.times do |i|
        cache.put_many((0...50).to_h { |n| ["#{i}-#{n}", "short#{n}".b] }, tags: %w[a b])
        (0...50).all? { |n| cache.get("#{i}-#{n}", read: :store) == "short#{n}".b } or abort "changed"
        cache.dependents(tags: %w[a b])["entries"].first == 50 * (i + 1) or abort "tags changed"
      end
      mover.kill.join
    RUBY
  end

  def test_nothing_leaks
    rounds = LONG ? 5_000 : 500
    output = ruby(<<~RUBY)
      cache = PGCache::Cache.new(janitor: nil)
      value = "x".b * 10_000
      work = lambda do |n|
        n.times do |i|
          cache.put("key", value)
          cache.get("key"); cache.get("key", read: :store); cache.get_entry("key")
          cache.put_many({"a" => value, "b" => value}); cache.get_many(%w[a b], read: :store)
          cache.get_or_load("l") { value }
          cache.invalidate(keys: ["l"])
          cache.snapshot if i % 100 == 0
          begin
            cache.put("", value)
          rescue PGCache::Error
          end
        end
        GC.start
      end
      resident = -> { File.read("/proc/self/status")[/VmRSS:\\s+(\\d+)/, 1].to_i }
      work.call(#{rounds} / 2)
      before = resident.call
      work.call(#{rounds})
      print resident.call - before
    RUBY
    assert_operator output.to_i, :<, 8_000, "KiB more after #{rounds} rounds of 50 KB each"
  end

  def test_ractors_are_refused_by_ruby
    output = ruby(<<~'RUBY')
      $VERBOSE = nil
      ractor = Ractor.new { PGCache::Cache.new("null:") }
      begin
        ractor.take
      rescue Ractor::RemoteError => error
        print error.cause.class
      end
    RUBY
    assert_match(/Ractor::(UnsafeError|IsolationError)/, output)
  end
end
