/*
 * exposition.h - figures in the text format of Prometheus.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#ifndef PGC_CLI_EXPOSITION_H
#define PGC_CLI_EXPOSITION_H

#include "cli.h"

/* Prints the figures of the store, and behind them what processes have published. The command's exit code. */
int exposition_print(cli_session *session, const pgcache_store_stats *stats);

#endif /* PGC_CLI_EXPOSITION_H */
