/*
 * text.h - looking at bytes: whether they are UTF-8, whether they are JSON.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_CLI_TEXT_H
#define PGC_CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How deep arrays and objects may stand in one another: deeper than data is, and not too deep for any reader. */
#define TEXT_DEPTH_MAX 256

/* The length of the valid UTF-8 sequence at data, 0 if there is none; *point is its character. */
size_t text_utf8_sequence(const unsigned char *data, size_t size, uint32_t *point);

bool text_is_utf8(const void *data, size_t size);

/* Says whether it is one JSON value (RFC 8259) in UTF-8, at most TEXT_DEPTH_MAX deep. */
bool text_is_json(const void *data, size_t size);

#endif /* PGC_CLI_TEXT_H */
