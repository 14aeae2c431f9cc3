# Spans for Sentry. SPDX-License-Identifier: MIT
#
#   require "pgcache/sentry"
#   cache = PGCache::Cache.new(url, providers: [PGCache::Sentry.new])
#
# frozen_string_literal: true

require "sentry-ruby"
require "pgcache"

module PGCache
  # A Provider that makes a span of each operation on entries, where one of sentry-ruby is under way, as Sentry's module for caches wants them:
  # op +cache.get+, +cache.put+, +cache.remove+ or +cache.flush+; the call's span name, or "pgcache get" and so on, as description; data
  # +cache.key+ (a list), +cache.hit+, +cache.item_size+ and +cache.success+. Spans that the block of Cache#get_or_load makes are inside of it.
  class Sentry
    include Provider

    OPERATIONS = {
      "get" => "cache.get", "get_entry" => "cache.get", "peek" => "cache.get", "get_many" => "cache.get", "get_or_load" => "cache.get",
      "load" => "cache.get", "put" => "cache.put", "add" => "cache.put", "replace" => "cache.put", "compare_and_swap" => "cache.put",
      "put_many" => "cache.put", "increment" => "cache.put", "touch" => "cache.put", "remove" => "cache.remove",
      "remove_many" => "cache.remove", "invalidate" => "cache.remove", "flush" => "cache.flush"
    }.freeze
    HITS = { "hit" => true, "stale" => true, "miss" => false, "lease" => false, "busy" => false }.freeze
    # What a load that was done says about the look that came before it.
    LOADED = %w[get_or_load load].freeze
    FAILED = { "timeout" => "deadline_exceeded", "unavailable" => "unavailable", "denied" => "permission_denied" }.freeze
    private_constant :OPERATIONS, :HITS, :LOADED, :FAILED

    # keys:: false leaves out +cache.key+
    def initialize(keys: true)
      @keys = keys
    end

    def started(event) # :nodoc:
      op = OPERATIONS[event.operation]
      scope = ::Sentry.get_current_scope if ::Sentry.initialized?
      parent = scope&.get_span
      return unless op && parent

      name = event.span.empty? ? "pgcache #{op.delete_prefix("cache.")}" : event.span
      span = parent.start_child(op: op, description: name)
      scope.set_span(span)
      [scope, parent, span]
    end

    def ended(begun, event) # :nodoc:
      scope, parent, span = begun
      return unless span

      scope.set_span(parent)
      describe(span, event)
      span.set_status(event.sqlstate.empty? && event.message.empty? ? "ok" : FAILED.fetch(event.outcome, "internal_error"))
      span.finish
    end

    private

    def describe(span, event)
      span.set_data("cache.key", [event.key.dup.force_encoding(Encoding::UTF_8).scrub]) if @keys && event.key
      hit = hit(event)
      span.set_data("cache.hit", hit) unless hit.nil?
      span.set_data("cache.item_size", event.bytes) if event.bytes >= 0
      span.set_data("cache.success", event.message.empty?) if %w[cache.put cache.remove cache.flush].include?(span.op)
    end

    def hit(event)
      HITS.fetch(event.outcome) { LOADED.include?(event.operation) && %w[ok failed].include?(event.outcome) ? false : nil }
    end
  end
end
