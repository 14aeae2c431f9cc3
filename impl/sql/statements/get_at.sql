-- One entry as it is at a moment of the caller's choice, for the SQL functions: within a long statement of the application
-- statement_timestamp() would be long ago. $1 digest, $2 the moment, which is before this statement's snapshot. What is
-- given is as in get.sql; the application's own invalidations count before they are committed.
-- @takes uuid, timestamptz
-- @gives value bytea, format integer, flags integer
-- @stable
-- @indexed
SELECT e.value, e.format, e.flags
  FROM :"schema".entries e
 WHERE e.digest = $1::uuid AND e.fresh_until > $2::timestamptz AND e.flags & 64 = 0
   AND NOT EXISTS (SELECT FROM :"schema".invalidations i
                    WHERE i.digest = ANY (e.dependencies) AND i.xid >= e.asof
                      AND (e.snapshot IS NULL OR NOT pg_visible_in_snapshot(i.xid, e.snapshot)))
