-- Stores what was loaded. $1 digest, $2 token of the lease, $3 namespace, $4 key, $5 value, $6 format, $7 for how many ms it
-- is fresh (NULL: for ever), $8 for how many ms it is kept beyond that, $9 flags, $10 how many ms it took to load, $11 what it
-- depends on beside its own digest (NULL: nothing)
-- One row: the version, NULL if it was refused, and why: 0 it was not, 1 the lease is over, 2 something that it depends on
-- was invalidated, 3 the entry was written meanwhile. No row: as in put.sql. The lease is gone in every case.
-- The entry is as of the lease's snapshot. What this statement's own does not see of the invalidations ends the entry
-- later, whenever it is read. The lease goes in the statement that brings the entry, so that whoever looks for what still
-- needs an old invalidation finds one or the other.
-- A refused fill tells the change stream that the lease is released: others wait for it.
-- @takes uuid, uuid, text, bytea, bytea, integer, bigint, bigint, integer, integer, uuid[]
-- @gives version bigint, reason smallint
WITH m AS MATERIALIZED (
  SELECT k.epoch, k.slot FROM :"schema".marker k
), lease AS (
  DELETE FROM :"schema".leases l
   WHERE l.digest = $1::uuid AND l.token = $2::uuid
  RETURNING l.asof, l.snapshot, l.version, l.deadline > clock_timestamp() AS lasts
), judged AS MATERIALIZED (
  SELECT l.asof, l.snapshot, l.version, d.dependencies,
         CASE WHEN NOT l.lasts THEN 1
              WHEN EXISTS (SELECT FROM :"schema".invalidations i
                            WHERE i.digest = ANY (d.dependencies) AND i.xid >= l.asof
                              AND (l.snapshot IS NULL OR NOT pg_visible_in_snapshot(i.xid, l.snapshot))) THEN 2
              ELSE 3 END AS reason
    FROM lease l, (SELECT $1::uuid || coalesce($11::uuid[], '{}') AS dependencies) d
), written AS (
  INSERT INTO :"schema".entries AS e (digest, version, expires_at, fresh_until, accessed_at, asof, format, flags, load_ms,
                                 namespace, key, snapshot, dependencies, value)
  SELECT $1::uuid, m.epoch::bigint << 47 | nextval(:'version_seq'),
         coalesce(t.now + ($7::bigint + $8::bigint) * interval '1 millisecond', 'infinity'),
         coalesce(t.now + $7::bigint * interval '1 millisecond', 'infinity'), t.now, j.asof,
         $6::int, $9::int, $10::int, $3::text, $4::bytea, j.snapshot, j.dependencies, $5::bytea
    FROM m, judged j, (SELECT clock_timestamp() AS now) t
   WHERE j.reason = 3
  ON CONFLICT (digest) DO UPDATE
     SET version = EXCLUDED.version >> 47 << 47 | nextval(:'version_seq'),
         expires_at = EXCLUDED.expires_at, fresh_until = EXCLUDED.fresh_until, accessed_at = EXCLUDED.accessed_at,
         asof = EXCLUDED.asof, format = EXCLUDED.format, flags = EXCLUDED.flags, load_ms = EXCLUDED.load_ms,
         namespace = EXCLUDED.namespace, key = EXCLUDED.key, snapshot = EXCLUDED.snapshot,
         dependencies = EXCLUDED.dependencies, value = EXCLUDED.value
   WHERE e.version = (SELECT j.version FROM judged j)
  RETURNING e.version
)
-- @told
, told AS (
  INSERT INTO :"schema".changes (slot, kind, event)
  SELECT m.slot, CASE WHEN w.version IS NULL THEN 3 ELSE 0 END,
         CASE WHEN w.version IS NULL THEN uuid_send($1::uuid) ELSE uuid_send($1::uuid) || int8send(w.version) END
    FROM m CROSS JOIN judged j LEFT JOIN written w ON true
)
-- @end
-- @untold
, untold AS (SELECT c.untold FROM :"schema".cache c)
-- @end
SELECT w.version, (CASE WHEN w.version IS NULL THEN coalesce(j.reason, 1) ELSE 0 END)::smallint
  FROM m LEFT JOIN judged j ON true LEFT JOIN written w ON true
