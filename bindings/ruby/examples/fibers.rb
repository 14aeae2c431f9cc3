# A thousand reads at once on one thread: under a Fiber scheduler calls wait without it. SPDX-License-Identifier: MIT
#
# Usage: PGCACHE_URL=postgresql://localhost/shop ruby examples/fibers.rb      needs the gem async, 1.30 or newer
#
# frozen_string_literal: true

require "pgcache"

begin
  require "async"
rescue LoadError
  puts "skipped: the gem async is not installed"
  return
end

PGCache::Cache.open do |cache|
  cache.init
  Async do |task|
    cache.put_many((0...1000).to_h { |index| ["item:#{index}", index] }, ttl: 60)
    sum = Array.new(1000) { |index| task.async { cache.get("item:#{index}", read: :store) } }.sum(&:wait)
    puts "the sum of a thousand reads: #{sum}"
  end
end
