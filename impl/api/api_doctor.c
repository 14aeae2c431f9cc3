/*
 * api_doctor.c - exported: looks at everything that the cache stands on, and tells what is wrong.
 *
 * SPDX-License-Identifier: MIT
 */
#include "operations/measure.h"
#include "pure/error.h"

pgcache_status pgcache_doctor(pgcache *self, pgcache_value **report, const pgcache_options *options,
                              pgcache_error *error) {
  pgc_call call;
  if (report != NULL)
    *report = NULL;
  pgcache_status status = pgc_call_begin(&call, self, PGC_OP_DOCTOR, options, error);
  if (status != PGCACHE_OK)
    return status;
  if (report == NULL)
    return pgc_fail(error, PGCACHE_INVALID, "report is NULL");
  call.op.u.doctor.pool_max = self->settings.pool_max;
  status = pgc_measure_run(&call, PGC_OPERATION_DOCTOR);
  *report = call.op.u.doctor.report;
  return status;
}
