# Conformance: does the cases that all languages do, see tests/conformance/README.md. SPDX-License-Identifier: MIT
#
# Usage: conformance.rb run|write|read|serve CASES [LANGUAGE...]
#
# frozen_string_literal: true

$LOAD_PATH.unshift(File.expand_path("ruby", ENV["PGCACHE_BUILD"])) if ENV["PGCACHE_BUILD"]
require "json"
require "pgcache"
require_relative "conformance_steps"

# The handles of a case, its leases and what it saved.
class Scene
  attr_reader :saved

  def initialize(settings, saved = {})
    @settings = settings.transform_keys(&:to_sym)
    @caches = {}
    @janitors = {}
    @lock = Mutex.new
    @fibers = {}
    @saved = saved
  end

  def cache(name) = @lock.synchronize { @caches[name] ||= PGCache::Cache.new(janitor: nil, **@settings) }

  def open(settings)
    PGCache::Cache.new(janitor: nil, **@settings, **settings.transform_keys(&:to_sym)).close
  end

  def janitor(name) = @janitors.fetch(name)

  def start_janitor(name, interval) = @janitors[name] = cache(name).janitor(interval)

  # The block of Cache#load has its lease for as long as a fiber stands in it.
  def begin_load(name, cache, key, options)
    fiber = Fiber.new { cache.load(key, **options) { |load| Fiber.yield(load) } }
    load = fiber.resume
    @fibers.delete(name)&.first&.then { |older| older.resume if older.alive? }
    @fibers[name || fiber] = [fiber, load]
    load
  end

  def load(name) = @fibers.fetch(name).last

  def close
    @fibers.each_value { |fiber, _| fiber.resume if fiber.alive? }
    @caches.each_value(&:close)
  end
end

# The table.
class Conformance
  MEMBERS = %w[settings cases values digests].freeze

  def initialize(path)
    @table = JSON.parse(File.read(path, encoding: "UTF-8"))
    raise "the table has other members than #{MEMBERS.join(", ")}" unless @table.keys.sort == MEMBERS.sort
  end

  def run
    report(@table["cases"]) do |found|
      scene = Scene.new(@table["settings"].merge(found["settings"] || {}))
      begin
        PGCache::Cache.open(janitor: nil) { |cache| cache.flush(all: true) }
        found["steps"].each { |step| Step.new(step, scene).run }
      ensure
        scene.close
      end
    end
  end

  def write
    PGCache::Cache.open(janitor: nil, on_error: "error") do |cache|
      cache.init
      @table["values"].each do |vector|
        next if vector["without"]&.key?("ruby") || (vector["from"] && !vector["from"].include?("ruby"))

        Vector.new(vector).write(cache)
      end
      @table["digests"].each { |found| cache.put(Bytes.of(found["key"]), "ruby".b, namespace: Bytes.of(found["namespace"]), ttl: PGCache::NEVER) }
    end
    true
  end

  def read(languages)
    PGCache::Cache.open(janitor: nil, on_error: "error") do |cache|
      languages.map do |language|
        vectors = @table["values"].reject { |vector| vector["from"] && !vector["from"].include?(language) || vector["without"]&.key?(language) }
        report(vectors, "#{language}: ") { |vector| Vector.new(vector).read(cache, language) }
      end.all?
    end
  end

  def serve
    scene = nil
    $stdin.each_line do |line|
      word, *words = line.split
      answer =
        case word
        when "begin"
          scene&.close
          @case = @table["cases"].fetch(Integer(words[0]))
          scene = Scene.new(@table["settings"].merge(@case["settings"] || {}))
          "ok"
        when "step" then step(scene, words)
        else "not ok: there is no such command"
        end
      puts answer
    end
    scene&.close
    true
  end

  private

  def step(scene, words)
    step = @table["cases"].fetch(Integer(words[0]))["steps"].fetch(Integer(words[1]))
    words.drop(2).each { |pair| pair.split("=").then { |name, number| scene.saved[name] = Integer(number) } }
    before = scene.saved.dup
    done = Step.new(step, scene, together: true)
    done.run
    gives = scene.saved.reject { |name, number| before[name] == number }
    gives["loads"] = done.loads if step["loader"]
    ["ok", *gives.map { |name, number| "#{name}=#{number}" }].join(" ")
  rescue StandardError => difference
    "not ok: #{line_of(difference)}"
  end

  def report(cases, prefix = "")
    passed = failed = 0
    cases.each do |found|
      name = "#{prefix}#{found["name"]}"
      if (reason = found.dig("without", "ruby"))
        puts "skipped #{name}: #{reason}"
        next
      end
      begin
        yield found
        passed += 1
        puts "ok #{name}"
      rescue StandardError => difference
        failed += 1
        puts "not ok #{name}: #{line_of(difference)}"
      end
    end
    puts "#{passed} passed, #{failed} failed"
    failed.zero?
  end

  def line_of(difference)
    kind = difference.is_a?(Difference) ? "" : "#{difference.class} at #{difference.backtrace.first.sub(/.*\//, "")}: "
    "#{kind}#{difference.message}".lines.first.chomp
  end
end

$stdout.sync = true
mode, path, *languages = ARGV
abort "usage: conformance.rb run|write|read|serve CASES [LANGUAGE...]" unless %w[run write read serve].include?(mode) && path
conformance = Conformance.new(path)
PGCache::Cache.open(janitor: nil, &:init)
exit(mode == "read" ? conformance.read(languages) : conformance.public_send(mode))
