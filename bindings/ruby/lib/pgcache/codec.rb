# Between the library's values and Ruby's. SPDX-License-Identifier: MIT
# frozen_string_literal: true

module PGCache
  # What no value can be.
  MISSING = Object.new.freeze
  private_constant :MISSING

  # What a cache reads and writes comes by here.
  class Codec # :nodoc:
    def initialize(serializer)
      @serializer = serializer
    end

    # The bytes, and the number of their format.
    def encode(value)
      Formats.dump(value, @serializer)
    end

    def decode(bytes, format)
      Formats.load(bytes, format)
    end

    # The value of what was read; nothing of the library's is kept.
    def value(found)
      decode(Raw.value_data(found), Raw.value_format(found))
    ensure
      Raw.value_free(found)
    end

    # The same with all that is known of it; nil of nil.
    def entry(found)
      return unless found

      format = Raw.value_format(found)
      Entry.new(value: decode(Raw.value_data(found), format), version: Raw.value_version(found), format: format,
                ttl: Arguments.seconds(Raw.value_ttl_ms(found)), stale: Raw.value_is_stale(found) == 1).freeze
    ensure
      Raw.value_free(found)
    end
  end
  private_constant :Codec
end
