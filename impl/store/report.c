/*
 * report.c - see report.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "store/report.h"

#include <string.h>

#include "pure/error.h"

pgcache_status pgc_report_make(pgc_findings *findings, pgcache_value **report, pgcache_error *error) {
  pgc_findings_finish(findings);
  const pgc_buffer *json = &findings->json;
  *report = json->failed ? NULL : pgc_value_new(json->size - 1); /* without the NUL, which a value has by itself */
  if (*report != NULL) {
    memcpy((*report)->own, json->data, json->size - 1);
    (*report)->format = PGCACHE_FORMAT_JSON;
  }
  pgc_findings_clear(findings);
  return *report != NULL ? PGCACHE_OK : pgc_fail_memory(error);
}
