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

    # Runs the block later. Nil where there is no thread left now.
    def refresh(&block)
      Fiber.current_scheduler ? Fiber.schedule(&block) : start(report: true, &block)
    end

    # A thread, or nil if there are as many as there may be, or as the system allows.
    def start(report: false)
      @lock.synchronize do
        @running.select!(&:alive?)
        next if @running.size >= MOST

        thread = Thread.new do
          Thread.current.report_on_exception &&= report
          yield
        end
        @running << thread
        thread
      rescue ThreadError
        nil
      end
    end
  end
  private_constant :Refreshes
end
