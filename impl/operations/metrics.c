/*
 * metrics.c - see metrics.h.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the pgcache authors
 */
#include "operations/metrics.h"

#define COUNTER(name, help)                                                                                            \
  { name, help, "", PGCACHE_COUNTER, false, 1 }
#define GAUGE(name, help)                                                                                              \
  { name, help, "", PGCACHE_GAUGE, false, 1 }
#define BYTES(name, help)                                                                                              \
  { name, help, "bytes", PGCACHE_GAUGE, false, 1 }
#define TIME(name, help)                                                                                               \
  { name, help, "seconds", PGCACHE_GAUGE, true, 1 }
#define HISTOGRAM(name, help, unit, per_unit)                                                                          \
  { name, help, unit, PGCACHE_HISTOGRAM, false, per_unit }

static const pgc_metric_entry entries[PGC_METRICS] = {
    [PGC_METRIC_DURATION] = {HISTOGRAM("pgcache_operation_duration_seconds",
                                       "How long calls and requests took, from begin to end; of hits of the near cache "
                                       "one in 64 is timed and counts 64 times.",
                                       "seconds", 1e9),
                             "operation, outcome, source, span_name"},
    [PGC_METRIC_HITS] = {COUNTER("pgcache_hits_total", "Keys that were looked for and found; stale values count, too."),
                         "source, span_name"},
    [PGC_METRIC_MISSES] = {COUNTER("pgcache_misses_total", "Keys that were looked for and not found."),
                           "source, span_name"},
    [PGC_METRIC_ITEM_SIZE] = {HISTOGRAM("pgcache_item_size_bytes",
                                        "Sizes of values read from the store or written to it, as stored.", "bytes", 1),
                              "operation, span_name"},
    [PGC_METRIC_FLUSHED] = {HISTOGRAM("pgcache_flushed_entries", "Entries that a flush removed.", "", 1), ""},
    [PGC_METRIC_CLEANED] = {HISTOGRAM("pgcache_cleanup_deleted_entries",
                                      "Expired entries that a cleanup, or a walk of a janitor, deleted.", "", 1),
                            ""},
    [PGC_METRIC_CLEANED_AT] = {TIME("pgcache_cleanup_last_run_timestamp_seconds",
                                    "When a cleanup, or a walk of a janitor, last came to its end; 0: never."),
                               ""},
    [PGC_METRIC_HANDLES] = {GAUGE("pgcache_handles", "Handles, by the version of the library."), "version"},
    [PGC_METRIC_POOL_CONNECTIONS] = {GAUGE("pgcache_pool_connections",
                                           "Connections of the pool: idle, and lent to a call."),
                                     "state"},
    [PGC_METRIC_POOL_MAX] = {GAUGE("pgcache_pool_connections_max", "Connections that the pool may have."), ""},
    [PGC_METRIC_POOL_WAITING] = {GAUGE("pgcache_pool_waiting", "Calls that wait for a connection."), ""},
    [PGC_METRIC_BREAKER_OPEN] = {GAUGE("pgcache_breaker_open", "1 while the circuit breaker refuses calls."), ""},
    [PGC_METRIC_REQUESTS_UNDER_WAY] = {GAUGE("pgcache_requests_under_way", "Requests that have no outcome yet."), ""},
    [PGC_METRIC_REQUESTS_UNTAKEN] = {GAUGE("pgcache_requests_untaken", "Completions that wait to be taken."), ""},
    [PGC_METRIC_REQUESTS_BYTES] = {BYTES("pgcache_requests_bytes",
                                         "Keys and values of requests that are under way or wait to be taken."),
                                   ""},
    [PGC_METRIC_NEAR_MAX_BYTES] = {BYTES("pgcache_near_max_bytes", "What the near cache may take."), ""},
    [PGC_METRIC_NEAR_PROVEN] = {GAUGE("pgcache_near_proven",
                                      "1 while the near cache may answer: it was proven lately that it is fresh."),
                                ""},
    [PGC_METRIC_NEAR_PROOF_AT] = {TIME("pgcache_near_proof_timestamp_seconds",
                                       "When the near cache was last proven to be fresh; 0: never."),
                                  ""},
    [PGC_METRIC_EVENTS_DROPPED] = {COUNTER("pgcache_events_dropped_total", "Events that did not fit into an observer."),
                                   ""},
    [PGC_METRIC_UNMEASURED] = {COUNTER("pgcache_unmeasured_total",
                                       "Measurements that were not taken for want of memory or of room."),
                               ""},
};

const pgc_metric_entry *pgc_metric_entry_of(pgc_metric_id id) {
  return &entries[id];
}

#define OF(member, metric)                                                                                             \
  {                                                                                                                    \
    offsetof(pgcache_counters, member), metric, {                                                                      \
      NULL, NULL                                                                                                       \
    }                                                                                                                  \
  }
