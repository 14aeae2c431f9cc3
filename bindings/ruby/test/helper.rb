# What all tests share: a server, caches that are closed, waiting. SPDX-License-Identifier: MIT
# frozen_string_literal: true

require "minitest/autorun"
require "securerandom"
require "timeout"
require "pgcache"

# A test that hangs is a failure, and not the end of the run.
module Limited
  LIMIT = ENV["PGCACHE_LONG"] == "1" ? 600 : 200

  def run
    Timeout.timeout(LIMIT, Minitest::Assertion, "it took longer than #{LIMIT} s") { super }
  end
end

class PGCacheTest < Minitest::Test
  prepend Limited
  URL = ENV.fetch("PGCACHE_TEST_URL")
  SCHEMA = "ruby_#{Process.pid}"
  LONG = ENV["PGCACHE_LONG"] == "1"
  FOLDER = File.expand_path("..", __dir__)
  ROOT = File.expand_path("../../..", __dir__)

  # A namespace of its own, so that tests need not empty anything.
  def setup
    @namespace = "#{SecureRandom.hex(4)}-#{name}"[0, 63]
    @caches = []
  end

  def teardown
    @caches.each(&:close)
  end

  # A cache that tells of errors and has no janitor, unless the test says so.
  def cache(url = URL, **options)
    made = PGCache::Cache.new(url, schema: SCHEMA, namespace: @namespace, on_error: "error", janitor: nil, timeout_ms: 20_000, **options)
    @caches << made
    made
  end

  # Another namespace that no other test has.
  def other
    "other-#{@namespace}"[0, 63]
  end

  # Not without its reason in print.
  def skip(reason)
    puts "\n#{self.class}##{name}: skipped: #{reason}"
    super
  end

  # Until the block gives something true.
  def eventually(seconds = 10)
    limit = Process.clock_gettime(Process::CLOCK_MONOTONIC) + seconds
    until (found = yield)
      flunk "it did not become true within #{seconds} s" if Process.clock_gettime(Process::CLOCK_MONOTONIC) > limit
      sleep 0.005
    end
    found
  end

  def seconds
    began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    yield
    Process.clock_gettime(Process::CLOCK_MONOTONIC) - began
  end

  # Runs Ruby in another process, with this library; its output.
  def ruby(script, *arguments, env: {}, status: 0, preload: %w[-w -rpgcache])
    command = [RbConfig.ruby, *$LOAD_PATH.grep(/pgcache|bindings|build/).flat_map { |folder| ["-I", folder] }, *preload, "-e", script, *arguments]
    output = IO.popen({ "PGCACHE_URL" => URL, "PGCACHE_SCHEMA" => SCHEMA, "PGCACHE_NAMESPACE" => @namespace, **env }, command, err: %i[child out], &:read)
    assert_equal status, $?.exitstatus, output
    output
  end
end

setup = PGCache::Cache.new(PGCacheTest::URL, schema: PGCacheTest::SCHEMA, janitor: nil)
setup.init
setup.close
