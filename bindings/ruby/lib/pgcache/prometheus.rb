# Figures for Prometheus. SPDX-License-Identifier: MIT
#
#   require "pgcache/prometheus"
#   get("/metrics") { [200, { "content-type" => PGCache::Prometheus::CONTENT_TYPE }, [PGCache::Prometheus.text(cache)]] }
#
# frozen_string_literal: true

require "pgcache"

module PGCache
  # Snapshots as text that Prometheus scrapes, for any web server: beside what the application measures itself, whose names do not begin with
  # pgcache_. Buckets are those of the library's own exporter.
  module Prometheus
    # What the text is.
    CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

    # The text of one or several caches, or snapshots; figures of several add up. A Snapshot that is given stays as it is if it is
    # alone, or there is a Cache among them; else the first one is the sum afterwards.
    def self.text(first, *others)
      first, *others = [first, *others].sort_by.with_index { |source, index| [source.is_a?(Snapshot) ? 1 : 0, index] }
      snapshot = others.reduce(snapshot_of(first)) { |sum, other| sum.add(snapshot_of(other)) }
      lines = []
      snapshot.chunk_while { |one, next_one| one.name == next_one.name }.each { |samples| family(lines, samples) }
      lines.join("\n") << "\n"
    end

    SECONDS = (-6..0).flat_map { |exponent| [1, 2.5, 5].map { |digit| (digit * 10.0**exponent).round(8) } }.push(10.0).freeze
    BYTES = (3..12).map { |power| 4.0**power }.freeze
    ENTRIES = [0, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000]
              .map(&:to_f).freeze
    private_constant :SECONDS, :BYTES, :ENTRIES

    class << self
      private

      def snapshot_of(source)
        source.is_a?(Snapshot) ? source : source.snapshot
      end

      def family(lines, samples)
        name = samples.first.name
        lines << "# HELP #{name} #{escaped(samples.first.help)}" << "# TYPE #{name} #{samples.first.kind}"
        samples.each { |sample| sample.kind == :histogram ? histogram(lines, sample) : lines << line(name, sample.labels, sample.value) }
      end

      def histogram(lines, sample)
        name = sample.name
        labels = sample.labels
        bounds(sample.unit).each { |bound| lines << line("#{name}_bucket", { **labels, le: bound }, sample.count_to(bound)) }
        lines << line("#{name}_bucket", { **labels, le: "+Inf" }, sample.count)
        lines << line("#{name}_sum", labels, sample.value) << line("#{name}_count", labels, sample.count)
      end

      def bounds(unit)
        { "seconds" => SECONDS, "bytes" => BYTES }.fetch(unit, ENTRIES)
      end

      def line(name, labels, value)
        text = labels.map { |label, labelled| %(#{label}="#{escaped(labelled.to_s).gsub('"', '\"')}") }.join(",")
        "#{name}#{"{#{text}}" unless text.empty?} #{number(value)}"
      end

      def escaped(text)
        text.gsub("\\") { "\\\\" }.gsub("\n", "\\n")
      end

      def number(value)
        return value.to_s unless value.is_a?(Float)
        return value.nan? ? "NaN" : (value.positive? ? "+Inf" : "-Inf") unless value.finite?

        value == value.floor && value.abs < 1e15 ? value.to_i.to_s : value.to_s
      end
    end
  end
end
