# Puts and gets through the raw Ruby layer. SPDX-License-Identifier: MIT
#
# Usage: smoke.rb OTHER-LANGUAGE... whose entries are there already; the address is in PGCACHE_URL.
# frozen_string_literal: true

require "pgcache_smoke"

Raw = Pgcache_smoke
ADDRESS = ENV.fetch("PGCACHE_URL")
VALUE = "value \x00\xff of ".b

def key(language)
  "key \x00\xff ".b + language
end

def need(error, status, *expected)
  abort "ruby: #{Raw.pgcache_status_name(status)} #{error.message}" unless expected.include?(status)
end

def check(condition, what)
  abort "ruby: not so: #{what}" unless condition
end

error = Raw::Pgcache_error.new
Raw.pgcache_error_init(error, Raw::PGCACHE_ERROR_SIZE)
check(Raw::PGCACHE_TTL_NEVER == 2**63 - 1 && Raw::PGCACHE_TTL_DEFAULT == -2**63 + 1, "constants")
check(Raw::PGCACHE_VERSION_STRING == Raw.pgcache_version, "version")

config_out = Raw.new_config_out
handle_out = Raw.new_handle_out
need(error, Raw.pgcache_config_new(config_out, error), Raw::PGCACHE_OK)
config = Raw.config_out_value(config_out)
check(Raw.pgcache_config_set(config, "pool_maxx", "1", error) == Raw::PGCACHE_BAD_SETTING, "a wrong setting is refused")
check(error.message.include?("pool_max"), "the message names the nearest setting")
need(error, Raw.pgcache_config_set(config, "url", ADDRESS, error), Raw::PGCACHE_OK)
need(error, Raw.pgcache_config_set(config, "near_max_bytes", "0", error), Raw::PGCACHE_OK)
need(error, Raw.pgcache_new(handle_out, config, error), Raw::PGCACHE_OK)
cache = Raw.handle_out_value(handle_out)
options = Raw::Pgcache_options.new
Raw.pgcache_options_init(options, Raw::PGCACHE_OPTIONS_SIZE)
options.deadline_ms = 20_000
need(error, Raw.pgcache_init(cache, options, error), Raw::PGCACHE_OK, Raw::PGCACHE_EXISTS)

version = Raw.new_int64_out
need(error, Raw.pgcache_put(cache, version, key("ruby"), "#{VALUE}ruby", 7, 60_000, options, error), Raw::PGCACHE_OK)
value_out = Raw.new_value_out
need(error, Raw.pgcache_get(cache, value_out, "none", options, error), Raw::PGCACHE_MISS)
["ruby", *ARGV].each do |language|
  found = Raw.pgcache_get(cache, value_out, key(language), options, error)
  if ADDRESS == "null:"
    need(error, found, Raw::PGCACHE_MISS)
    next
  end
  need(error, found, Raw::PGCACHE_OK)
  value = Raw.value_out_value(value_out)
  bytes = Raw.cdata(Raw.pgcache_value_data(value), Raw.pgcache_value_size(value))
  check(bytes.b == VALUE + language, "the bytes come back: #{bytes.inspect}")
  check(Raw.pgcache_value_format(value) == 7 && (1..60_000).cover?(Raw.pgcache_value_ttl_ms(value)), "format and TTL")
  if language == "ruby"
    check(Raw.pgcache_value_version(value) == Raw.int64_out_value(version) && Raw.int64_out_value(version).positive?, "version")
  end
  Raw.pgcache_value_free(value)
end
Raw.pgcache_free(cache)
Raw.pgcache_config_free(config)
