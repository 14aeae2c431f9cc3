# What Prometheus would scrape, and each operation as a line of a log. SPDX-License-Identifier: MIT
#
# Usage: PGCACHE_URL=postgresql://localhost/shop ruby examples/metrics.rb
#
# frozen_string_literal: true

require "logger"
require "pgcache/prometheus"

# Tells a log of every operation.
class LogProvider
  include PGCache::Provider

  def initialize(logger)
    @logger = logger
  end

  def ended(_begun, event)
    @logger.info(format("%s %s from %s in %.0f us", event.operation, event.outcome, event.source, event.duration * 1e6))
  end
end

PGCache::Cache.open(providers: [LogProvider.new(Logger.new($stdout))]) do |cache|
  cache.init
  cache.put("greeting", "hello", ttl: 60, span: "example")
  2.times { cache.get("greeting", span: "example") }
  puts PGCache::Prometheus.text(cache).lines.grep(/^pgcache_hits_total/)
end
