# Loads in the background. SPDX-License-Identifier: MIT
# frozen_string_literal: true

module PGCache
  # Refreshes values behind the back of callers who were given older ones: on threads, at most so many at once, or in fibers under a
  # scheduler. One that fails is reported as Ruby reports threads that fail (Thread.report_on_exception).
  class Refreshes # :nodoc:
    # As many as the library's own setting load_threads has.
    MOST = 4

    def initialize
      @lock = Mutex.new
      @running = []
    end

    # Runs the block with the load later, if there is a lease; nil. Where there is no thread left now the lease is given back.
    def refresh(load)
      return unless load.lease?

      if Fiber.current_scheduler
        Fiber.schedule { yield load }
      else
        start(report: true) { yield load } || load.close
      end
      nil
    end

    # A thread, or nil if there are as many as there may be.
    def start(report: false, &block)
      @lock.synchronize do
        @running.select!(&:alive?)
        next if @running.size >= MOST

        thread = Thread.new(&block)
        thread.report_on_exception &&= report
        @running << thread
        thread
      end
    end
  end
  private_constant :Refreshes
end
