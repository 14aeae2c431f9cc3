# The steps and values of the conformance table, done through the public face. SPDX-License-Identifier: MIT
# frozen_string_literal: true

# What is not as the table says.
class Difference < StandardError; end

# What the table's loaders fail with.
class LoaderFailed < StandardError; end

# Byte strings of the table: text as text, the rest as bytes.
module Bytes
  def self.of(found)
    found.is_a?(String) ? found : [found.fetch("hex")].pack("H*") * found.fetch("times", 1)
  end

  # As a value, which is bytes only if it is binary.
  def self.value(found) = of(found).b
end

# What a read has to give.
module Expected
  MISSING = Object.new.freeze

  def self.check(value, gives)
    return bytes(value, Bytes.value(gives["value"])) if gives.key?("value")
    return unless gives.key?("json")

    differs(value, gives["json"]) if value.is_a?(String) && value.encoding == Encoding::BINARY || value != gives["json"]
  end

  def self.bytes(value, wanted)
    differs(value, wanted) unless value.is_a?(String) && value.encoding == Encoding::BINARY && value == wanted
  end

  def self.differs(value, wanted)
    raise Difference, "it is #{short(value)}, and has to be #{short(wanted)}"
  end

  def self.short(value) = value.equal?(MISSING) ? "a miss" : value.inspect[0, 100]
end

