# Settings, errors, the cache that is switched off. SPDX-License-Identifier: MIT
# frozen_string_literal: true

require_relative "helper"

class TestSettings < PGCacheTest
  def test_what_a_setting_is
    here = cache(near_staleness_ms: 500)
    assert_equal ["500", @namespace, "5", ""], [here.setting("near_staleness_ms"), here.setting(:namespace), here.setting("breaker_failures"), here.setting("keys")]
    assert_nil here.setting("nonsense")
  end

  def with_environment(variables)
    before = variables.keys.to_h { |name| [name, ENV.fetch(name, nil)] }
    variables.each { |name, value| ENV[name] = value }
    yield
  ensure
    before.each { |name, value| ENV[name] = value }
  end

  def test_unknown_settings_are_refused_by_the_library
    error = assert_raises(PGCache::SettingError) { cache(pool_maxx: 1) }
    assert_equal :bad_setting, error.status
    assert_match(/pool_max/, error.message)
    assert_raises(PGCache::SettingError) { cache(pool_max: "many") }
    assert_raises(PGCache::SettingError) { PGCache::Cache.new }
  end

  def test_settings_are_described
    setting = PGCache.settings.find { |known| known.name == :pool_max }
    assert_equal ["10", "PGCACHE_POOL_MAX"], [setting.default, setting.environment]
    assert_match(/connections/, setting.description)
    assert_equal PGCache.settings.map(&:name), PGCache.settings.map(&:name).uniq
  end

  def test_the_environment_gives_what_is_not_said
    with_environment("PGCACHE_URL" => URL, "PGCACHE_SCHEMA" => SCHEMA, "PGCACHE_NAMESPACE" => @namespace) do
      PGCache::Cache.open(janitor: nil) { |here| here.put("key", 1) }
      assert_equal 1, cache.get("key")
      PGCache::Cache.open(janitor: nil, namespace: other) { |here| assert_nil here.get("key") }
    end
  end

  def test_reads_go_on_without_the_server_unless_told_otherwise
    nowhere = "host=127.0.0.1 port=1 user=nobody"
    quick = { janitor: nil, timeout_ms: 20_000 }
    PGCache::Cache.open(nowhere, **quick) do |here|
      assert_equal :none, here.get("key", :none)
      assert_equal({}, here.get_many(%w[a b]))
      assert_equal 7, here.get_or_load("key") { 7 }
      assert_raises(PGCache::UnavailableError) { here.put("key", 1) }
      assert_operator here.counters[:reads_failed], :>=, 1
    end
    with_environment("PGCACHE_ON_ERROR" => "error") do
      PGCache::Cache.open(nowhere, **quick) { |here| assert_raises(PGCache::UnavailableError) { here.get("key") } }
    end
    PGCache::Cache.open(nowhere, **quick, on_error: nil) { |here| assert_raises(PGCache::UnavailableError) { here.get("key") } }
  end

  def test_A51_the_null_cache
    here = cache("null:", janitor: 60)
    here.put("key", 1)
    assert_nil here.get("key")
    runs = 0
    2.times { assert_equal 5, here.get_or_load("key") { runs += 1 and 5 } }
    assert_equal 2, runs
    assert_equal [], here.keys.to_a
    assert_equal 0, here.flush
  end

  def test_A62_no_secrets
    secret = "s3cr3t"
    here = PGCache::Cache.new("postgresql://user:#{secret}@127.0.0.1:1/db", janitor: nil, on_error: "error", timeout_ms: 200)
    @caches << here
    error = assert_raises(PGCache::Error) { here.put("the-key-#{secret}", "the value #{secret}") }
    [error.message, error.full_message, error.inspect, here.inspect, here.snapshot.inspect, here.snapshot.map(&:inspect).join].each do |text|
      refute_includes text, secret
    end
    url = assert_raises(PGCache::SettingError) { PGCache::Cache.new("postgresql://user:#{secret}@[bad") }
    refute_includes url.full_message, secret
  end

  def test_errors
    error = assert_raises(PGCache::Error) { cache.get("") }
    assert_instance_of PGCache::InvalidError, error
    assert_equal [:invalid, "", nil], [error.status, error.sqlstate, error.statuses]
    denied = assert_raises(PGCache::DeniedError) { cache("#{URL} dbname=nowhere").get("key") }
    assert_equal "3D000", denied.sqlstate
    PGCache.statuses.each do |name, text|
      refute_empty text
      number = PGCache.send(:const_get, :STATUSES).key(name)
      next unless number.negative?

      assert_includes PGCache::Error.send(:const_get, :CLASSES), name
      assert_equal name, PGCache::Error.of(number, "", "").status
    end
  end

  def test_versions
    assert_equal PGCache::VERSION, PGCache.library_version
    assert_equal PGCache::VERSION, File.read("#{ROOT}/abi/pgcache.h")[/PGCACHE_VERSION_STRING "(.*)"/, 1]
  end
end
