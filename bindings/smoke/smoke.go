// Puts and gets through the raw Go layer. SPDX-License-Identifier: MIT
//
// Usage: smoke OTHER-LANGUAGE... whose entries are there already; the address is in PGCACHE_URL.
package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	raw "pgcachesmoke/raw"
)

const value = "value \x00\xff of "

func key(language string) string { return "key \x00\xff " + language }

func check(condition bool, what string) {
	if !condition {
		fmt.Fprintln(os.Stderr, "go: not so:", what)
		os.Exit(1)
	}
}

func main() {
	address := os.Getenv("PGCACHE_URL")
	failure := raw.NewPgcache_error()
	raw.Pgcache_error_init(failure, raw.PGCACHE_ERROR_SIZE)
	need := func(status raw.Enum_SS_pgcache_status, expected ...raw.Enum_SS_pgcache_status) {
		for _, one := range expected {
			if status == one {
				return
			}
		}
		fmt.Fprintln(os.Stderr, "go:", raw.Pgcache_status_name(status), failure.GetMessage())
		os.Exit(1)
	}

	check(int64(raw.PGCACHE_TTL_NEVER) == 9223372036854775807, "TTL_NEVER")
	check(int64(raw.PGCACHE_TTL_DEFAULT) == -9223372036854775807, "TTL_DEFAULT")
	check(raw.PGCACHE_VERSION_STRING == raw.Pgcache_version(), "version")

	configOut, handleOut := raw.New_config_out(), raw.New_handle_out()
	need(raw.Pgcache_config_new(configOut, failure), raw.PGCACHE_OK)
	config := raw.Config_out_value(configOut)
	check(raw.Pgcache_config_set(config, "pool_maxx", "1", failure) == raw.PGCACHE_BAD_SETTING, "a wrong setting is refused")
	check(strings.Contains(failure.GetMessage(), "pool_max"), "the message names the nearest setting")
	need(raw.Pgcache_config_set(config, "url", address, failure), raw.PGCACHE_OK)
	need(raw.Pgcache_config_set(config, "near_max_bytes", "0", failure), raw.PGCACHE_OK)
	need(raw.Pgcache_new(handleOut, config, failure), raw.PGCACHE_OK)
	cache := raw.Handle_out_value(handleOut)
	options := raw.NewPgcache_options()
	raw.Pgcache_options_init(options, raw.PGCACHE_OPTIONS_SIZE)
	options.SetDeadline_ms(20000)
	need(raw.Pgcache_init(cache, options, failure), raw.PGCACHE_OK, raw.PGCACHE_EXISTS)

	version := raw.New_int64_out()
	need(raw.Pgcache_put(cache, version, key("go"), value+"go", 7, 60000, options, failure), raw.PGCACHE_OK)
	valueOut := raw.New_value_out()
	need(raw.Pgcache_get(cache, valueOut, "none", options, failure), raw.PGCACHE_MISS)
	for _, language := range append([]string{"go"}, os.Args[1:]...) {
		found := raw.Pgcache_get(cache, valueOut, key(language), options, failure)
		if address == "null:" {
			need(found, raw.PGCACHE_MISS)
			continue
		}
		need(found, raw.PGCACHE_OK)
		got := raw.Value_out_value(valueOut)
		size := int(raw.Pgcache_value_size(got))
		check(bytes.Equal(raw.Cdata(raw.Pgcache_value_data(got), size), []byte(value+language)), "the bytes come back")
		ttl := raw.Pgcache_value_ttl_ms(got)
		check(raw.Pgcache_value_format(got) == 7 && ttl > 0 && ttl <= 60000, "format and TTL")
		if language == "go" {
			check(raw.Pgcache_value_version(got) == raw.Int64_out_value(version) && raw.Int64_out_value(version) > 0, "version")
		}
		raw.Pgcache_value_free(got)
	}
	raw.Pgcache_free(cache)
	raw.Pgcache_config_free(config)
}
