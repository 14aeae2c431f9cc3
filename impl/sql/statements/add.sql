-- Stores an entry if there is none that is fresh: not one that is stale, says that there is no value, or was invalidated.
-- Parameters as in put.sql.
-- One row: the version, or NULL when an entry is there; no row: as in put.sql.
-- @takes uuid, text, bytea, bytea, integer, bigint, integer, uuid[]
-- @gives version bigint
WITH m AS MATERIALIZED (
  SELECT k.epoch, k.slot FROM :"schema".marker k
), written AS (
  INSERT INTO :"schema".entries AS e (digest, version, expires_at, fresh_until, accessed_at, asof, format, flags, load_ms,
                                 namespace, key, snapshot, dependencies, value)
  SELECT $1::uuid, m.epoch::bigint << 47 | nextval(:'version_seq'), t.expires, t.expires, t.now, pg_snapshot_xmin(t.snap),
         $5::int, $7::int, 0, $2::text, $3::bytea,
         CASE WHEN pg_current_xact_id_if_assigned() IS NULL AND pg_snapshot_xmin(t.snap) <> pg_snapshot_xmax(t.snap)
              AND pg_column_size(t.snap) <= 24 + 8 * 64 THEN t.snap END,
         $1::uuid || $8::uuid[], $4::bytea
    FROM m,
         (SELECT clock_timestamp() AS now, pg_current_snapshot() AS snap,
                 coalesce(clock_timestamp() + $6::bigint * interval '1 millisecond', 'infinity') AS expires) t
  ON CONFLICT (digest) DO UPDATE
     SET version = EXCLUDED.version >> 47 << 47 | nextval(:'version_seq'),
         expires_at = EXCLUDED.expires_at, fresh_until = EXCLUDED.fresh_until, accessed_at = EXCLUDED.accessed_at,
         asof = EXCLUDED.asof, format = EXCLUDED.format, flags = EXCLUDED.flags, load_ms = EXCLUDED.load_ms,
         namespace = EXCLUDED.namespace, key = EXCLUDED.key, snapshot = EXCLUDED.snapshot,
         dependencies = EXCLUDED.dependencies, value = EXCLUDED.value
   WHERE e.fresh_until <= clock_timestamp() OR e.flags & 64 <> 0
      OR EXISTS (SELECT FROM :"schema".invalidations i
                  WHERE i.digest = ANY (e.dependencies) AND i.xid >= e.asof
                    AND (e.snapshot IS NULL OR NOT pg_visible_in_snapshot(i.xid, e.snapshot)))
  RETURNING e.version
)
-- @told
, told AS (
  INSERT INTO :"schema".changes (slot, kind, event)
  SELECT m.slot, 0, uuid_send($1::uuid) || int8send(w.version) FROM m CROSS JOIN written w
)
-- @end
-- @untold
, untold AS (SELECT c.untold FROM :"schema".cache c)
-- @end
SELECT w.version FROM m LEFT JOIN written w ON true
