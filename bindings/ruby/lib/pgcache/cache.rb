# A cache: how it is made, and how it ends. SPDX-License-Identifier: MIT
# frozen_string_literal: true

module PGCache
  # A cache as this process sees it. One serves all threads and fibers, also of a forked child, and lives as long as the process or
  # until #close.
  #
  # == Options of every call
  #
  # deadline:: how many seconds the whole call may take; without it the setting +timeout_ms+, for calls on the cache as a whole
  #            +maintenance_timeout_ms+. 0: do not wait at all.
  # namespace:: the part of the cache that the key lives in; without it the setting +namespace+
  # span:: what the application is doing, in its own words, for metrics and traces
  # read:: of reads: +:near+, from the memory of this process where that can be (usual), or +:store+, always from PostgreSQL
  # tags, keys:: of writes: what the entry depends on, beside its own key; invalidating one of them ends it
  #
  # == Values
  #
  # A binary String (String#b) is stored as it is. Everything else goes through the serializer, which is JSON: what is written here
  # Python, Go, C and SQL read. Symbols come back as Strings, as with JSON everywhere.
  #
  # == Errors
  #
  # A miss is no error. Whatever else prevents an answer is one of the classes under Error; with the setting +on_error+ at "miss", which
  # this gem has unless it is told otherwise, reads give a miss when the server fails.
  class Cache
    # How often the janitor of a cache walks, unless it is told otherwise, in seconds.
    JANITOR_INTERVAL = 60

    # A cache for as long as the block runs, whose value is given; without a block the same as ::new.
    def self.open(...)
      cache = new(...)
      return cache unless block_given?

      begin
        yield cache
      ensure
        cache.close
      end
    end

    # Makes a cache. Asks no server: the first call that needs a connection opens it.
    #
    # url:: any connection string or URI of PostgreSQL, or <tt>null:</tt> for a cache that is switched off; without it PGCACHE_URL or
    #       DATABASE_URL of the environment
    # janitor:: how often expired entries are deleted, by a thread of the library, in seconds; nil: not by this process
    # serializer:: what writes values that are no bytes, see Formats
    # providers:: the application's own instrumentation, see Provider
    # settings:: any of PGCache.settings, with +true+ and +false+ for on and off. The environment (PGCACHE_POOL_MAX and so on) gives
    #            what is not said here; nil puts the library's default back.
    def initialize(url = nil, janitor: JANITOR_INTERVAL, serializer: Formats::JSON, providers: [], **settings)
      @config = Settings.config(url, settings)
      @schema, @namespace = %w[schema namespace].map { |name| setting(name) }
      @timeout = Integer(setting("timeout_ms")) / 1000.0
      @codec = Codec.new(serializer)
      _, @handle = Raw.new(@config)
      @near = Raw # who is asked for hits in this process's memory
      @requests = Requests.new(@handle) { begin_in_child }
      @refreshes = Refreshes.new
      @interval = janitor
      start_janitor
      extend(Instrumented).instrument(providers) unless providers.empty?
    end

    # Ends all calls that are under way with ClosedError, and closes the connections. May be called again. A cache that is not closed
    # ends with the process, or when it is garbage.
    def close
      return if closed?

      @janitor&.stop(timeout: 0)
      Raw.shutdown(@handle)
      @janitor&.free
      @requests.close
      Raw.free(@handle)
      @closed = true
    rescue ClosedError # by another thread meanwhile
      nil
    end

    # Whether it was closed.
    def closed?
      @closed == true
    end

    # Makes the cache's schema in the database, or brings an older one up to date. True if there was something to do.
    def init(deadline: nil)
      status(:submit_init, Arguments.options(deadline: deadline)) == Raw::OK
    end

    # Brings an existing schema up to date, and never makes one. True if there was something to do.
    def upgrade(deadline: nil)
      status(:submit_upgrade, Arguments.options(deadline: deadline)) == Raw::OK
    end

    # What a setting is, as text, such as "default" of +namespace+; nil where there is no such setting. An address may hold a password.
    def setting(name)
      Raw.config_get(@config, name.to_s)
    end

    # Without the address, which may hold a password.
    def inspect
      "#<#{self.class} schema=#{@schema} namespace=#{@namespace}#{" closed" if closed?}>"
    end

    private

    # A request, and what its completion holds: what the block reads of it, its status, number, or first value.
    def request(submit, *arguments, &read)
      @requests.call(submit, @handle, *arguments, &read)
    end

    def status(submit, *arguments)
      request(submit, *arguments) { |done| Raw.completion_status(done) }
    end

    def number(submit, *arguments)
      request(submit, *arguments) { |done| Raw.completion_number(done) }
    end

    def found(submit, *arguments)
      request(submit, *arguments) { |done| Raw.completion_value(done, 0) }
    end

    # A forked child has no janitor.
    def begin_in_child
      start_janitor
    end

    def start_janitor
      @janitor = Janitor.new(@handle, @interval) if @interval
    end
  end
end

require "pgcache/entries"
require "pgcache/many"
require "pgcache/loads"
require "pgcache/invalidation"
require "pgcache/statements"
require "pgcache/whole"
require "pgcache/janitor"
require "pgcache/measurements"
require "pgcache/observer"
require "pgcache/provider"
