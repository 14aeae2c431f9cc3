# What the library measures of a cache. SPDX-License-Identifier: MIT
# frozen_string_literal: true

module PGCache
  # One measurement: a counter, a gauge, or a histogram of a snapshot.
  class Sample
    KINDS = { Raw::COUNTER => :counter, Raw::GAUGE => :gauge, Raw::HISTOGRAM => :histogram }.freeze
    private_constant :KINDS

    def initialize(snapshot, index) # :nodoc:
      @snapshot = snapshot
      @index = index
    end

    # The name, in the form of Prometheus, such as "pgcache_hits_total".
    def name
      Raw.snapshot_name(@snapshot, @index)
    end

    # What the name means, in one line.
    def help
      Raw.snapshot_help(@snapshot, @index)
    end

    # "seconds", "bytes" or "".
    def unit
      Raw.snapshot_unit(@snapshot, @index)
    end

    # +:counter+, +:gauge+ or +:histogram+.
    def kind
      KINDS[Raw.snapshot_kind(@snapshot, @index)]
    end

    # The labels, a Hash of Symbols and Strings.
    def labels
      Array.new(Raw.snapshot_labels(@snapshot, @index)) do |label|
        [Raw.snapshot_label_name(@snapshot, @index, label).to_sym, Raw.snapshot_label_value(@snapshot, @index, label).scrub]
      end.to_h
    end

    # The value of a counter or gauge; the sum of a histogram's values.
    def value
      Raw.snapshot_value(@snapshot, @index)
    end

    # How many values a histogram has.
    def count
      Raw.snapshot_count(@snapshot, @index)
    end

    # How many of a histogram's values are at most +bound+.
    def count_to(bound)
      Raw.snapshot_count_to(@snapshot, @index, bound)
    end

    # The value that so many percent of a histogram's values do not exceed; NaN if it has none.
    def percentile(percent)
      Raw.snapshot_percentile(@snapshot, @index, percent)
    end

    def inspect # :nodoc:
      "#<#{self.class} #{name} #{labels} #{value}>"
    end
  end

  # All that is measured of a cache, at one moment: an Enumerable of Sample. Those of one name stand together.
  class Snapshot
    include Enumerable

    def initialize(snapshot) # :nodoc:
      @snapshot = snapshot
    end

    # Each Sample, or an Enumerator of them.
    def each
      return to_enum { size } unless block_given?

      size.times { |index| yield Sample.new(@snapshot, index) }
      self
    end

    # How many samples there are.
    def size
      Raw.snapshot_size(@snapshot)
    end

    # When it was taken.
    def taken_at
      Time.at(0, Raw.snapshot_taken_at(@snapshot), :millisecond)
    end

    # Whose it is: "host/process/handle".
    def origin
      Raw.snapshot_origin(@snapshot)
    end

    # Adds another one, for several caches or processes: counters, histograms and gauges add up, of times the latest stays.
    def add(other)
      Raw.snapshot_add(@snapshot, other.raw)
      self
    end

    def inspect # :nodoc:
      "#<#{self.class} #{origin} #{size} samples>"
    end

    protected

    def raw # :nodoc:
      @snapshot
    end
  end

  class Cache
    # What is measured of this cache, now, as a Snapshot. Asks no server.
    def snapshot
      Snapshot.new(Raw.stats_snapshot(@handle).last)
    end

    # What all processes of this schema have published last, see the setting +publish_ms+: an Enumerator of Snapshot.
    def published(deadline: nil)
      Enumerator.new do |snapshots|
        after = nil
        loop do
          options = Arguments.options(deadline: deadline)
          _, page = Requests.aside { Raw.read_published(@handle, PAGE, after, options) }
          page.each { |found| snapshots << Snapshot.new(found) }
          break if page.size < PAGE

          after = Raw.snapshot_origin(page.last)
        end
      end
    end

    # What this cache has counted, a Hash: +:near_hits+, +:loads+ and so on. Asks no server.
    def counters
      Fields.to_h(Raw.read_counters(@handle).last)
    end
  end
end
