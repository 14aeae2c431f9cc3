# How calls wait: every call is a request of the library. SPDX-License-Identifier: MIT
# frozen_string_literal: true

require "io/wait"

module PGCache
  # Submits requests and waits for their completions: a thread in the library, without the interpreter's lock; a fiber under a
  # scheduler without its thread. Both may be interrupted at any time, by Thread#kill, Timeout, signals or the scheduler: then the
  # request is cancelled.
  #
  # A fiber cannot know who takes its completion: one fiber of each scheduler takes whatever is there and hands it out, also to
  # fibers of other threads, and to threads that were about to wait.
  #
  # A request waits for a server that is not there until its deadline. So a thread that has waited for PATIENCE looks whether there is
  # one, by a call that is told at once, and gives up if not.
  #
  # Must never lose a completion, nor keep one that nobody wants.
  class Requests # :nodoc:
    # How often a fiber that hands out completions looks whether others have taken all that it waits for, in seconds.
    LOOK = 0.05
    # The token of what nobody waits for: leases that the garbage collector gives back.
    UNWANTED = 2**64 - 1
    # How long the completion of what was cancelled may take, in milliseconds: it comes at once.
    AT_ONCE = 1000

    # How long a thread waits before it looks whether there is a server, and how long that may take, in milliseconds.
    PATIENCE = 100
    PROBE = { deadline_ms: 250 }.freeze
    # However long it takes: the request's own deadline bounds it.
    UNTIL_DONE = -1

    # The block is called in a forked child, before its first request.
    def initialize(handle, &forked)
      @handle = handle
      @forked = forked
      @birth = Mutex.new
      begin_anew
    end

    # Submits and waits, and raises what it failed with; the block reads the completion, which may be large and is not kept.
    def call(submit, *arguments)
      done = complete(submit, *arguments)
      finish(done)
      yield done
    ensure
      Raw.completion_free(done)
    end

    # Submits and waits. Gives the completion, also one that failed, to be freed.
    def complete(submit, *arguments)
      forked if @process != Process.pid
      _, id = Raw.public_send(submit, *arguments)
      done = Fiber.current_scheduler ? await_in_fiber(id) : await(id, submit, arguments)
    ensure
      give_up(id) if id && !done
    end

    # What has no request: on a thread, so that it holds up neither a scheduler nor an interrupt.
    def self.aside(&block)
      thread = Thread.new(&block)
      thread.report_on_exception = false
      thread.value
    end

    # Raises what a completion failed with.
    def finish(done)
      status = Raw.completion_status(done)
      return done unless status.negative?

      raise Error.of(status, Raw.completion_sqlstate(done), Raw.completion_message(done))
    end

    # Nobody waits any more: the handle is shut down and about to go.
    def close
      @lock.synchronize { @slots.each_value { |slot| slot.close if slot } }
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
      @lock = Mutex.new
      @slots = {}  # where the completion of a request goes, by its id; nil: nobody wants it
      @handed = {} # those that came before their slot
      @waiting = Hash.new(0).compare_by_identity # how many fibers of each scheduler wait
      @io = nil # readable while there are completions
      @process = Process.pid
    end

    def await(id, submit, arguments)
      done = Raw.await(@handle, id, PATIENCE)
      if done == false
        problem = unreachable
        done = problem ? cut_short(id, problem, submit, arguments) : Raw.await(@handle, id, UNTIL_DONE)
      end
      done || await_handed(id)
    end

    # The error of a server that cannot be reached, told at once, or nil.
    def unreachable
      Raw.read_published(@handle, 1, nil, PROBE)
      nil
    rescue Error => problem
      problem if problem.status == :unavailable
    end

    # What became of the request, if it was sent; or what it gives without waiting; or the problem.
    def cut_short(id, problem, submit, arguments)
      Raw.cancel(@handle, id)
      done = Raw.await(@handle, id, UNTIL_DONE)
      return done if done.nil? || Raw.completion_status(done) != Raw::CANCELLED

      Raw.completion_free(done)
      at_once(submit, arguments) or raise problem
    end

    # Reads may be misses, as the setting on_error says. A load ended when its end was submitted.
    def at_once(submit, arguments)
      return if arguments.first.is_a?(Raw::Load)

      *others, options = arguments
      _, id = Raw.public_send(submit, *others, { **options.to_h, deadline_ms: 0 })
      done = Raw.await(@handle, id, UNTIL_DONE)
      return done unless Raw.completion_status(done).negative?

      Raw.completion_free(done)
    end

    def await_in_fiber(id)
      scheduler = Fiber.current_scheduler
      slot, first = expect(id, scheduler)
      Fiber.schedule { hand_out(scheduler) } if first
      pop(slot)
    ensure
      @lock.synchronize do
        @slots.delete(id)
        @waiting[scheduler] -= 1
      end
    end

    # Of a thread that came too late to wait in the library: a fiber has its completion.
    def await_handed(id)
      pop(expect(id, nil).first)
    ensure
      @lock.synchronize { @slots.delete(id) }
    end

    def pop(slot)
      slot.pop || raise(ClosedError.new("the cache was closed", status: :closed))
    end

    # Where the completion will come, and whether nobody hands out for this scheduler yet.
    def expect(id, scheduler)
      slot = Thread::Queue.new
      @lock.synchronize do
        done = @handed.delete(id)
        done ? slot << done : @slots[id] = slot
        first = scheduler && !@waiting.key?(scheduler)
        @waiting[scheduler] += 1 if scheduler
        [slot, first]
      end
    end

    def hand_out(scheduler)
      io = @io ||= IO.for_fd(Raw.event_fd(@handle).last, autoclose: false).dup # which outlives the handle
      until idle?(scheduler)
        take_all
        io.wait_readable(LOOK) unless idle?(scheduler)
      end
    rescue ClosedError, IOError
      close
    end

    # Then whoever comes next begins to hand out again.
    def idle?(scheduler)
      @lock.synchronize { !@waiting.key?(scheduler) || @waiting[scheduler].zero? && @waiting.delete(scheduler) }
    end

    def take_all
      loop do
        status, done = Raw.take(@handle)
        break if status == Raw::MISS

        hand(Raw.completion_id(done), done) unless Raw.completion_token(done) == UNWANTED
      end
    end

    def hand(id, done)
      @lock.synchronize do
        next @handed[id] = done unless @slots.key?(id)

        slot = @slots.delete(id)
        slot ? slot << done : Raw.load_free(Raw.completion_load(done))
      end
    end

    # Nobody wants it any more: its completion comes at once, and a lease that it may bring is given back.
    def give_up(id)
      @lock.synchronize { @slots[id] = nil unless @handed.delete(id) }
      Raw.cancel(@handle, id)
      status, done = Raw.wait(@handle, id, AT_ONCE)
      Raw.load_free(Raw.completion_load(done)) if done
      @lock.synchronize { @slots.delete(id) if status == Raw::OK || @waiting.empty? }
    rescue ClosedError, TimeoutError
      nil # all are complete, and go with the handle
    end
  end
  private_constant :Requests
end
