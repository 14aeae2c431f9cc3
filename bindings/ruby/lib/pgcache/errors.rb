# What can go wrong: one class for each status of the library that users handle apart. SPDX-License-Identifier: MIT
# frozen_string_literal: true

module PGCache
  # Why a call failed. The message is the library's, and never contains a key, a value or a password.
  class Error < StandardError
    # The status as a Symbol, such as +:timeout+.
    attr_reader :status
    # The server's five-character code, or "" where it gave none.
    attr_reader :sqlstate
    # Of a call on many keys: what became of each, a Hash of keys and statuses (Symbols); otherwise nil.
    attr_accessor :statuses

    def initialize(message = nil, status: :invalid, sqlstate: "") # :nodoc:
      super(message)
      @status = status
      @sqlstate = sqlstate
    end

    # The error of a negative status; the raw layer calls it.
    def self.of(number, sqlstate, message) # :nodoc:
      status = PGCache.status(number)
      CLASSES.fetch(status, ServerError).new(message, status: status, sqlstate: sqlstate)
    end
  end

  # An argument is wrong.
  class InvalidError < Error; end
  # A key or value is longer than allowed.
  class TooLargeError < Error; end
  # A setting's name or value is wrong.
  class SettingError < Error; end
  # This process is out of memory.
  class MemoryError < Error; end
  # The cache was closed.
  class ClosedError < Error; end
  # The deadline passed; nothing was changed.
  class TimeoutError < Error; end
  # A write was sent and its answer never came: it may or may not have happened.
  class UnknownError < Error; end
  # The server cannot be reached.
  class UnavailableError < Error; end
  # The server has no connection left for us.
  class TooManyConnectionsError < UnavailableError; end
  # Log-in refused, or a missing privilege.
  class DeniedError < Error; end
  # The server is a standby or read-only.
  class ReadOnlyError < Error; end
  # The server's disk or memory is full.
  class FullError < Error; end
  # The server is older than PostgreSQL 15.
  class ServerTooOldError < Error; end
  # The cache's schema is missing, older, newer, changed or another one; the status tells.
  class SchemaError < Error; end
  # The cache's schema is not there: call Cache#init.
  class SchemaMissingError < SchemaError; end
  # Cache#increment: the entry does not hold a decimal 64-bit integer.
  class NotACounterError < Error; end
  # Cache#increment: the result does not fit 64 bits.
  class OverflowError < Error; end
  # The server gave up a conflict repeatedly; nothing was changed.
  class ConflictError < Error; end
  # Any other error of the server; see Error#sqlstate.
  class ServerError < Error; end
  # Not possible with the settings of the cache.
  class UnsupportedError < Error; end
  # Too many requests are under way.
  class QueueFullError < Error; end
  # The call was given up; nothing was changed.
  class CancelledError < Error; end
  # Cache#get_or_load: there is no value, and somebody else was still loading it when the time to wait was over.
  class BusyError < Error; end
  # A value cannot be written, or not be read: its format is not known here, or its bytes are none of that format.
  class FormatError < Error; end

  class Error # :nodoc:
    CLASSES = {
      invalid: InvalidError, too_large: TooLargeError, bad_setting: SettingError, no_memory: MemoryError, closed: ClosedError,
      timeout: TimeoutError, unknown: UnknownError, unavailable: UnavailableError,
      too_many_connections: TooManyConnectionsError, denied: DeniedError, read_only: ReadOnlyError, full: FullError,
      server_too_old: ServerTooOldError, schema_missing: SchemaMissingError, schema_older: SchemaError,
      schema_newer: SchemaError, schema_changed: SchemaError, schema_differs: SchemaError, not_a_counter: NotACounterError,
      overflow: OverflowError, conflict: ConflictError, server_error: ServerError, unsupported: UnsupportedError,
      queue_full: QueueFullError, cancelled: CancelledError, busy: BusyError
    }.freeze
    private_constant :CLASSES
  end
end
