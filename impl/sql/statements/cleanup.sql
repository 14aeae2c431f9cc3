-- Deletes expired rows of one range of blocks, without waiting for anybody. $1 first ctid, $2 ctid behind the last
-- The expiry is looked at again while the row is locked: a row that was refreshed meanwhile stays.
-- A row: how many were deleted, and how many blocks the table has.
-- @takes tid, tid
-- @gives removed bigint, blocks bigint
WITH gone AS (
  DELETE FROM :"schema".entries e
   WHERE e.ctid = ANY (ARRAY(SELECT x.ctid FROM :"schema".entries x
                              WHERE x.ctid >= $1::tid AND x.ctid < $2::tid AND x.expires_at <= clock_timestamp()
                                FOR UPDATE SKIP LOCKED))
     AND e.expires_at <= clock_timestamp()
  RETURNING 1
)
SELECT (SELECT count(*) FROM gone), pg_relation_size(:'entries') / current_setting('block_size')::bigint
