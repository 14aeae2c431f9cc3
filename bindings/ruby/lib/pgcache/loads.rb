# Reads that load what is missing. SPDX-License-Identifier: MIT
# frozen_string_literal: true

require "pgcache/load"
require "pgcache/refreshes"

module PGCache
  # == Loads
  #
  # How an entry is loaded and kept, all in seconds:
  #
  # ttl:: how long it is fresh
  # stale:: for so long after that it is given at once, while one caller refreshes it in the background
  # fail_safe:: for so long after that it stands in when a load fails or is late
  # throttle:: after a load that failed: how long something stale stands in before anybody tries again (1)
  # absent_ttl:: how long "there is no value" is remembered (not at all)
  # lease:: how long a load may take before somebody else may (10)
  # wait:: how long to wait for a load before something stale, or BusyError (until the deadline)
  #
  # and in percent:
  #
  # jitter:: by how much +ttl+ is shortened at random, so that not all expire at once (0 to 50)
  # early:: refresh before the end, the more probably the nearer it is and the longer a load takes; 100 is usual, 0 is off
  class Cache
    LOAD = %i[ttl stale fail_safe throttle absent_ttl lease wait jitter early].freeze
    private_constant :LOAD

    # The value of a key. If there is none, the block computes it: of all who ask for the key, in all processes, one; the others wait for that
    # one. What the block gives is stored and given as it will be read; PGCache::ABSENT says that there is no value, and +default+ is given.
    #
    # An error of the block is raised, and nothing is stored, unless something stale may stand in. If the entry is invalidated while the
    # block runs, what it gives is given once and not stored: so the block has to read with statements, or in a transaction, begun in it.
    #
    # The block gets the Load, for Load#depend and Load#extend_lease. It may also be called on another thread, or later, to refresh.
    #
    #   cache.get_or_load("count:7", ttl: 300, tags: ["customer:7"]) { Order.where(customer: 7).count }
    def get_or_load(key, default = nil, tags: [], keys: [], **options, &block)
      raise ArgumentError, "a block has to load the value" unless block

      how, options = split(options)
      early = how&.key?(:early_percent) || options&.key?(:read_mode)
      found = early ? MISSING : near(key, options)
      return found unless MISSING.equal?(found)

      load = new_load(key, tags, keys)
      begin_load(load, how, options)
      case load.status
      when :lease
        value = load_in_time(load, how, options, block)
        MISSING.equal?(value) ? default : value
      when :miss then default
      when :busy then raise BusyError.new("somebody else was still loading the value when the time to wait was over", status: :busy)
      else
        load.hand_over { @refreshes.refresh { compute(load, block, stand_in: false) } } if load.lease?
        load.value
      end
    ensure
      load&.leave
    end

    # Reads an entry, or gets the lease to load it, or waits for somebody else's load of it. The block gets the Load, and ends it; what it
    # leaves open is given back. Gives what the block gives. The entry depends on +tags+ and +keys+, as Load#depend adds them.
    #
    #   cache.load("report", ttl: 3600, tags: ["orders"]) do |load|
    #     next load.value unless load.lease?
    #     slow_report.tap { |report| load.fill(report) }
    #   end
    def load(key, tags: [], keys: [], **options)
      raise ArgumentError, "a block has to end the load" unless block_given?

      load = new_load(key, tags, keys)
      begin_load(load, *split(options))
      yield load
    ensure
      load&.leave
    end

    private

    def split(options)
      how, others = options.partition { |name, _| LOAD.include?(name) }.map(&:to_h)
      [how.empty? ? nil : Arguments.how(**how), others.empty? ? nil : Arguments.reading(**others)]
    end

    def new_load(key, tags, keys)
      Load.new(@requests, @refreshes, @codec, key).depend(tags: tags, keys: keys)
    end

    # The load is there before, so that its lease never is nobody's.
    def begin_load(load, how, options)
      request(:submit_load_begin, load.key, how, options) { |done| load.begun(done) }
    end

    # The value that the block gives, as it will be read, or MISSING; that it could not be stored, whatever the reason, is no matter here.
    # stand_in:: whether something stale makes good for an error of the block
    def compute(load, block, stand_in: true)
      value = block.call(load)
      if ABSENT.equal?(value)
        storing { load.fill_absent }
        return MISSING
      end
      bytes, format = @codec.encode(value)
      storing { load.fill_bytes(bytes, format) }
      Formats.load(bytes, format)
    rescue StandardError => error
      entry = storing { load.fail if load.lease? }
      raise error unless entry && stand_in

      entry.value
    ensure
      load.close
    end

    def storing
      yield
    rescue Error
      nil
    end

    # While the block runs something may be there that is no more than a stand-in: then nobody waits longer than he said. That is asked
    # before, so that the block runs on the caller's thread where it can.
    def load_in_time(load, how, options, block)
      stand_in = stand_in(load, how, options) if how&.fetch(:fail_safe_ms, 0)&.positive?
      return compute(load, block) unless stand_in

      wait = how.fetch(:wait_ms, nil) || options&.fetch(:deadline_ms, nil)
      worker = load.hand_over { @refreshes.start { compute(load, block) } } or return compute(load, block)
      worker.join(wait ? wait / 1000.0 : @timeout) ? worker.value : stand_in.value
    end

    # Others get what is stale at once while the lease is ours.
    def stand_in(load, how, options)
      other = new_load(load.key, [], [])
      begin_load(other, { **how, wait_ms: 0 }, options)
      other.entry
    rescue Error
      nil
    ensure
      other&.close
    end
  end
end
