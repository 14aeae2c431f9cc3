-- Ends a load that stores nothing. $1 digest, $2 token of the lease, $3 0: the next who asks may load; above 0: the load
-- failed, and while an entry is there that can stand in, nobody else loads it for so many ms: the lease stays, as the
-- all-zero token's.
-- One row: was the lease there? The change stream is told that it is released: others wait for it.
-- @takes uuid, uuid, bigint
-- @gives ended boolean
WITH standing_in AS MATERIALIZED (
  SELECT FROM :"schema".entries e
   WHERE $3::bigint > 0 AND e.digest = $1::uuid AND e.expires_at > :now AND e.flags & 64 = 0
     AND NOT EXISTS (SELECT FROM :"schema".invalidations i
                      WHERE i.digest = ANY (e.dependencies) AND i.xid >= e.asof
                        AND (e.snapshot IS NULL OR NOT pg_visible_in_snapshot(i.xid, e.snapshot)))
), failed AS (
  UPDATE :"schema".leases l
     SET token = '00000000-0000-0000-0000-000000000000', deadline = clock_timestamp() + $3::bigint * interval '1 millisecond'
   WHERE l.digest = $1::uuid AND l.token = $2::uuid AND EXISTS (SELECT FROM standing_in)
  RETURNING 1
), gone AS (
  DELETE FROM :"schema".leases l
   WHERE l.digest = $1::uuid AND l.token = $2::uuid AND NOT EXISTS (SELECT FROM standing_in)
  RETURNING 1
), ended AS (
  SELECT FROM failed UNION ALL SELECT FROM gone
)
-- @told
, told AS (
  INSERT INTO :"schema".changes (slot, kind, event)
  SELECT coalesce((SELECT m.slot FROM :"schema".marker m), 0), 3, uuid_send($1::uuid) FROM ended
)
-- @end
-- @untold
, untold AS (SELECT c.untold FROM :"schema".cache c)
-- @end
SELECT EXISTS (SELECT FROM ended)
