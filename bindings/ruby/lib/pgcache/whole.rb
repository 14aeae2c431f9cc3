# Calls on the cache as a whole: for people, monitors and maintenance. SPDX-License-Identifier: MIT
# frozen_string_literal: true

module PGCache
  class Cache
    # How many keys or namespaces are asked for at once.
    PAGE = 1000
    private_constant :PAGE

    # The keys of the namespace in the order of their bytes: an Enumerator, which asks for a page at a time, or each for the block. They are
    # binary Strings. It reads the whole table.
    def keys(prefix: nil, **options, &block)
      pages = Enumerator.new { |keys| each_key(prefix, options) { |found| keys << Raw.value_data(found) } }
      each_of(pages, &block)
    end

    # The entries of the namespace: an Enumerator of pairs of key and Entry, or each for the block. The values are read from the store, a page
    # at a time; what goes away meanwhile is left out.
    def entries(prefix: nil, **options, &block)
      pairs = Enumerator.new do |entries|
        each_page(prefix, options) do |page|
          items = page.map { |found| [Raw.value_data(found)] }
          many(:submit_get_many, items, Arguments.reading(**options, read: :store)).each do |key, _, _, found|
            entries << [key, @codec.entry(found)] if found
          end
        end
      end
      each_of(pairs, &block)
    end

    # Removes all entries of the namespace, or with <tt>all: true</tt> of every namespace. Gives how many, expired ones included.
    def flush(all: false, **options)
      scope = all ? Raw::FLUSH_ALL : Raw::FLUSH_NAMESPACE
      number(:submit_flush, scope, Arguments.options(**options))
    end

    # Deletes what has expired, in all namespaces, and evicts what is above the limits. Gives how many had expired. See #janitor.
    def cleanup(deadline: nil)
      number(:submit_cleanup, Arguments.options(deadline: deadline))
    end

    # Does a part of #cleanup, for so many seconds. Gives the Progress, to be given to the next call, until it is finished or busy.
    #
    #   progress = nil
    #   progress = cache.cleanup_some(progress, budget: 0.05) until progress&.finished || progress&.busy
    def cleanup_some(progress = nil, budget: 0.05, restart: false, deadline: nil)
      state = [restart ? 1 : 0, progress&.removed || 0, progress&.evicted || 0]
      options = Arguments.options(deadline: deadline)
      request(:submit_cleanup_some, state, Arguments.milliseconds(budget), options) { |done| Progress.of(Raw.completion_progress(done)) }
    end

    # Limits how much the namespace, or with <tt>all: true</tt> the whole cache, holds; for all processes. Janitors and #cleanup keep to it:
    # what was not used for the longest time goes first.
    #
    # entries, bytes:: the limit; nil: as it is; 0: none
    def set_limits(entries: nil, bytes: nil, all: false, **options)
      scope = all ? Raw::LIMIT_ALL : Raw::LIMIT_NAMESPACE
      status(:submit_set_limits, scope, entries || Raw::LIMIT_KEEP, bytes || Raw::LIMIT_KEEP, Arguments.options(**options))
      nil
    end

    # What each namespace holds: an Enumerator of Usage, that of all together first. It reads the whole table.
    def usage(deadline: nil)
      Enumerator.new do |usages|
        after = nil
        loop do
          page = page(:submit_read_usage, PAGE, after, Arguments.options(deadline: deadline)) { |done, index| Raw.completion_usage(done, index) }
          page.each { |found| usages << usage_of(found) }
          break if page.size < PAGE

          after = page.last.namespace_name
        end
      end
    end

    # Figures of the store, a Hash: +:entries+, +:expired+, +:value_bytes+ and so on. It reads the whole table.
    def stats(deadline: nil)
      stats = request(:submit_stats, Arguments.options(deadline: deadline)) { |done| Fields.to_h(Raw.completion_stats(done)) }
      { **stats, logged: stats[:logged] == 1 }
    end

    # Examines everything that the cache stands on. Gives a Hash of +findings+, each with +severity+, +check+, +finding+, +evidence+ and
    # +remedy+, and the +worst+ severity. It changes nothing.
    def doctor(deadline: nil)
      report(found(:submit_doctor, Arguments.options(deadline: deadline)))
    end

    private

    # The Enumerator, or this cache after the block had each.
    def each_of(found, &block)
      return found unless block

      found.each(&block)
      self
    end

    def page(submit, *arguments)
      request(submit, *arguments) { |done| Array.new(Raw.completion_count(done)) { |index| yield done, index } }
    end

    def each_page(prefix, options)
      last = nil
      loop do
        page = page(:submit_keys, PAGE, prefix, last, Arguments.options(**options)) { |done, index| Raw.completion_value(done, index) }
        yield page unless page.empty?
        break if page.size < PAGE

        last = Raw.value_data(page.last)
      end
    end

    def each_key(prefix, options, &block)
      each_page(prefix, options) { |page| page.each(&block) }
    end

    def usage_of(found)
      usage = Fields.to_h(found)
      limit = ->(name) { usage[name] unless usage[name] == Raw::LIMIT_NONE }
      Usage.new(namespace: found.namespace_name.empty? ? nil : found.namespace_name, entries: found.entries, bytes: found.bytes,
                expired: found.expired, max_entries: limit[:max_entries], max_bytes: limit[:max_bytes]).freeze
    end
  end
end
