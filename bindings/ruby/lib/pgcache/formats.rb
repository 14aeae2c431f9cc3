# How values become bytes, and bytes values. SPDX-License-Identifier: MIT
# frozen_string_literal: true

require "json"

module PGCache
  # Turns values into bytes and back. Binary Strings (Encoding::BINARY) are stored as they are, by all languages, and have no need of
  # it; all else is written by the serializer of the cache, and read by the one whose number stands beside the bytes.
  #
  # A serializer has a +number+, that of its format; <tt>dump(value)</tt>, which gives a String; and <tt>load(bytes)</tt>.
  module Formats
    # Format 1: JSON, which all languages and SQL read. A cached nil is +null+. Integers of any size stay exact.
    #
    # What has no form in JSON is refused, instead of being stored as its #to_s: NaN and the infinities, text that is no text of its
    # encoding, what is nested deeper than 1000, and all objects but Strings, Symbols, Integers, Floats, true, false, nil, Arrays, Hashes
    # with keys that are Strings, Symbols or Integers, and those whose class defines a to_json of its own. Symbols and keys become Strings.
    module JSON
      # How deep Arrays and Hashes may be inside of each other.
      DEPTH = 1000
      PLAIN = [String, Symbol, Integer, Float, TrueClass, FalseClass, NilClass].to_h { |type| [type, true] }.compare_by_identity.freeze
      KEYS = [String, Symbol, Integer].to_h { |type| [type, true] }.compare_by_identity.freeze
      private_constant :DEPTH, :PLAIN, :KEYS

      class << self
        # The number of the format.
        def number
          Raw::FORMAT_JSON
        end

        # The value as JSON text.
        def dump(value)
          check(value, DEPTH)
          ::JSON.generate(value, max_nesting: DEPTH)
        end

        # The value of a JSON text. The parser itself would let pass what is no UTF-8.
        def load(bytes)
          text = bytes.encoding == Encoding::UTF_8 ? bytes : bytes.dup.force_encoding(Encoding::UTF_8)
          raise EncodingError, "no UTF-8" unless text.valid_encoding?

          ::JSON.parse(text, max_nesting: DEPTH)
        end

        private

        # What stands in Arrays and Hashes is mostly plain, which is seen at once.
        def check(value, depth)
          case value
          when Array
            deeper(depth)
            value.each { |item| check(item, depth - 1) unless PLAIN[item.class] }
          when Hash
            deeper(depth)
            value.each_pair do |key, item|
              refuse(key, "as a key ") unless KEYS[key.class] || key.is_a?(String)
              check(item, depth - 1) unless PLAIN[item.class]
            end
          when String, Symbol, Integer, Float, true, false, nil then nil
          else refuse(value) unless own?(value)
          end
        end

        def deeper(depth)
          raise FormatError, "a value is nested deeper than #{DEPTH}" if depth.zero?
        end

        # That of all objects, whoever defines it, is no more than its to_s.
        def own?(value)
          value.method(:to_json).owner != Object.instance_method(:to_json).owner
        rescue NameError # of a BasicObject
          false
        end

        def refuse(value, where = "")
          raise FormatError, "a #{Kernel.instance_method(:class).bind_call(value)} has #{where}no form in JSON"
        end
      end
    end

    @known = { JSON.number => JSON }
    class << self
      # Makes the values of a serializer's format readable by all caches of the process.
      def register(serializer)
        number = serializer.number
        raise InvalidError, "format #{Raw::FORMAT_BYTES} is that of bytes" unless number.is_a?(Integer) && number.positive?

        @known = { **@known, number => serializer }.freeze
        serializer
      end

      # The bytes and the format's number of a value.
      def dump(value, serializer) # :nodoc:
        return [value, Raw::FORMAT_BYTES] if String === value && value.encoding == Encoding::BINARY

        [serializer.dump(value), serializer.number]
      rescue ::JSON::JSONError, EncodingError, TypeError, NoMethodError, RangeError => error
        # Without its cause, whose words may be of the value.
        raise FormatError, "a #{value.class} cannot be written in format #{serializer.number} (#{error.class})", cause: nil
      end

      # The value of bytes in a format.
      def load(bytes, number) # :nodoc:
        return bytes if number == Raw::FORMAT_BYTES

        serializer = @known.fetch(number) { raise FormatError, "nothing is known here that reads format #{number}" }
        begin
          serializer.load(bytes)
        rescue ::JSON::JSONError, ArgumentError, EncodingError, EOFError => error
          raise FormatError, "the bytes are not in format #{number} (#{error.class})", cause: nil
        end
      end
    end
  end
end
