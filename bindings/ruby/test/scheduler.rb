# The smallest Fiber scheduler that a test can do with: one thread, IO.select, timers. SPDX-License-Identifier: MIT
# frozen_string_literal: true

class SmallScheduler
  def self.run
    thread = Thread.new do
      Fiber.set_scheduler(new)
      yield
    end
    thread.report_on_exception = false
    thread.value
  end

  def initialize
    @readable = Hash.new { |hash, io| hash[io] = [] }
    @timers = [] # [time, entry, failure]: resumes the fiber, or raises in it, unless the entry is done
    @ready = []
    @lock = Mutex.new
    @blocked = {}.compare_by_identity # fibers that wait for an unblock: nobody else may know them
    @wake_reader, @wake_writer = IO.pipe
    @failures = []
  end

  def run
    until @readable.empty? && @timers.empty? && @blocked.empty? && @lock.synchronize { @ready.empty? }
      first = @timers.map(&:first).min
      pause = @lock.synchronize { @ready.empty? } ? first && [first - now, 0].max : 0
      readable, = IO.select([@wake_reader, *@readable.keys], nil, nil, pause)
      @wake_reader.read_nonblock(1024, exception: false) if readable&.delete(@wake_reader)
      resume(readable || [])
    end
  end

  def close
    run
    @wake_reader.close
    @wake_writer.close
    raise @failures.first unless @failures.empty?
  end

  def fiber(&block)
    Fiber.new(blocking: false) do
      block.call
    rescue Exception => failure
      @failures << failure
    end.tap(&:resume)
  end

  def io_wait(io, events, timeout)
    entry = Waiting.new(Fiber.current, false)
    @readable[io] << entry
    @timers << [now + timeout, entry, nil] if timeout
    Fiber.yield ? events : false
  ensure
    entry.done = true
    @readable[io].delete(entry)
    @readable.delete(io) if @readable[io].empty?
  end

  def kernel_sleep(duration = nil)
    block(:sleep, duration)
  end

  def block(_blocker, timeout = nil)
    entry = Waiting.new(Fiber.current, false)
    @timers << [now + timeout, entry, nil] if timeout
    @blocked[entry.fiber] = true
    Fiber.yield
  ensure
    @blocked.delete(entry.fiber)
    entry.done = true
  end

  def timeout_after(duration, error, message)
    entry = Waiting.new(Fiber.current, false)
    @timers << [now + duration, entry, [error, message]]
    yield
  ensure
    entry.done = true
  end

  def unblock(_blocker, fiber)
    @lock.synchronize { @ready << fiber }
    @wake_writer.write_nonblock(".", exception: false)
  end

  Waiting = Struct.new(:fiber, :done)

  private

  def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

  def resume(readable)
    ready = @lock.synchronize { @ready.tap { @ready = [] } }
    ready.each { |fiber| fiber.resume(true) if fiber.alive? }
    readable.each { |io| @readable.fetch(io, []).dup.each { |entry| entry.fiber.resume(true) unless entry.done } }
    due, @timers = @timers.partition { |time,| time <= now }
    due.each do |_, entry, failure|
      next if entry.done

      failure ? entry.fiber.raise(*failure) : entry.fiber.resume(false)
    end
    @timers.reject! { |_, entry| entry.done }
  end
end
