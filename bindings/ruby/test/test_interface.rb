# The header, the raw layer, the face, its signatures and its documentation say the same. SPDX-License-Identifier: MIT
# frozen_string_literal: true

require_relative "helper"
require "open3"
require "shellwords"
require "tmpdir"

class TestInterface < PGCacheTest
  # That each function of the header is in the raw layer and reached by the face is checked by ci/check-bindings-cover.
  def test_the_raw_layer_is_private
    assert_raises(NameError) { PGCache::Raw }
  end

  # A field of the header that is new is there at once.
  def test_all_fields_of_structs_are_there
    header = File.read("#{ROOT}/abi/pgcache.h")
    { "counters" => cache.counters, "store_stats" => cache.stats }.each do |name, found|
      fields = header[/typedef struct pgcache_#{name} \{(.*?)\}/m, 1].gsub(%r{/\*.*?\*/}m, "").scan(/(\w+);/).flatten - ["struct_size"]
      assert_equal fields.sort, found.keys.map(&:to_s).sort
    end
  end

  TYPES = [PGCache::Cache, PGCache::Load, PGCache::Janitor, PGCache::Snapshot, PGCache::Sample, PGCache::Observer].freeze
  # What is there and not for users.
  UNDECLARED = { PGCache::Cache => %i[inspect], PGCache::Load => %i[begun fill_bytes close hand_over leave inspect],
                 PGCache::Janitor => %i[free], PGCache::Snapshot => %i[inspect raw],
                 PGCache::Sample => %i[inspect] }.freeze

  def test_signatures_are_valid
    output, status = Open3.capture2e(RbConfig.ruby, "-W0", "#{rbs.gem_dir}/exe/rbs", "-I", "#{FOLDER}/sig", "validate", "--silent")
    assert status.success?, output
  end

  def test_every_method_has_a_signature
    declared = File.read("#{FOLDER}/sig/pgcache.rbs")
    TYPES.each do |type|
      signatures = declared[/^  class #{type.name.split("::").last}\b.*?^  end$/m] or flunk "#{type} has none"
      missing = type.public_instance_methods(false).reject { |name| signatures.match?(/(def|attr_reader) #{Regexp.escape(name)}:/) }
      assert_empty missing - UNDECLARED.fetch(type, []), type.name
    end
  end

  # Calls of the tests' own, checked against the signatures while they run.
  def test_signatures_hold
    rbs
    checked = { "RBS_TEST_TARGET" => "PGCache::*", "RBS_TEST_OPT" => "-I #{"#{FOLDER}/sig".shellescape}", "RBS_TEST_LOGLEVEL" => "error",
                "RBS_TEST_RAISE" => "true" }
    output = ruby(<<~'RUBY', env: checked, preload: ["-W0"])
      require "rbs/test/setup"
      require "pgcache"
      cache = PGCache::Cache.new(janitor: nil)
      cache.put("key", 1, ttl: 5, tags: ["t"])
      cache.get("key"); cache.get_entry("key"); cache.get_many(["key"]); cache.put_many({"a" => 1}); cache.exists?("a")
      cache.get_or_load("load", ttl: 1, tags: ["t"]) { 1 }
      cache.load("low") { |load| load.fill(1) }
      cache.keys.to_a; cache.entries.to_a; cache.usage.to_a; cache.stats; cache.counters
      cache.snapshot.map { |sample| [sample.name, sample.labels] }
      cache.invalidate(tags: ["t"]); cache.invalidation(tags: ["t"]); cache.dependents(tags: ["t"])
      cache.observe(:operations).close
      cache.janitor(1) { |janitor| janitor.stop }
      cache.remove("key"); cache.flush
      begin
        cache.set_limits(entries: 0, all: 1) # which the signature does not allow
        print "not checked"
      rescue RBS::Test::Tester::TypeError => error
        print error.class
      end
    RUBY
    assert_equal "RBS::Test::Tester::TypeError", output
  end

  def test_documentation
    Dir.mktmpdir do |folder|
      assert_match(/100.00% documented/, rdoc("--coverage-report=0"))
      assert_empty rdoc("--quiet", "--op", "#{folder}/doc")
      assert_path_exists "#{folder}/doc/PGCache/Cache.html"
    end
  end

  def test_examples
    written = Dir["#{FOLDER}/examples/*.rb"].to_h { |path| [File.basename(path, ".rb"), ruby("load ARGV.first", path)] }
    assert_equal %w[fibers metrics orders], written.keys.sort
    assert_equal "before: 0\nafter: 1\n", written["orders"]
    assert_match(/put ok from store in \d+ us.*get hit from.*^pgcache_hits_total\{.*span_name="example"\} \d$/m, written["metrics"])
    assert_match(/^(the sum of a thousand reads: 499500|skipped: the gem async is not installed)$/, written["fibers"])
  end

  private

  def rbs
    Gem::Specification.find_all_by_name("rbs").first or skip "the gem rbs is not installed (it comes with Debian's ruby)"
  end

  def rdoc(*options)
    output, status = Open3.capture2e("rdoc", *options, "--main", "README.md", "lib", "README.md", chdir: FOLDER)
    assert status.success?, output
    output
  end
end
