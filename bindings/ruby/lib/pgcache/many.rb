# Calls on many keys: a round trip for a thousand of them. SPDX-License-Identifier: MIT
# frozen_string_literal: true

module PGCache
  class Cache
    # The values of those keys that have one, a Hash. What is missing in it is a miss; a cached nil is nil.
    def get_many(keys, **options)
      many(:submit_get_many, keys.map { |key| [key] }, Arguments.reading(**options)).each_with_object({}) do |(key, _, _, found), values|
        values[key] = @codec.value(found) if found
      end
    end

    # Stores a Hash, or pairs, of keys and values, all with the same time to live and dependencies. Gives a Hash of keys and versions.
    def put_many(values, ttl: nil, **options)
      span = Arguments.ttl(ttl)
      items = values.map { |key, value| [key, *@codec.encode(value), span] }
      many(:submit_put_many, items, Arguments.writing(**options)).to_h { |key, _, version| [key, version] }
    end

    # Removes many entries. Gives the keys of those that were there.
    def remove_many(keys, **options)
      many(:submit_remove_many, keys.map { |key| [key] }, Arguments.options(**options)).filter_map { |key, status| key if status == Raw::OK }
    end

    private

    # What became of each item, with the keys as they were given. An error tells it, too.
    def many(submit, items, options)
      answers = nil
      @requests.complete(submit, @handle, items, options) do |done|
        answers = items.each_index.map { |index| [items[index].first, *Raw.completion_item(done, index)&.drop(1)] }
        @requests.finish(done)
      end
      answers
    rescue Error => error
      error.statuses ||= answers ? answers.to_h { |key, status| [key, PGCache.status(status)] } : items.to_h { |key,| [key, error.status] }
      raise
    end
  end
end
