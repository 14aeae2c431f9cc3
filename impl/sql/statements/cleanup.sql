-- Deletes expired rows of one range of blocks, without waiting for anybody. $1 first ctid, $2 ctid behind the last
-- The expiry is looked at again while the row is locked: a row that was refreshed meanwhile stays.
-- A row: how many were deleted, how many blocks the table has, and whether there is more to delete in the range: one
-- statement deletes a megabyte, because the server deletes a long value piece by piece.
-- @takes tid, tid
-- @gives removed bigint, blocks bigint, more boolean
WITH found AS MATERIALIZED (
  SELECT x.ctid AS place, octet_length(x.value) AS bytes FROM :"schema".entries x
   WHERE x.ctid >= $1::tid AND x.ctid < $2::tid AND x.expires_at <= clock_timestamp()
     FOR UPDATE SKIP LOCKED
), counted AS (
  SELECT f.place, coalesce(sum(f.bytes) OVER w, 0) AS bytes_before
    FROM found f
  WINDOW w AS (ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
), gone AS (
  DELETE FROM :"schema".entries e
   WHERE e.ctid = ANY (ARRAY(SELECT c.place FROM counted c WHERE c.bytes_before < 1048576))
     AND e.expires_at <= clock_timestamp()
  RETURNING 1
)
SELECT (SELECT count(*) FROM gone), pg_relation_size(:'entries') / current_setting('block_size')::bigint,
       EXISTS (SELECT FROM counted c WHERE c.bytes_before >= 1048576)
