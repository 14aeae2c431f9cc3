# The janitor: cleanup again and again. SPDX-License-Identifier: MIT
# frozen_string_literal: true

module PGCache
  # A thread of the library that deletes what has expired, and evicts what is above the limits: at once, and then again and again. It
  # survives failures, and ends with #stop or when the cache is closed.
  class Janitor
    def initialize(handle, interval) # :nodoc:
      _, @janitor = Raw.janitor_start(handle, Arguments.interval(interval))
    end

    # Tells it to stop, and waits for so many seconds until it has. May be called again. Gives whether it has stopped.
    def stop(timeout: 5)
      limit = Process.clock_gettime(Process::CLOCK_MONOTONIC) + timeout
      until stopped?
        left = limit - Process.clock_gettime(Process::CLOCK_MONOTONIC)
        return false if left <= 0

        sleep([0.005, left].min)
      end
      true
    end

    # For when its cache is shut down, and it ends by itself. :nodoc:
    def free
      Raw.janitor_free(@janitor)
    end

    private

    # A short sleep in between is what both a scheduler and an interrupt know.
    def stopped?
      Raw.janitor_stop(@janitor, 0)
      true
    rescue TimeoutError
      false
    end
  end

  class Cache
    # Starts a janitor beside the one that the cache has, see ::new; with a block it runs for as long as the block, whose value is given.
    #
    # interval:: how long after a walk the next one begins, in seconds
    def janitor(interval)
      janitor = Janitor.new(@handle, interval)
      return janitor unless block_given?

      begin
        yield janitor
      ensure
        janitor.stop
      end
    end
  end
end
