# How calls wait: every call is a request of the library. SPDX-License-Identifier: MIT
# frozen_string_literal: true

require "io/wait"

module PGCache
  # Submits requests and waits for their completions: a thread in the library, without the interpreter's lock; a fiber under a
  # scheduler without its thread. Both may be interrupted at any time, by Thread#kill, Timeout, signals or the scheduler: then the
  # request is cancelled.
  #
  # A fiber cannot know who takes its completion: of the fibers of each scheduler that wait the first one leads. It takes whatever is
  # there and hands it out, also to fibers of other threads, and to threads that were about to wait; and when it goes, for whatever
  # reason, the next one leads.
  #
  # A request waits for a server that is not there until its deadline. So a thread that has waited for PATIENCE looks whether there is
  # one, by a call that is told at once, and gives up if not.
  #
  # Must never lose a completion, nor keep one that nobody wants.
  class Requests # :nodoc:
    # How often a fiber that leads looks whether another scheduler's has taken its completion, in seconds.
    LOOK = 0.02
    # What a fiber gets that is to lead.
    LEAD = Object.new
    # The token of what nobody waits for: leases that the garbage collector gives back.
    UNWANTED = 2**64 - 1
    # How long the completion of what was cancelled may take, in milliseconds: it comes at once.
    AT_ONCE = 1000
    # How long a thread waits before it looks whether there is a server, and how long that may take, in milliseconds.
    PATIENCE = 100
    PROBE = { deadline_ms: 250 }.freeze
    # However long it takes: the request's own deadline bounds it.
    UNTIL_DONE = -1
    private_constant :LOOK, :LEAD, :UNWANTED, :AT_ONCE, :PATIENCE, :PROBE, :UNTIL_DONE

    # The block is called in a forked child, before its first request.
    def initialize(handle, &forked)
      @handle = handle
      @forked = forked
      @birth = Mutex.new
      begin_anew
    end

    # Submits and waits, and raises what it failed with; the block reads the completion, which may be large and is not kept.
    def call(submit, *arguments)
      complete(submit, *arguments) do |done|
        finish(done)
        yield done
      end
    end

    # Submits and waits. The block gets the completion, also one that failed.
    def complete(submit, *arguments, &block)
      forked if @process != Process.pid
      done = problem = nil
      uninterrupted(:on_blocking) do
        _, id = Raw.public_send(submit, *arguments)
        done = Fiber.current_scheduler ? await_in_fiber(id) : await(id) { |found| problem = found }
      ensure
        give_up(id) if id && !done
      end
      return at_once(problem, submit, *arguments, &block) if problem && Raw.completion_status(done) == Raw::CANCELLED

      yield done
    ensure
      Raw.completion_free(done) # and gives back the lease that it brought, if the block took none
    end

    # What has no request: on a thread, so that it holds up neither a scheduler nor an interrupt. After an interrupt it goes on there, until
    # its deadline at the latest; nothing waits for it.
    def self.aside
      Thread.new do
        Thread.current.report_on_exception = false
        yield
      end.value
    end

    # Raises what a completion failed with.
    def finish(done)
      status = Raw.completion_status(done)
      return done unless status.negative?

      raise Error.of(status, Raw.completion_sqlstate(done), Raw.completion_message(done))
    end

    # Interrupts of a thread wait meanwhile: all of them (:never), or until it blocks. Those of fibers come only where they wait, and their
    # thread is not theirs.
    def uninterrupted(timing, &block)
      Fiber.current_scheduler ? yield : Thread.handle_interrupt(Object => timing, &block)
    end

    # The handle is shut down and about to go: whatever was under way is complete.
    def close
      take_all
      @lock.synchronize do
        @closed = true
        close_slots
        @io&.close if @crews.empty?
      end
    end

    private

    # The parent's requests, and the fibers of its other threads, are not ours.
    def forked
      @birth.synchronize do
        next if @process == Process.pid

        begin_anew
        @forked&.call
      end
    end

    def begin_anew
      close_slots if @slots # of fibers that came along
      @lock = Mutex.new
      @slots = {}  # where the completion of a request goes, by its id; nil: nobody wants it
      @handed = {} # those that came before their slot
      @crews = {}.compare_by_identity # the slots of the fibers of each scheduler that wait, by their ids: the first one leads
      @io = nil # readable while there are completions
      @closed = false
      @process = Process.pid
    end

    def close_slots
      @slots.each_value { |slot| slot&.close }
    end

    # What became of a request; one that waits for a server that cannot be reached is cancelled, and the block told.
    def await(id)
      done = Raw.await(@handle, id, PATIENCE)
      if done == false
        problem = unreachable
        yield problem if problem
        Raw.cancel(@handle, id) if problem
        done = Raw.await(@handle, id, UNTIL_DONE)
      end
      done || await_handed(id)
    rescue ClosedError # meanwhile: then all that was under way has been taken
      @lock.synchronize { @handed.delete(id) } or raise
    end

    # The error of a server that cannot be reached, told at once, or nil.
    def unreachable
      Raw.read_published(@handle, 1, nil, PROBE)
      nil
    rescue Error => problem
      problem if problem.status == :unavailable
    end

    # What a request gives without waiting, or the problem. Reads may be misses, as the setting on_error says. A load ended when its end
    # was submitted.
    def at_once(problem, submit, *others, options)
      raise problem if others.first.is_a?(Raw::Load)

      complete(submit, *others, { **options.to_h, deadline_ms: 0 }) do |done|
        raise problem if Raw.completion_status(done).negative?

        yield done
      end
    end

    def await_in_fiber(id)
      scheduler = Fiber.current_scheduler
      slot = Thread::Queue.new
      expect(id, slot, scheduler)
      lead(slot) while LEAD.equal?(done = pop(slot))
      done
    ensure
      leave(id, slot, scheduler)
      keep(id, slot) unless done
    end

    # Of a thread that came too late to wait in the library: a fiber has its completion.
    def await_handed(id)
      slot = Thread::Queue.new
      expect(id, slot)
      done = pop(slot)
    ensure
      keep(id, slot) unless done
    end

    def pop(slot)
      slot.pop || raise(ClosedError.new("the cache was closed", status: :closed))
    end

    # From now on the completion comes there.
    def expect(id, slot, scheduler = nil)
      @lock.synchronize do
        done = @handed.delete(id)
        done ? slot << done : @slots[id] = slot
        slot.close if @closed
        next unless scheduler

        crew = @crews[scheduler] ||= {}
        crew[id] = slot
        slot << LEAD if crew.size == 1 && !slot.closed?
      end
    end

    # Takes what comes until it is for this slot.
    def lead(slot)
      loop do
        take_all
        break unless slot.empty? && !slot.closed?

        readable.wait_readable(LOOK)
      end
    end

    # The next one leads.
    def leave(id, slot, scheduler)
      @lock.synchronize do
        crew = @crews[scheduler] or next
        led = slot.equal?(crew.first.last)
        crew.delete(id)
        @crews.delete(scheduler) if crew.empty?
        @io&.close if @closed && @crews.empty?
        _, following = crew.first
        following << LEAD if led && following && !following.closed?
      end
    end

    # What came for somebody who was interrupted is there for #give_up.
    def keep(id, slot)
      @lock.synchronize do
        @slots.delete(id)
        until slot.empty?
          done = slot.pop
          @handed[id] = done unless LEAD.equal?(done)
        end
      end
    end

    # It outlives the handle.
    def readable
      @lock.synchronize { @io ||= IO.for_fd(Raw.event_fd(@handle).last, autoclose: false).dup }
    end

    def take_all
      loop do
        status, done = Raw.take(@handle)
        break if status == Raw::MISS

        Raw.completion_token(done) == UNWANTED ? Raw.completion_free(done) : hand(Raw.completion_id(done), done)
      end
    end

    def hand(id, done)
      @lock.synchronize do
        next @handed[id] = done unless @slots.key?(id)

        slot = @slots.delete(id)
        slot && !slot.closed? ? slot << done : Raw.completion_free(done)
      end
    end

    # Nobody wants it any more: its completion comes at once, and a lease that it may bring is given back.
    def give_up(id)
      uninterrupted(:never) do
        done = @lock.synchronize { @handed.delete(id) || (@slots[id] = nil) }
        unless done
          Raw.cancel(@handle, id)
          status, done = Raw.wait(@handle, id, AT_ONCE)
          @lock.synchronize { @slots.delete(id) if status == Raw::OK || @crews.empty? }
        end
        Raw.completion_free(done)
      end
    rescue ClosedError, TimeoutError
      nil # all are complete, and go with the handle
    end
  end
  private_constant :Requests
end
