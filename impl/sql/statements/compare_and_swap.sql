-- Stores an entry if it still has the expected version. Parameters as in replace.sql, and $8 the expected version.
-- One row: the new version, or NULL when it was not stored; no row: as in put.sql.
-- @takes uuid, text, bytea, bytea, integer, bigint, integer, bigint
-- @gives version bigint
WITH written AS (
  UPDATE :"schema".entries e
     SET version = m.epoch::bigint << 47 | nextval(:'version_seq'),
         expires_at = t.expires, fresh_until = t.expires, accessed_at = t.now, asof = pg_snapshot_xmin(t.snap),
         format = $5::int, flags = $7::int, load_ms = 0, namespace = $2::text, key = $3::bytea,
         snapshot = CASE WHEN pg_current_xact_id_if_assigned() IS NULL
                              AND pg_snapshot_xmin(t.snap) <> pg_snapshot_xmax(t.snap)
                              AND pg_column_size(t.snap) <= 24 + 8 * 64 THEN t.snap END,
         dependencies = ARRAY[$1::uuid], value = $4::bytea
    FROM :"schema".marker m,
         (SELECT clock_timestamp() AS now, pg_current_snapshot() AS snap,
                 coalesce(clock_timestamp() + $6::bigint * interval '1 millisecond', 'infinity') AS expires) t
   WHERE e.digest = $1::uuid AND e.expires_at > clock_timestamp() AND e.version = $8::bigint
  RETURNING e.version, m.slot
), told AS (
  INSERT INTO :"schema".changes (slot, kind, event)
  SELECT w.slot, 0, uuid_send($1::uuid) || int8send(w.version) FROM written w
)
SELECT w.version FROM :"schema".marker m LEFT JOIN written w ON true
