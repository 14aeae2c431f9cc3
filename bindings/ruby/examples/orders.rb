# A count that is computed once, and anew when its customer orders. SPDX-License-Identifier: MIT
#
# Usage: PGCACHE_URL=postgresql://localhost/shop ruby examples/orders.rb
#
# frozen_string_literal: true

require "pgcache"

orders = Hash.new(0) # stands for a table of the application

PGCache::Cache.open do |cache|
  cache.init
  cache.invalidate(tags: ["customer:7"])
  count = lambda do |customer|
    cache.get_or_load("count:#{customer}", ttl: 300, tags: ["customer:#{customer}"]) { orders[customer] }
  end
  puts "before: #{count.call(7)}"
  orders[7] += 1
  # Better in the transaction that inserts, see Cache#invalidation; or by itself, with the SQL function watch().
  cache.invalidate(tags: ["customer:7"])
  puts "after: #{count.call(7)}"
end
