# What reads and figures give. SPDX-License-Identifier: MIT
# frozen_string_literal: true

module PGCache
  # An entry as it was read.
  #
  # value:: what was stored
  # version:: a positive number that every write gives anew
  # format:: the number of the value's format: 0 bytes, 1 JSON, 2 MessagePack
  # ttl:: how many seconds it still lives, or NEVER
  # stale:: true if it is past its freshness; only loads give such ones
  Entry = Struct.new(:value, :version, :format, :ttl, :stale, keyword_init: true) do
    alias_method :stale?, :stale
  end

  # What a namespace holds; +namespace+ is nil for all together, a limit nil where there is none.
  Usage = Struct.new(:namespace, :entries, :bytes, :expired, :max_entries, :max_bytes, keyword_init: true)

  # How far Cache#cleanup_some has come.
  #
  # finished:: the walk has come to its end
  # busy:: another janitor is at work, and nothing was done
  # evicting:: what had expired is gone, and the walk has begun again to evict
  # removed, evicted:: how many entries, of all calls together
  # blocks_done, blocks:: how much of the table the walk has seen, and how much there is
  Progress = Struct.new(:finished, :busy, :evicting, :removed, :evicted, :blocks_done, :blocks, keyword_init: true) do
    alias_method :finished?, :finished
    alias_method :busy?, :busy
    alias_method :evicting?, :evicting

    def self.of(raw) # :nodoc:
      new(finished: raw.finished == 1, busy: raw.busy == 1, evicting: raw.evicting == 1, removed: raw.removed,
          evicted: raw.evicted, blocks_done: raw.blocks_done, blocks: raw.blocks).freeze
    end
  end

  # The structs of the library as Hashes: whatever fields the header has.
  module Fields # :nodoc:
    def self.to_h(raw)
      raw.class.instance_methods(false).to_h { |name| [name, raw.public_send(name)] }
    end
  end
  private_constant :Fields
end