#define FLUSHES(member, reason)                                                                                        \
  {                                                                                                                    \
    offsetof(pgcache_counters, member),                                                                                \
        COUNTER("pgcache_near_flushes_total", "How often the near cache dropped "                                      \
                                              "everything, by reason."),                                               \
    {                                                                                                                  \
      "reason", reason                                                                                                 \
    }                                                                                                                  \
  }

/* In the order of the struct. near_flushes is the sum of the four with a reason. */
static const pgc_counter_metric counters[] = {
    OF(connections_opened, COUNTER("pgcache_connections_opened_total", "Connections made.")),
    OF(connections_lost, COUNTER("pgcache_connections_lost_total",
                                 "Connections closed because they broke or an answer on them was given up.")),
    OF(breaker_opened, COUNTER("pgcache_breaker_opened_total", "How often the circuit breaker opened.")),
    OF(breaker_refused, COUNTER("pgcache_breaker_refused_total", "Calls that the circuit breaker refused.")),
    OF(reads_failed, COUNTER("pgcache_reads_failed_total", "Reads that gave a miss instead of their error.")),
    OF(values_refused,
       COUNTER("pgcache_values_refused_total",
               "Rows taken for a miss: damaged, moved, of an unknown key, or not encrypted as required.")),
    OF(entries_touched, COUNTER("pgcache_entries_touched_total",
                                "Entries noted as used because they were read while there is a limit.")),
    OF(entries_evicted, COUNTER("pgcache_entries_evicted_total", "Entries evicted to keep the limits.")),
    OF(cleanup_failures,
       COUNTER("pgcache_cleanup_failures_total", "Walks of janitors, and slices after writes, that failed.")),
    OF(summaries_published, COUNTER("pgcache_summaries_published_total", "Summaries published, see publish_ms.")),
    OF(publish_failures, COUNTER("pgcache_publish_failures_total", "Summaries that could not be published.")),
    OF(near_hits, COUNTER("pgcache_near_hits_total", "Keys that the near cache answered with a value.")),
    OF(near_absent_hits, COUNTER("pgcache_near_absent_hits_total",
                                 "Keys that the near cache answered with the knowledge that there is no entry.")),
    OF(near_misses, COUNTER("pgcache_near_misses_total", "Keys that the near cache was asked for and did not answer.")),
    OF(near_fills, COUNTER("pgcache_near_fills_total", "Values, and absences, that the near cache took in.")),
    OF(near_fills_refused, COUNTER("pgcache_near_fills_refused_total",
                                   "Values that the near cache did not take in because something newer was heard of.")),
    OF(near_invalidations, COUNTER("pgcache_near_invalidations_total",
                                   "Copies that were dropped because the entry changed; own writes count, too.")),
    OF(near_evictions, COUNTER("pgcache_near_evictions_total", "Copies that were dropped to keep the limits.")),
    OF(near_lapses,
       COUNTER("pgcache_near_lapses_total",
               "Keys that the near cache held and did not answer, because it was not proven to be fresh.")),
    FLUSHES(near_flushes_start, "start"),
    FLUSHES(near_flushes_epoch, "epoch"),
    FLUSHES(near_flushes_gap, "gap"),
    FLUSHES(near_flushes_stream, "stream"),
    OF(near_entries, GAUGE("pgcache_near_entries", "Copies that the near cache holds.")),
    OF(near_bytes, BYTES("pgcache_near_bytes", "What the near cache takes, with all overhead.")),
    OF(near_polls, COUNTER("pgcache_near_polls_total", "Round trips that proved that the near cache is fresh.")),
    OF(near_messages, COUNTER("pgcache_near_messages_total", "Notifications of changes taken.")),
    OF(near_messages_refused, COUNTER("pgcache_near_messages_refused_total",
                                      "Notifications that were none of ours, damaged, or of another epoch.")),
    OF(near_gaps, COUNTER("pgcache_near_gaps_total",
                          "Notifications that did not follow the one before, so that a poll stood in for them.")),
    OF(near_audited, COUNTER("pgcache_near_audited_total", "Copies compared with the store.")),
    OF(near_disagreements,
       COUNTER("pgcache_near_disagreements_total", "Copies that were found older than the rules allow.")),
    OF(loads, COUNTER("pgcache_loads_total", "Leases got, and so values that were to be loaded.")),
    OF(load_waits, COUNTER("pgcache_load_waits_total", "Calls that waited for somebody else's load.")),
    OF(load_stale, COUNTER("pgcache_load_stale_total", "Stale values given.")),
    OF(load_fills, COUNTER("pgcache_load_fills_total", "Loaded values, and absences, that were stored.")),
    OF(load_fills_refused, COUNTER("pgcache_load_fills_refused_total",
                                   "Loaded values that were not stored because their lease was over or void.")),
    OF(load_failures, COUNTER("pgcache_load_failures_total", "Loads that failed.")),
    OF(invalidations, COUNTER("pgcache_invalidations_total", "Keys and tags invalidated.")),
};

const pgc_counter_metric *pgc_counter_metric_at(size_t index) {
  return index < sizeof counters / sizeof counters[0] ? &counters[index] : NULL;
}
