-- Removes many entries, locking them in the order of their digests (see put_many.sql). $1 digests.
-- A row for each that was there: its digest, and was it alive? All else is as in remove.sql.
-- @takes uuid[]
-- @gives digest uuid, alive boolean
WITH loading AS MATERIALIZED (
  SELECT true AS found FROM :"schema".leases l WHERE l.digest = ANY ($1::uuid[]) LIMIT 1
), locked AS MATERIALIZED (
  SELECT e.digest FROM :"schema".entries e
   WHERE e.digest = ANY ($1::uuid[]) AND NOT EXISTS (SELECT FROM loading)
     AND coalesce(CASE WHEN :logged AND current_setting('synchronous_commit') = 'off'
                       THEN set_config('synchronous_commit', 'local', true) END, 'on') <> 'off'
   ORDER BY e.digest
     FOR UPDATE
), gone AS (
  DELETE FROM :"schema".entries e USING locked l WHERE e.digest = l.digest
  RETURNING e.digest,
            e.fresh_until > clock_timestamp() AND e.flags & 64 = 0
            AND NOT EXISTS (SELECT FROM :"schema".invalidations i
                             WHERE i.digest = ANY (e.dependencies) AND i.xid >= e.asof
                               AND (e.snapshot IS NULL OR NOT pg_visible_in_snapshot(i.xid, e.snapshot))) AS alive,
            coalesce((SELECT m.epoch FROM :"schema".marker m)::bigint << 47 | nextval(:'version_seq'),
                     9223372036854775807) AS version
), removed AS (
  SELECT g.* FROM gone g
  UNION ALL
  SELECT r.* FROM loading l CROSS JOIN LATERAL :"schema".remove_loading(CASE WHEN l.found THEN $1::uuid[] END) r
)
-- @told
, told AS (
  INSERT INTO :"schema".changes (slot, kind, event)
  SELECT coalesce((SELECT m.slot FROM :"schema".marker m), 0), 0,
         string_agg(uuid_send(g.digest) || int8send(g.version), '')
    FROM (SELECT n.*, row_number() OVER () - 1 AS number FROM removed n) g
   GROUP BY g.number / 100
)
-- @end
-- @untold
, untold AS (SELECT c.untold FROM :"schema".cache c)
-- @end
SELECT g.digest, g.alive FROM removed g
