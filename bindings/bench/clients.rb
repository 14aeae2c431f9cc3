# The Ruby clients of `make bench ONLY=bindings`: one client in one process, see bindings/bench/run for the protocol.
# SPDX-License-Identifier: MIT
# frozen_string_literal: true
#
# Usage: clients.rb CLIENT    raw, face, face-json

require "pgcache"

NUMBER = 1000
KEYS = Array.new(NUMBER) { |number| format("key:%06d", number * 7919 % NUMBER).b.freeze }.freeze
SMALL = ("x" * 100).b.freeze
LARGE = ("x" * 1024).b.freeze
SMALL_DOCUMENT = { "v" => "x" * 92 }.freeze # as JSON as long as the others
LARGE_DOCUMENT = { "v" => "x" * 1016 }.freeze
TTL = 3600

# pgcache as applications use it, with byte strings.
class Face
  def initialize(small = SMALL, large = LARGE)
    @small = small
    @large = large
    @near = PGCache::Cache.new(namespace: "near-#{Process.pid}", near_staleness_ms: 60_000, janitor: nil) # a busy machine measures hits, too
    @store = PGCache::Cache.new(namespace: "store-#{Process.pid}", near_max_bytes: 0, janitor: nil)
    KEYS.each { |key| @near.put(key, @small, ttl: TTL) }
    put(KEYS)
  end

  def near(keys)
    cache = @near
    keys.each { |key| cache.get(key) }
  end

  def get(keys)
    cache = @store
    keys.each { |key| cache.get(key) }
  end

  def put(keys)
    keys.each { |key| @store.put(key, @large, ttl: TTL) }
  end

  def full?
    KEYS.all? { |key| @near.get(key) == @small && @store.get(key) == @large }
  end

  # Whether what is measured as a hit in this process's memory will be one.
  def held?
    KEYS.all? { |key| @near.peek(key) == @small }
  end
end

# The compiled layer below the face: what a hit costs with nothing around it.
class Raw < Face
  RAW = PGCache.const_get(:Raw)

  def near(keys)
    handle = @near.instance_variable_get(:@handle)
    keys.each { |key| RAW.near(handle, key, nil) }
  end

  def get(keys)
    handle = @store.instance_variable_get(:@handle)
    keys.each { |key| RAW.get(handle, key, nil) }
  end

  def put(keys)
    handle = @store.instance_variable_get(:@handle)
    keys.each { |key| RAW.put(handle, key, LARGE, 0, TTL * 1000, nil) }
  end
end

# Nanoseconds of one operation: of a near hit on a processor, of the others by the clock.
CLOCKS = { "near" => Process::CLOCK_THREAD_CPUTIME_ID, "get" => Process::CLOCK_MONOTONIC, "put" => Process::CLOCK_MONOTONIC }.freeze
PARTS = { "near" => [KEYS], "get" => KEYS.each_slice(20).to_a, "put" => KEYS.each_slice(20).to_a }.freeze

def measure(client, operation, seconds)
  clock = CLOCKS.fetch(operation)
  parts = PARTS.fetch(operation)
  count = 0
  ends = Process.clock_gettime(Process::CLOCK_MONOTONIC) + seconds
  began = Process.clock_gettime(clock, :nanosecond)
  while Process.clock_gettime(Process::CLOCK_MONOTONIC) < ends
    client.public_send(operation, parts[count % parts.size])
    count += 1
  end
  (Process.clock_gettime(clock, :nanosecond) - began).fdiv(count * parts.first.size)
end

client = { "raw" => -> { Raw.new }, "face" => -> { Face.new },
           "face-json" => -> { Face.new(SMALL_DOCUMENT, LARGE_DOCUMENT) } }.fetch(ARGV[0]).call
abort "clients.rb: a key is gone" unless client.full?
100.times { client.held? || (client.full? && sleep(0.05)) }
abort "clients.rb: the near cache does not hold the keys" unless client.held?
$stdout.sync = true
puts "ready #{CLOCKS.keys.join(" ")}"
while (line = $stdin.gets)
  operation, seconds = line.split
  puts measure(client, operation, Float(seconds)).round(1)
  abort "clients.rb: the near cache does not hold the keys any more" if operation == "near" && !client.held?
end
