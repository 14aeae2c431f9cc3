-- Stores an entry if there is one that is fresh, as add.sql understands it. Parameters as in put.sql ($2 and $3 are what the
-- row already holds).
-- OFFSET 0 keeps the look at the invalidations a question about each row: joined it would not be asked again of a row that
-- was changed while this statement waited for it.
-- One row: the version, or NULL when there is no entry; no row: as in put.sql.
-- @takes uuid, text, bytea, bytea, integer, bigint, integer, uuid[]
-- @gives version bigint
WITH written AS (
  UPDATE :"schema".entries e
     SET version = m.epoch::bigint << 47 | nextval(:'version_seq'),
         expires_at = t.expires, fresh_until = t.expires, accessed_at = t.now, asof = pg_snapshot_xmin(t.snap),
         format = $5::int, flags = $7::int, load_ms = 0, namespace = $2::text, key = $3::bytea,
         snapshot = CASE WHEN pg_current_xact_id_if_assigned() IS NULL
                              AND pg_snapshot_xmin(t.snap) <> pg_snapshot_xmax(t.snap)
                              AND pg_column_size(t.snap) <= 24 + 8 * 64 THEN t.snap END,
         dependencies = $1::uuid || $8::uuid[], value = $4::bytea
    FROM :"schema".marker m,
         (SELECT clock_timestamp() AS now, pg_current_snapshot() AS snap,
                 coalesce(clock_timestamp() + $6::bigint * interval '1 millisecond', 'infinity') AS expires) t
   WHERE e.digest = $1::uuid AND e.fresh_until > clock_timestamp() AND e.flags & 64 = 0
     AND NOT EXISTS (SELECT FROM :"schema".invalidations i
                      WHERE i.digest = ANY (e.dependencies) AND i.xid >= e.asof
                        AND (e.snapshot IS NULL OR NOT pg_visible_in_snapshot(i.xid, e.snapshot)) OFFSET 0)
  RETURNING e.version, m.slot
)
-- @told
, told AS (
  INSERT INTO :"schema".changes (slot, kind, event)
  SELECT w.slot, 0, uuid_send($1::uuid) || int8send(w.version) FROM written w
)
-- @end
-- @untold
, untold AS (SELECT c.untold FROM :"schema".cache c)
-- @end
SELECT w.version FROM :"schema".marker m LEFT JOIN written w ON true
