"""Puts and gets through the raw Python layer. SPDX-License-Identifier: MIT

Usage: smoke.py OTHER-LANGUAGE... whose entries are there already; the address is in PGCACHE_URL.
"""

import os
import sys

import _pgcache_smoke as raw

ADDRESS = os.environb[b"PGCACHE_URL"]
VALUE = b"value \x00\xff of "


def key(language: bytes) -> bytes:
    return b"key \x00\xff " + language


def main() -> None:
    error = raw.pgcache_error()
    raw.pgcache_error_init(error, raw.PGCACHE_ERROR_SIZE)

    def need(status: int, *expected: int) -> None:
        if status not in expected:
            sys.exit(f"python: {raw.pgcache_status_name(status)!r} {error.message!r}")

    assert raw.PGCACHE_TTL_NEVER == 2**63 - 1 and raw.PGCACHE_TTL_MAX == 315360000000
    assert raw.PGCACHE_TTL_DEFAULT == -(2**63) + 1
    assert raw.PGCACHE_VERSION_STRING == raw.pgcache_version()

    config_out, handle_out = raw.new_config_out(), raw.new_handle_out()
    need(raw.pgcache_config_new(config_out, error), raw.PGCACHE_OK)
    config = raw.config_out_value(config_out)
    assert raw.pgcache_config_set(config, b"pool_maxx", b"1", error) == raw.PGCACHE_BAD_SETTING
    assert b"pool_max" in error.message, error.message
    need(raw.pgcache_config_set(config, b"url", ADDRESS, error), raw.PGCACHE_OK)
    need(raw.pgcache_config_set(config, b"near_max_bytes", b"0", error), raw.PGCACHE_OK)
    need(raw.pgcache_new(handle_out, config, error), raw.PGCACHE_OK)
    cache = raw.handle_out_value(handle_out)
    options = raw.pgcache_options()
    raw.pgcache_options_init(options, raw.PGCACHE_OPTIONS_SIZE)
    options.deadline_ms = 20000
    need(raw.pgcache_init(cache, options, error), raw.PGCACHE_OK, raw.PGCACHE_EXISTS)

    version = raw.new_int64_out()
    need(
        raw.pgcache_put(cache, version, key(b"python"), VALUE + b"python", 7, 60000, options, error), raw.PGCACHE_OK
    )
    value_out = raw.new_value_out()
    need(raw.pgcache_get(cache, value_out, b"none", options, error), raw.PGCACHE_MISS)
    for language in [b"python", *map(os.fsencode, sys.argv[1:])]:
        found = raw.pgcache_get(cache, value_out, key(language), options, error)
        if ADDRESS == b"null:":
            need(found, raw.PGCACHE_MISS)
            continue
        need(found, raw.PGCACHE_OK)
        value = raw.value_out_value(value_out)
        assert raw.cdata(raw.pgcache_value_data(value), raw.pgcache_value_size(value)) == VALUE + language
        assert raw.pgcache_value_format(value) == 7 and 0 < raw.pgcache_value_ttl_ms(value) <= 60000
        if language == b"python":
            assert raw.pgcache_value_version(value) == raw.int64_out_value(version) > 0
        raw.pgcache_value_free(value)
    raw.pgcache_free(cache)
    raw.pgcache_config_free(config)


main()