# One step.
class Step
  MEMBERS = %w[do by key keys namespace value json format ttl_ms tags depends_on deadline_ms read span_name expect sqlstate gives save newer
               within_ms callers items numbered delta initial expected scope prefix name labels settings interval_ms timeout_ms load loader lease_ms
               stale_ms fail_safe_ms throttle_ms absent_ttl_ms wait_ms jitter_percent early_percent ms].freeze
  HOW = { "ttl_ms" => :ttl, "stale_ms" => :stale, "fail_safe_ms" => :fail_safe, "throttle_ms" => :throttle, "absent_ttl_ms" => :absent_ttl,
          "lease_ms" => :lease, "wait_ms" => :wait }.freeze
  GIVES = %w[value json format version ttl_ms stale values number entries expired keys lease loads].freeze
  # What became of one attempt.
  Outcome = Struct.new(:status, :value, :version, :number, :entry, :lease, :list, :figures, keyword_init: true)

  def initialize(step, scene, together: false)
    @step = step
    @scene = scene
    @together = together
    @loads = Queue.new
    unknown = step.keys - MEMBERS + (step["gives"] || {}).keys - GIVES
    raise Difference, "unknown: #{unknown.join(", ")}" unless unknown.empty?
  end

  def loads = @loads.size

  def run
    limit = now + @step.fetch("within_ms", 0) / 1000.0
    begin
      callers = @step.fetch("callers", 1)
      outcomes = callers == 1 ? [attempt(false)] : Array.new(callers) { |index| Thread.new { attempt(index.odd?) } }.map(&:value)
      outcomes.each { |outcome| compare(outcome) }
    rescue Difference
      raise if now >= limit

      sleep 0.005
      retry
    end
  end

  private

  def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

  def attempt(reversed)
    @reversed = reversed
    operation = @step.fetch("do")
    raise Difference, "unknown: #{operation}" unless respond_to?("do_#{operation}", true)

    found = send("do_#{operation}")
    found.is_a?(Outcome) ? found : Outcome.new(status: "ok")
  rescue PGCache::Error => error
    Outcome.new(status: error.status.name)
  rescue LoaderFailed
    Outcome.new(status: "failed")
  end

  def compare(found)
    wanted = @step.fetch("expect", "ok")
    raise Difference, "#{@step["do"]}: the outcome is #{found.status}, and has to be #{wanted}" unless found.status == wanted || stale(found, wanted)

    @scene.saved[@step["save"]] = found.version if @step["save"]
    raise Difference, "the version is not higher" if @step["newer"] && found.version <= @scene.saved.fetch(@step["newer"])

    gives(found, @step["gives"]) if @step["gives"]
  end

  # get_or_load does not tell what is stale.
  def stale(found, wanted) = @step["do"] == "get_or_load" && found.status == "ok" && wanted == "stale"

  def gives(found, gives)
    Expected.check(found.value, gives)
    same(found.entry&.format, gives["format"]) if gives.key?("format") && found.entry
    same(found.entry.version, @scene.saved.fetch(gives["version"])) if gives.key?("version")
    same(found.entry.stale?, gives["stale"]) if gives.key?("stale")
    life(found.entry.ttl, gives["ttl_ms"]) if gives.key?("ttl_ms")
    same(found.lease, gives["lease"]) if gives.key?("lease")
    same(found.number, gives["number"]) if gives.key?("number")
    same(loads, gives["loads"]) if gives.key?("loads") && !@together
    lists(found, gives)
  end

  def lists(found, gives)
    same(found.list, gives["keys"].map { |key| Bytes.value(key) }) if gives.key?("keys")
    (@step["do"] == "stats" ? %w[entries expired] : ["entries"]).each do |name|
      same(found.figures.fetch(name), gives[name]) if gives.key?(name)
    end
    gives["values"]&.zip(found.list) do |wanted, value|
      next same(value, Expected::MISSING) if wanted.nil?

      wanted.is_a?(Hash) && wanted.key?("json") ? Expected.check(value, wanted) : Expected.bytes(value, Bytes.value(wanted))
    end
  end

  def same(found, wanted)
    Expected.differs(found, wanted) unless found == wanted
  end

  def life(ttl, wanted)
    right = wanted == "never" ? ttl == PGCache::NEVER : (wanted[0]..wanted[1]).cover?(ttl * 1000)
    raise Difference, "it lives for #{ttl} s, and has to for #{wanted}" unless right
  end

  # ---- What the step says ----

  def cache = @scene.cache(@step.fetch("by", "a"))
  def key = Bytes.of(@step.fetch("key"))
  def value = @step.key?("value") ? Bytes.value(@step["value"]) : @step.fetch("json")
  def version(given, missing) = Outcome.new(status: given ? "ok" : missing, version: given || nil)
  def done(good, otherwise) = Outcome.new(status: good ? "ok" : otherwise)
  def number(given) = Outcome.new(status: "ok", number: given)

  def options(read: false)
    options = {}
    options[:namespace] = Bytes.of(@step["namespace"]) if @step.key?("namespace")
    options[:span] = Bytes.of(@step["span_name"]) if @step.key?("span_name")
    options[:deadline] = Rational(@step["deadline_ms"], 1000) if @step.key?("deadline_ms")
    options[:read] = @step["read"].to_sym if read && @step.key?("read")
    options
  end

  def dependencies
    { tags: @step.fetch("tags", []).map { |tag| Bytes.of(tag) }, keys: @step.fetch("depends_on", []).map { |name| Bytes.of(name) } }
  end

  def ttl
    found = @step.fetch("ttl_ms", "default")
    return {} if found == "default"

    { ttl: found == "never" ? PGCache::NEVER : Rational(found, 1000) }
  end

  def writing = { **ttl, **dependencies, **options }

  def how
    spans = HOW.filter_map { |name, keyword| [keyword, @step[name] == "never" ? PGCache::NEVER : Rational(@step[name], 1000)] if @step.key?(name) }.to_h
    spans[:jitter] = @step["jitter_percent"] if @step.key?("jitter_percent")
    spans[:early] = @step["early_percent"] if @step.key?("early_percent")
    spans
  end

  def keys
    found = @step.key?("numbered") ? Array.new(@step["numbered"]) { |index| "k#{index}" } : @step.fetch("keys").map { |name| Bytes.of(name) }
    @reversed ? found.reverse : found
  end

  def items
    return keys.map { |name| [name, "v#{name[1..]}".b] } if @step.key?("numbered")

    @step.fetch("items").map { |item| [Bytes.of(item["key"]), item.key?("value") ? Bytes.value(item["value"]) : item.fetch("json")] }
  end

  def what = { tags: @step.fetch("tags", []).map { |tag| Bytes.of(tag) }, keys: @step.fetch("keys", []).map { |name| Bytes.of(name) } }

  def read(found) = Outcome.new(status: found.equal?(Expected::MISSING) ? "miss" : "ok", value: found)

  def entry(found)
    found ? Outcome.new(status: "ok", value: found.value, version: found.version, entry: found) : Outcome.new(status: "miss")
  end

  # ---- What it does ----

  def do_get
    return entry(cache.get_entry(key, **options(read: true))) if @step["save"]

    read(cache.get(key, Expected::MISSING, **options(read: true)))
  end

  def do_get_entry = entry(cache.get_entry(key, **options(read: true)))
  def do_peek = read(cache.peek(key, Expected::MISSING, **options))
  def do_exists = done(cache.exists?(key, **options(read: true)), "miss")
  def do_put = version(cache.put(key, value, **writing), nil)
  def do_add = version(cache.add(key, value, **writing), "exists")
  def do_replace = version(cache.replace(key, value, **writing), "miss")

  def do_compare_and_swap
    given = cache.compare_and_swap(key, value, @scene.saved.fetch(@step["expected"]), **writing)
    version(given, given.nil? ? "miss" : "exists")
  end

  def do_remove = done(cache.remove(key, **options), "miss")
  def do_touch = version(cache.touch(key, **ttl, **options), "miss")
  def do_increment = number(cache.increment(key, @step.fetch("delta", 1), initial: @step.fetch("initial", 0), **ttl, **options))
  def do_decrement = number(cache.decrement(key, @step.fetch("delta", 1), initial: @step.fetch("initial", 0), **ttl, **options))

  def do_get_many
    values = cache.get_many(keys, **options(read: true))
    list = keys.map { |name| values.fetch(name, Expected::MISSING) }
    keys.each_with_index { |name, index| Expected.bytes(list[index], "v#{name[1..]}".b) } if @step.key?("numbered") && !@step.key?("gives")
    Outcome.new(status: "ok", list: list)
  end

  def do_put_many = cache.put_many(items, **writing)
  def do_remove_many = number(cache.remove_many(keys, **options).size)
  def do_invalidate = cache.invalidate(**what, **options)
  def do_dependents = Outcome.new(status: "ok", figures: cache.dependents(**what, **options))
  def do_fence = cache.fence(**options)
  def do_init = done(cache.init(**options), "exists")
  def do_flush = number(cache.flush(all: @step["scope"] == "all", **options))
  def do_cleanup = number(cache.cleanup)
  def do_stats = Outcome.new(status: "ok", figures: cache.stats.transform_keys(&:name))
  def do_keys = Outcome.new(status: "ok", list: cache.keys(prefix: @step.key?("prefix") ? Bytes.of(@step["prefix"]) : nil, **options).to_a)

  def do_sample
    wanted = @step["labels"].transform_keys(&:to_sym)
    samples = cache.snapshot.select { |sample| sample.name == @step["name"] && wanted <= sample.labels }
    samples.empty? ? Outcome.new(status: "miss") : number(samples.sum(&:value))
  end

  def do_open = @scene.open(@step["settings"])
  def do_sleep = sleep(@step["ms"] / 1000.0)

  def do_janitor_start
    interval = { "nan" => Float::NAN, "infinity" => Float::INFINITY }.fetch(@step["interval_ms"]) { |found| Rational(found, 1000) }
    @scene.start_janitor(@step.fetch("by", "a"), interval)
  end

  def do_janitor_stop = done(@scene.janitor(@step.fetch("by", "a")).stop(timeout: @step.fetch("timeout_ms", 5000) / 1000.0), "timeout")

  def do_load_begin
    load = @scene.begin_load(@step["load"], cache, key, { **how, **options(read: true) })
    Outcome.new(status: load.status.name, value: load.entry ? load.value : Expected::MISSING, version: load.entry&.version, entry: load.entry,
                lease: load.lease?)
  end

  def load = @scene.load(@step.fetch("load"))
  def do_load_fill = version(load.fill(value, **dependencies), "refused")
  def do_load_fill_absent = done(load.fill_absent, "refused")
  def do_load_abandon = load.abandon
  def do_load_extend = done(load.extend_lease(Rational(@step["lease_ms"], 1000)), "refused")

  def do_load_fail
    found = load.fail
    found ? Outcome.new(status: "stale", value: found.value, entry: found) : Outcome.new(status: "miss")
  end

  def do_get_or_load
    read(cache.get_or_load(key, Expected::MISSING, **dependencies, **how, **options(read: true)) { compute(@step.fetch("loader")) })
  end

  def compute(loader)
    @loads << true
    sleep(loader.fetch("sleep_ms", 0) / 1000.0)
    loader.fetch("steps", []).each { |step| Step.new(step, @scene).run }
    raise LoaderFailed if loader["fails"]
    return PGCache::ABSENT if loader["absent"]

    loader.key?("value") ? Bytes.value(loader["value"]) : loader.fetch("json")
  end
end

# A value that each language writes and all read.
class Vector
  def initialize(vector)
    @vector = vector
    @key = Bytes.of(vector["key"])
  end

  def write(cache)
    value = @vector.key?("json") ? @vector["json"] : Bytes.value(@vector["value"])
    cache.put(@key, value, ttl: PGCache::NEVER, namespace: "ruby")
  end

  def read(cache, language)
    format = @vector.fetch("format", @vector.key?("json") ? 1 : 0)
    found = cache.get_entry(@key, namespace: language)
    raise Difference, "it is a miss" unless found
    raise Difference, "it was read, and cannot be" if @vector["unreadable"] || format > 1

    Expected.differs(found.format, format) unless found.format == format
    Expected.check(found.value, @vector.key?("json") ? { "json" => @vector["json"] } : { "value" => @vector["value"] })
  rescue PGCache::FormatError => error
    raise unless (@vector["unreadable"] || format > 1) && error.message.include?(format.to_s)
  end
end
