# A load: the lease to compute a value, and how it ends. SPDX-License-Identifier: MIT
# frozen_string_literal: true

module PGCache
  # What Cache#load gives to its block: the value of a key, or the lease to load it, or neither. One thread at a time may use it.
  class Load
    # The key.
    attr_reader :key
    # +:ok+ (a fresh value), +:stale+ (one that is not fresh any more), +:lease+ (none, and this caller is to load it), +:miss+ (it is
    # known that there is none), +:busy+ (none, and somebody else was loading it when the time to wait was over).
    attr_reader :status
    # The Entry that was read, or nil where there is none.
    attr_reader :entry

    # How long giving back a lease may take when a block has ended, in seconds.
    AT_ONCE = 1
    private_constant :AT_ONCE

    def initialize(requests, refreshes, codec, key) # :nodoc:
      @requests = requests
      @refreshes = refreshes
      @codec = codec
      @key = key
      @dependencies = { tags: [], keys: [] }
    end

    # It has begun: what the completion brought. :nodoc:
    def begun(done)
      @lease = Raw.completion_load(done) # first: #close gives it back, whatever comes
      @status = PGCache.status(Raw.completion_status(done))
      @entry = @codec.entry(Raw.completion_value(done, 0))
    end

    # What was read, or nil.
    def value
      @entry&.value
    end

    # Whether this caller is to load the value: with +:lease+ always, with +:stale+ and +:ok+ if it is to be refreshed; until the load
    # has ended.
    def lease?
      !@lease.nil?
    end

    # What the value depends on, beside its own key, where that is known only while it is loaded.
    def depend(tags: [], keys: [])
      @dependencies[:tags].concat(Array(tags))
      @dependencies[:keys].concat(Array(keys))
      self
    end

    # Stores what was loaded, and ends the load. Gives the entry's version, or nil if it was refused: the lease was over, or the entry was
    # written or invalidated meanwhile. The caller may use such a value once.
    def fill(value, tags: [], keys: [], deadline: nil)
      fill_bytes(*@codec.encode(value), tags: tags, keys: keys, deadline: deadline)
    end

    # The same with what the serializer has written.
    def fill_bytes(bytes, format, tags: [], keys: [], deadline: nil) # :nodoc:
      depend(tags: tags, keys: keys)
      finish(:submit_load_fill, bytes, format, Arguments.writing(deadline: deadline, **@dependencies)) do |done|
        Raw.completion_version(done) if Raw.completion_status(done) == Raw::OK
      end
    end

    # Ends the load when there is no value, which is remembered for +absent_ttl+. False if that was refused.
    def fill_absent(deadline: nil)
      finish(:submit_load_fill_absent, Arguments.options(deadline: deadline)) { |done| Raw.completion_status(done) } == Raw::OK
    end

    # Ends the load when it failed. Gives the stale Entry that may stand in, or nil where there is none.
    def fail(deadline: nil)
      @codec.entry(finish(:submit_load_fail, Arguments.options(deadline: deadline)) { |done| Raw.completion_value(done, 0) })
    end

    # Gives the lease back, and ends the load: the next who asks gets it.
    def abandon(deadline: nil)
      finish(:submit_load_abandon, Arguments.options(deadline: deadline)) { nil }
    end

    # Makes the lease last for so many seconds from now. False if it is over.
    def extend_lease(seconds, deadline: nil)
      span = Arguments.milliseconds(seconds)
      options = Arguments.options(deadline: deadline)
      @requests.call(:submit_load_extend, lease, span, options) { |done| Raw.completion_status(done) } == Raw::OK
    end

    # Has the lease, which there must be, used later: the block gets this Load, and ends it, on a thread, or in a fiber under a scheduler,
    # while the caller goes on with what is stale. False where as many loads as may be are under way so; then the lease stays the caller's.
    #
    #   cache.load("report", ttl: 60, stale: 600) do |load|
    #     load.in_background { |later| later.fill(slow_report) } if load.status == :stale && load.lease?
    #     ...
    def in_background(&block)
      lease
      !hand_over { @refreshes.refresh { to_the_end(block) } }.nil?
    end

    def inspect # :nodoc:
      "#<#{self.class} #{@status}#{" with the lease" if lease?}>"
    end

    # Ends a load that was not ended, whatever the server says. :nodoc:
    def close
      abandon(deadline: AT_ONCE) if @lease
    rescue Error
      nil # the lease ends with its time
    ensure
      Raw.load_free(@lease) # gives back, without waiting, what was not
      @lease = nil
    end

    # Somebody else is to end it, whom the block starts; it gives nil if it could not. :nodoc:
    def hand_over
      @requests.uninterrupted(:on_blocking) do
        @handed = true
        @handed = false unless (started = yield)
        started
      end
    end

    # Ends it on the way out, unless somebody else does. :nodoc:
    def leave
      close unless @handed
    end

    private

    def to_the_end(block)
      block.call(self)
    ensure
      close
    end

    def lease
      @lease or raise InvalidError, "there is no lease, or the load has ended"
    end

    def finish(submit, *arguments, &read)
      result = @requests.call(submit, lease, *arguments, &read)
      Raw.load_free(@lease)
      @lease = nil
      result
    end
  end
end
