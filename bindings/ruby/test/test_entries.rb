# Calls on one key. SPDX-License-Identifier: MIT
# frozen_string_literal: true

require_relative "helper"
require "set"

class TestEntries < PGCacheTest
  def test_A01_a_miss_then_the_same_bytes
    bytes = (0..255).to_a.pack("C*")
    assert_nil cache.get("key")
    assert_equal :none, cache.get("key", :none)
    assert_operator cache.put("key", bytes, ttl: 60), :>, 0
    assert_equal bytes, cache.get("key")
    assert_equal Encoding::BINARY, cache.get("key").encoding
    assert_equal bytes, cache.get("key", read: :store)
    assert_nil cache.get("another")
  end

  def test_A01_keys_are_bytes
    here = cache
    here.put("caf\u00e9", 1)
    assert_equal 1, here.get("caf\xc3\xa9".b)
    here.put("\x00\xff".b, 2)
    assert_equal 2, here.get("\x00\xff".b)
    assert_raises(TypeError) { here.get(:symbol) }
    assert_raises(PGCache::InvalidError) { here.put(nil, 1) }
    assert_raises(PGCache::InvalidError) { here.get(nil) }
  end

  # Names are UTF-8 for everybody, whatever a String's encoding is; values that are bytes stay as they are.
  def test_names_in_other_encodings
    here = cache
    latin = "caf\u00e9".encode("ISO-8859-1")
    wide = "caf\u00e9".encode("UTF-16LE")
    here.put(latin, 1, tags: [wide])
    [latin, wide, "caf\u00e9"].each { |key| %i[near store].each { |read| assert_equal 1, here.get(key, read: read) } }
    assert_equal ["caf\u00e9".b], here.keys(prefix: latin).to_a
    assert_equal [1], here.get_many([wide]).values
    assert_equal %({"caf\u00e9"}), here.invalidation(tags: [latin]).last.first
    here.invalidate(tags: [latin])
    assert_nil here.get("caf\u00e9", read: :store)
    broken = "\xff\xff\xff".dup.force_encoding("UTF-16LE")
    assert_raises(PGCache::InvalidError) { here.get(broken) }
    assert_raises(PGCache::InvalidError) { here.put("key", 1, tags: [broken]) }
    assert_raises(PGCache::InvalidError) { here.invalidation(tags: [broken]) }
  end

  def test_A02_the_second_put_wins
    here = cache
    first = here.put("key", "first", ttl: 0.5)
    second = here.put("key", "second", ttl: 60)
    assert_operator second, :>, first
    sleep 0.6
    assert_equal "second", here.get("key", read: :store)
  end

  def test_A03_removed_is_a_miss
    here = cache
    here.put("key", 1)
    assert_equal true, here.remove("key")
    assert_nil here.get("key")
    assert_equal false, here.remove("key")
  end

  def test_A07_ttl
    here = cache
    here.put("key", 1, ttl: 2.5)
    assert_equal 1, here.get("key")
    assert_in_delta 1.5, here.get_entry("key").ttl, 1
    sleep 2.6
    assert_nil here.get("key")
    assert_nil here.get_entry("key")
  end

  def test_A09_time_spans
    here = cache
    here.put("key", 1, ttl: PGCache::NEVER)
    assert_equal PGCache::NEVER, here.get_entry("key").ttl
    here.put("key", 1)
    assert_in_delta 300, here.get_entry("key").ttl, 5
    here.put("key", 1, ttl: Rational(1, 3))
    [0, -1, Float::NAN, -Float::INFINITY].each do |ttl|
      assert_equal :invalid, assert_raises(PGCache::InvalidError) { here.put("key", 1, ttl: ttl) }.status
    end
    assert_raises(TypeError) { here.put("key", 1, ttl: "60") }
  end

  def test_A11_empty_and_null_are_hits
    here = cache
    here.put("empty", "".b)
    here.put("null", nil)
    here.put("text", "")
    %i[near store].each do |read|
      assert_equal "".b, here.get("empty", :none, read: read)
      assert_nil here.get("null", :none, read: read)
      assert_equal "", here.get("text", :none, read: read)
      assert_equal :none, here.get("missing", :none, read: read)
    end
    assert here.exists?("null")
    assert_nil here.get_entry("null").value
    assert_nil here.get_entry("missing")
  end

  def test_A13_limits
    here = cache(max_value_bytes: 1000)
    assert_equal :too_large, assert_raises(PGCache::TooLargeError) { here.put("k" * 4097, 1) }.status
    assert_raises(PGCache::TooLargeError) { here.get("k" * 4097) }
    assert_raises(PGCache::TooLargeError) { here.put("key", "x".b * 1001) }
    assert_raises(PGCache::InvalidError) { here.get("") }
    assert_raises(PGCache::InvalidError) { here.get("key", namespace: "with space") }
    assert_nil here.get("key")
    here.put("k" * 4096, "x".b * 1000)
    assert_equal "x".b * 1000, here.get("k" * 4096)
  end

  def test_A14_conditional_writes
    here = cache
    assert_equal false, here.exists?("key")
    assert_nil here.replace("key", 0)
    version = here.add("key", 1)
    assert_operator version, :>, 0
    assert_equal false, here.add("key", 2)
    assert here.exists?("key")
    newer = here.compare_and_swap("key", 3, version)
    assert_operator newer, :>, version
    assert_equal false, here.compare_and_swap("key", 4, version)
    assert_nil here.compare_and_swap("missing", 4, version)
    assert_operator here.replace("key", 5), :>, newer
    assert_operator here.touch("key", ttl: 1000), :>, newer
    assert_in_delta 1000, here.get_entry("key").ttl, 5
    assert_equal 5, here.get("key")
    assert_nil here.touch("missing")
    here.put("gone", 1, ttl: 0.001)
    sleep 0.05
    assert here.add("gone", 2)
  end

  def test_A14_counters
    here = cache
    assert_equal 11, here.increment("count", initial: 10, ttl: 60)
    assert_equal 16, here.increment("count", 5)
    assert_equal 14, here.decrement("count", 2)
    assert_equal 14, here.get("count")
    Array.new(8) { Thread.new { 10.times { here.increment("count") } } }.each(&:join)
    assert_equal 94, here.get("count")
    here.put("text", "x")
    assert_raises(PGCache::NotACounterError) { here.increment("text") }
    here.increment("large", 2**63 - 1)
    assert_raises(PGCache::OverflowError) { here.increment("large") }
  end

  def test_numbers_are_integers_and_no_message_shows_them
    here = cache
    { increment: ["key", 1.5], touch: ["key", { ttl: "1" }], compare_and_swap: ["key", 1, "secret"] }.each do |name, arguments|
      options = arguments.last.is_a?(Hash) ? arguments.pop : {}
      error = assert_raises(TypeError, name) { here.public_send(name, *arguments, **options) }
      refute_match(/secret|1\.5|"1"/, error.message)
    end
    assert_raises(RangeError) { here.increment("key", 2**64) }
    assert_equal false, here.exists?("key")
  end

  def test_values_of_all_kinds
    here = cache
    large = 123_456_789_012_345_678_901_234_567_890
    [nil, true, false, 0, -1, 2**53 + 1, large, 1.5, "text \u00e9 \u6f22", [1, [2, nil]], { "a" => { "b" => [1.25, large] } }].each do |value|
      here.put("key", value)
      %i[near store].each { |read| value.nil? ? assert_nil(here.get("key", 1, read: read)) : assert_equal(value, here.get("key", read: read)) }
    end
    here.put("key", { a: :b })
    assert_equal({ "a" => "b" }, here.get("key"))
    assert_equal 1, here.get_entry("key").format
  end

  def test_values_that_cannot_be_written
    here = cache
    object = Object.new
    def object.to_s = "secret"
    shape = Struct.new(:side)
    [deep(1001), { "a" => deep(1000) }, object, [object], { "a" => object }, { object => 1 }, { 1.5 => 1 }, Time.now, Rational(1, 3), Set.new([1]),
     shape.new(1), BasicObject.new, Float::NAN, Float::INFINITY, [-Float::INFINITY], "\xff", { "a" => "\xff" }].each do |value|
      error = assert_raises(PGCache::FormatError) { here.put("key", value) }
      refute_includes error.full_message, "secret"
    end
    assert_nil here.get("key")
  end

  def test_values_with_a_form_of_their_own
    here = cache
    own = Class.new { def to_json(*) = '{"own":1}' }
    here.put("key", [own.new])
    assert_equal [{ "own" => 1 }], here.get("key")
    here.put("key", { 1 => :a, b: 2 })
    assert_equal({ "1" => "a", "b" => 2 }, here.get("key"))
    here.put("key", deep(1000))
    assert_equal deep(1000), here.get("key")
    frozen = "[1]".b.freeze
    assert_equal [1], PGCache::Formats::JSON.load(frozen)
    assert_equal Encoding::BINARY, frozen.encoding
  end

  # So many arrays inside of each other.
  def deep(levels)
    (1...levels).reduce([]) { |inner, _| [inner] }
  end
  private :deep

  def test_unknown_formats_are_errors_that_name_the_number
    unknown = Module.new do
      def self.number = 77
      def self.dump(value) = value.to_s
    end
    writer = cache(serializer: unknown)
    writer.put("key", 1)
    %i[near store].each do |read|
      assert_match(/format 77/, assert_raises(PGCache::FormatError) { writer.get("key", read: read) }.message)
    end
    broken = Module.new do
      def self.number = 1
      def self.dump(_value) = "{secret"
    end
    here = cache(serializer: broken)
    here.put("key", 1)
    error = assert_raises(PGCache::FormatError) { here.get("key") }
    assert_match(/format 1/, error.message)
    refute_includes error.full_message, "secret"
  end

  def test_msgpack
    begin
      require "pgcache/msgpack"
    rescue LoadError
      skip "the gem msgpack is not installed (Debian: ruby-msgpack)"
    end
    here = cache(serializer: PGCache::Formats::MessagePack)
    here.put("key", { "a" => [1, nil, "text", "\xff".b] })
    assert_equal({ "a" => [1, nil, "text", "\xff".b] }, here.get("key", read: :store))
    assert_equal 2, here.get_entry("key").format
    assert_equal({ "a" => [1, nil, "text", "\xff".b] }, cache.get("key"))
  end

  def test_peek_and_fence
    here = cache
    there = cache
    assert_nil here.peek("key")
    here.put("key", 1)
    eventually { here.get("key") && here.peek("key") == 1 }
    there.put("key", 2)
    here.fence
    assert_equal 2, here.get("key")
    assert_raises(PGCache::InvalidError) { here.peek("key", read: :store) }
  end

  def test_A30_another_cache_is_heard_of
    here = cache
    there = cache
    there.put("key", 1)
    eventually { here.get("key") && here.peek("key") }
    there.put("key", 2)
    eventually { here.get("key") == 2 }
    here.put("key", 3)
    assert_equal 3, here.get("key")
  end

  def test_options
    here = cache
    here.put("key", 1, namespace: other)
    assert_nil here.get("key")
    assert_equal 1, here.get("key", namespace: other)
    assert_equal 1, here.get("key", namespace: other, span: "greeting", deadline: 5)
    assert_raises(PGCache::TimeoutError) { here.get("key", read: :store, deadline: 0) }
    assert_raises(ArgumentError) { here.get("key", ttl: 1) }
    { get_many: [["key"], { tags: ["t"] }], get_entry: ["key", { keys: ["k"] }], put: ["key", 2, { read: :store }],
      remove: ["key", { tags: ["t"] }], touch: ["key", { keys: ["k"] }], increment: ["n", { tags: ["t"] }], flush: [{ keys: ["k"] }],
      load: ["key", { dead_line: 1 }] }.each do |name, (*arguments, options)|
      assert_raises(ArgumentError, name) { here.public_send(name, *arguments, **options) { flunk } }
    end
    assert_raises(PGCache::InvalidError) { here.get("key", read: :store, deadline: Float::NAN) }
    assert_raises(PGCache::InvalidError) { here.get("key", namespace: "a\0b") }
    assert_raises(PGCache::InvalidError) { here.get("key", read: :far) }
  end
end
