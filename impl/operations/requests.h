/*
 * requests.h - makes a request of a call whose arguments were checked, with copies of all that it needs, and submits it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PGC_OPERATIONS_REQUESTS_H
#define PGC_OPERATIONS_REQUESTS_H

#include "engine/request.h"
#include "operations/call.h"

/* Checks the options of a call that will be submitted and was begun. PGCACHE_OK, PGCACHE_INVALID. */
pgcache_status pgc_request_check(const pgc_call *call);

/* Begins a call that will be submitted: as pgc_call_begin(), and the options of requests. id: may be NULL. */
pgcache_status pgc_request_begin(pgc_call *call, pgcache *cache, uint64_t *id, pgc_op_kind kind,
                                 const pgcache_options *options, pgcache_error *error);

/* Submits a call on one key, whose value is encoded here. Beside what pgc_room_engine() gives: PGCACHE_OK,
   PGCACHE_QUEUE_FULL. */
pgcache_status pgc_request_submit_key(pgc_call *call, uint64_t *id);

/* The same for many keys, with a call begun with GET_MANY, PUT_MANY or REMOVE_MANY. Checks the items; also
   PGCACHE_INVALID, PGCACHE_TOO_LARGE. */
pgcache_status pgc_request_submit_items(pgc_call *call, uint64_t *id, const pgcache_item *items, size_t count);

/* Makes a request without parts, with room for `extra` bytes, zeroed: *room. NULL when out of memory. */
pgc_request *pgc_request_make(const pgc_call *call, size_t extra, void **room);

/* Makes a request of the call's kind with one part: the key of the call, whose value is encoded and whose digest is taken, with
   copies of all; and room as above. What the call has encoded is freed. NULL when out of memory. */
pgc_request *pgc_request_make_key(pgc_call *call, size_t extra, void **room);

/* Submits a request with parts; it is gone afterwards. What can be answered of reads that were not answered before is answered by the near
   cache, which is told of what becomes of the others. NULL: out of memory. */
pgcache_status pgc_request_submit_parts(pgc_call *call, uint64_t *id, pgc_request *request);

/* Submits a request as it stands, whatever it is; it is gone afterwards, also when it is refused. */
pgcache_status pgc_request_hand(pgc_call *call, uint64_t *id, pgc_request *request);

/* Submits a request without parts; it is gone afterwards. NULL: out of memory. */
pgcache_status pgc_request_submit(pgc_call *call, uint64_t *id, pgc_request *request);

#endif
