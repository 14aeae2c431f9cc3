/*
 * pg_operations.h - what each operation means in statements.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_STORE_PG_OPERATIONS_H
#define PGC_STORE_PG_OPERATIONS_H

#include "store/pg_session.h"

/* Makes one attempt of an operation. Outputs that an earlier attempt set are overwritten. */
pgcache_status pgc_pg_operate(pgc_session *session, pgc_op *op);

/* Whether an operation on keys needs nothing but its own statement on this connection: pgc_pg_operate() knows what else. */
bool pgc_pg_can_send(const pgc_session *session, const pgc_op *op);

/* Frees the values that a failed attempt left in the operation. */
void pgc_pg_drop_outputs(pgc_op *op);

#endif
