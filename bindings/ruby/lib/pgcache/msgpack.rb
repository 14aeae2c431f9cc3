# Format 2: MessagePack, where the gem msgpack is. SPDX-License-Identifier: MIT
#
#   require "pgcache/msgpack"
#   cache = PGCache::Cache.new(url, serializer: PGCache::Formats::MessagePack)
#
# frozen_string_literal: true

require "msgpack"
require "pgcache"

module PGCache
  module Formats
    # Smaller and quicker than JSON, and Strings stay apart from bytes. Read by all caches of the process once it is required.
    module MessagePack
      class << self
        # The number of the format.
        def number
          2
        end

        # The value as MessagePack.
        def dump(value)
          ::MessagePack.pack(value)
        end

        # The value of the bytes.
        def load(bytes)
          ::MessagePack.unpack(bytes)
        rescue ::MessagePack::UnpackError => error
          raise ArgumentError, error.class.name
        end
      end
    end
    register(MessagePack)
  end
end
