# Calls on many keys. SPDX-License-Identifier: MIT
# frozen_string_literal: true

require_relative "helper"

class TestMany < PGCacheTest
  def test_A15_a_thousand_keys
    here = cache
    values = (0...1000).to_h { |index| ["k#{index}", index] }
    versions = here.put_many(values, ttl: 60)
    assert_equal values.keys, versions.keys
    assert versions.values.all?(&:positive?)
    assert_equal values, here.get_many([*values.keys, "missing"])
    assert_equal values, here.get_many(values.keys, read: :store)
    assert_equal %w[k1 k2], here.remove_many(%w[k1 missing k2])
    assert_equal({ "k3" => 3 }, here.get_many(%w[k1 k3]))
  end

  def test_A15_duplicates_nulls_and_nothing
    here = cache
    here.put_many([["a", 1], ["b", nil], ["a", 2]])
    assert_equal({ "a" => 2, "b" => nil }, here.get_many(%w[a b a]))
    assert_equal({}, here.get_many([]))
    assert_equal({}, here.put_many({}))
    assert_equal [], here.remove_many([])
  end

  def test_A15_writers_of_overlapping_sets
    here = cache
    keys = (0...50).map { |index| "k#{index}" }
    Array.new(16) do |writer|
      Thread.new { 5.times { here.put_many((writer.even? ? keys : keys.reverse).map { |key| [key, writer] }) } }
    end.each(&:join)
    assert_equal keys, here.get_many(keys).keys
  end

  def test_A13_one_bad_item_refuses_all_and_tells
    here = cache(max_value_bytes: 100)
    error = assert_raises(PGCache::TooLargeError) { here.put_many({ "a" => 1, "b" => "x".b * 101 }) }
    assert_match(/1/, error.message)
    assert_nil here.get("a")
    assert_raises(TypeError) { here.get_many([:a]) }
  end

  def test_what_became_of_each_key_when_the_store_fails
    here = cache("host=127.0.0.1 port=1 user=nobody")
    error = assert_raises(PGCache::UnavailableError) { here.put_many({ "a" => 1, "b" => 2 }) }
    assert_match(/cannot connect/, error.message)
    assert_equal({ "a" => :unavailable, "b" => :unavailable }, error.statuses)
  end
end
