# What is done in transactions of the application, on connections of ruby-pg. SPDX-License-Identifier: MIT
# frozen_string_literal: true

require_relative "helper"
begin
  require "pg"
rescue LoadError => error
  PG_MISSING = "the gem pg is needed (Debian: ruby-pg): #{error.message}"
end

class TestStatements < PGCacheTest
  def setup
    super
    skip PG_MISSING if defined?(PG_MISSING)
    @connection = PG.connect(URL)
  end

  def teardown
    @connection&.close
    super
  end

  # Another process, which keeps copies in its memory.
  def reader
    there = cache
    there.put("seen", 1)
    eventually { there.peek("seen") || there.get("seen") && nil }
    there
  end

  def test_a_commit_invalidates_and_a_rollback_does_not
    here = cache
    there = reader
    here.put("by tag", 1, tags: ["orders"])
    here.put("by key", 1)
    ends = -> { @connection.exec_params(*here.invalidation(tags: ["orders"], keys: ["by key"])) }
    both = -> { there.get_many(["by tag", "by key"]).size }
    eventually { there.peek("by tag") || there.get("by tag") && nil }
    assert_raises(PG::DivisionByZero) { @connection.transaction { ends.call && @connection.exec("SELECT 1 / 0") } }
    there.fence
    assert_equal 2, both.call
    @connection.transaction do
      ends.call
      there.fence
      assert_equal 2, both.call
    end
    eventually(2) { both.call.zero? }
  end

  # Loads that begin and end before the commit, and those that end after it.
  def test_A46_what_was_loaded_before_the_commit_does_not_stay
    here = cache
    there = cache
    read = -> { there.get_or_load("count", ttl: 60, tags: ["orders"]) { count } }
    @connection.exec("CREATE TABLE IF NOT EXISTS ruby_orders (id integer); TRUNCATE ruby_orders")
    late = nil
    4.times do |number|
      assert_equal number, read.call
      @connection.transaction do
        @connection.exec("INSERT INTO ruby_orders VALUES (1)")
        @connection.exec_params(*here.invalidation(tags: ["orders"]))
        there.remove("count")
        assert_equal number, read.call, "what is committed, loaded anew and stored"
        there.remove("late")
        late = Thread.new { there.get_or_load("late", ttl: 60, tags: ["orders"]) { count.tap { sleep 0.1 } } }
        sleep 0.05
      end
      assert_includes [number, number + 1], late.value
      there.fence
      assert_equal number + 1, there.get_or_load("late", ttl: 60, tags: ["orders"]) { count }
    end
  end

  def count
    reader = PG.connect(URL)
    Integer(reader.exec("SELECT count(*) FROM ruby_orders").getvalue(0, 0))
  ensure
    reader&.close
  end

  def test_a_savepoint
    here = cache
    here.put_many({ "kept" => 1, "ended" => 1 })
    @connection.transaction do
      @connection.exec_params(*here.invalidation(keys: ["ended"]))
      @connection.exec("SAVEPOINT one")
      @connection.exec_params(*here.invalidation(keys: ["kept"]))
      @connection.exec_params(*here.put_statement("new", 1))
      @connection.exec("ROLLBACK TO one")
    end
    here.fence
    assert_equal({ "kept" => 1 }, here.get_many(%w[kept ended new]))
    @connection.transaction do
      @connection.exec("SAVEPOINT one")
      @connection.exec_params(*here.invalidation(keys: ["kept"]))
      @connection.exec_params(*here.put_statement("new", 1))
      @connection.exec("RELEASE one")
    end
    here.fence
    assert_equal({ "new" => 1 }, here.get_many(%w[kept ended new]))
  end

  def test_an_entry_is_there_with_the_commit
    here = cache
    there = reader
    there.put("key", "old")
    eventually { there.peek("key") || there.get("key") && nil }
    version = nil
    @connection.transaction do
      version = Integer(@connection.exec_params(*here.put_statement("key", { "a" => [1, nil] }, ttl: 60)).getvalue(0, 0))
      there.fence
      assert_equal "old", there.get("key")
    end
    eventually(2) { there.get("key") == { "a" => [1, nil] } }
    entry = there.get_entry("key", read: :store)
    assert_equal [version, 1], [entry.version, entry.format]
    assert_in_delta 60, entry.ttl, 5
    @connection.transaction { @connection.exec_params(*here.put_statement("key", 2)) && @connection.exec("ROLLBACK; BEGIN") }
    assert_equal({ "a" => [1, nil] }, there.get("key", read: :store))
  end

  def test_keys_values_and_times_are_those_of_put
    here = cache(default_ttl_ms: 7000)
    { "caf\u00e9" => "caf\u00e9", "caf\u00e9".encode("ISO-8859-1") => "bytes".b, "\xff\x00".b => "\x00\xff".b, "null" => nil, "empty" => "".b,
      "'; --" => "\\x41" }.each do |key, value|
      @connection.exec_params(*here.put_statement(key, value))
      found = here.get(key, 1, read: :store)
      value.nil? ? assert_nil(found) : assert_equal(value, found)
      assert_in_delta 7, here.get_entry(key, read: :store).ttl, 2
    end
    { 2.5 => 2.5, 1e12 => 3650 * 86_400 }.each do |ttl, lives|
      @connection.exec_params(*here.put_statement("ttl", 1, ttl: ttl))
      assert_in_delta lives, here.get_entry("ttl", read: :store).ttl, 1
    end
    @connection.exec_params(*here.put_statement("ttl", 1, ttl: PGCache::NEVER))
    @connection.exec_params(*cache(default_ttl_ms: "never").put_statement("ttl", 1, namespace: other))
    assert_equal [PGCache::NEVER] * 2, [@namespace, other].map { |namespace| here.get_entry("ttl", namespace: namespace, read: :store).ttl }
  end

  def test_what_is_refused_is_refused_before_it_is_sent
    here = cache(max_value_bytes: 100)
    assert_raises(PGCache::InvalidError) { here.put_statement("key", 1, ttl: 0) }
    assert_raises(PGCache::TooLargeError) { here.put_statement("key", "x".b * 101) }
    assert_raises(PGCache::FormatError) { here.put_statement("key", Float::NAN) }
    assert_raises(TypeError) { here.put_statement(:key, 1) }
    secret = "one #{["0" * 32].pack("m0")}"
    refused = ruby(<<~'RUBY', env: { "PGCACHE_TEST_KEYS" => secret })
      PGCache::Cache.open(janitor: nil, encryption: "on", keys: "env:PGCACHE_TEST_KEYS") do |cache|
        cache.put_statement("key", 1)
      rescue PGCache::UnsupportedError => error
        print error.status
      end
    RUBY
    assert_equal "unsupported", refused
  end
end
