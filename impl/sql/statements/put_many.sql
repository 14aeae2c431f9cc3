-- Stores many entries. $1 digests, sorted and without duplicates, $2 namespace, $3 keys, $4 values, $5 formats,
-- $6 TTLs in ms (NULL: for ever), $7 flags, $8 what each of them depends on beside its own digest (NULL: nothing). A row with
-- digest and version for each; no row: as in put.sql.
-- Rows are locked in the order of their digests, as every multi-key statement does, so that writers of overlapping sets
-- wait for each other and never deadlock.
-- @takes uuid[], text, bytea[], bytea[], integer[], bigint[], integer[], uuid[]
-- @gives digest uuid, version bigint
WITH m AS MATERIALIZED (
  SELECT k.epoch, k.slot FROM :"schema".marker k
), written AS (
  INSERT INTO :"schema".entries AS e (digest, version, expires_at, fresh_until, accessed_at, asof, format, flags, load_ms,
                                 namespace, key, snapshot, dependencies, value)
  SELECT i.digest, m.epoch::bigint << 47 | nextval(:'version_seq'), i.expires, i.expires, t.now, t.asof,
         i.format, i.flags, 0, $2::text, i.key, t.snap, i.digest || $8::uuid[], i.value
    FROM m,
         (SELECT clock_timestamp() AS now, pg_snapshot_xmin(s.snap) AS asof,
                 CASE WHEN pg_current_xact_id_if_assigned() IS NULL
                      AND pg_snapshot_xmin(s.snap) <> pg_snapshot_xmax(s.snap)
                      AND pg_column_size(s.snap) <= 24 + 8 * 64 THEN s.snap END AS snap
            FROM (SELECT pg_current_snapshot() AS snap) s) t,
         (SELECT u.digest, u.key, u.value, u.format, u.flags,
                 coalesce(clock_timestamp() + u.ttl_ms * interval '1 millisecond', 'infinity') AS expires
            FROM unnest($1::uuid[], $3::bytea[], $4::bytea[], $5::int[], $6::bigint[], $7::int[])
                 AS u(digest, key, value, format, ttl_ms, flags)
           ORDER BY u.digest) i
  ON CONFLICT (digest) DO UPDATE
     SET version = EXCLUDED.version >> 47 << 47 | nextval(:'version_seq'),
         expires_at = EXCLUDED.expires_at, fresh_until = EXCLUDED.fresh_until, accessed_at = EXCLUDED.accessed_at,
         asof = EXCLUDED.asof, format = EXCLUDED.format, flags = EXCLUDED.flags, load_ms = EXCLUDED.load_ms,
         namespace = EXCLUDED.namespace, key = EXCLUDED.key, snapshot = EXCLUDED.snapshot,
         dependencies = EXCLUDED.dependencies, value = EXCLUDED.value
  RETURNING e.digest, e.version
)
-- @told
, told AS (
  INSERT INTO :"schema".changes (slot, kind, event)
  SELECT m.slot, 0, string_agg(uuid_send(w.digest) || int8send(w.version), '')
    FROM m CROSS JOIN (SELECT n.*, row_number() OVER () - 1 AS number FROM written n) w
   GROUP BY m.slot, w.number / 100
)
-- @end
-- @untold
, untold AS (SELECT c.untold FROM :"schema".cache c)
-- @end
SELECT w.digest, w.version FROM written w
