/*
 * report.c - see report.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "store/report.h"

#include <string.h>

#include "pure/error.h"

pgcache_status pgc_report_text(const char *text, size_t size, pgcache_value **report, pgcache_error *error) {
  *report = pgc_value_new(size);
  if (*report == NULL)
    return pgc_fail_memory(error);
  memcpy((*report)->own, text, size);
  (*report)->format = PGCACHE_FORMAT_JSON;
  return PGCACHE_OK;
}

pgcache_status pgc_report_make(pgc_findings *findings, pgcache_value **report, pgcache_error *error) {
  pgc_findings_finish(findings);
  const pgc_buffer *json = &findings->json;
  pgcache_status status =
      json->failed ? pgc_fail_memory(error) : pgc_report_text((const char *)json->data, json->size - 1, report, error);
  pgc_findings_clear(findings); /* without the NUL, which a value has by itself */
  return status;
}
