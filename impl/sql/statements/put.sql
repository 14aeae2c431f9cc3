-- Stores an entry. $1 digest, $2 namespace, $3 key, $4 value, $5 format, $6 TTL in ms (NULL: for ever),
-- $7 flags, see the table's definition, $8 what it depends on beside its own digest (NULL: nothing)
-- One row with the version; no row: the marker is gone, nothing was written, a new epoch is needed.
-- Inside of a transaction that has written already the snapshot says nothing of its own changes, and is left out.
-- nextval() stands inside DO UPDATE because EXCLUDED's was drawn before the row was locked: of two writers the later
-- could get the lower version.
-- Every statement that writes entries says so in the change stream in the same statement, so that both are committed or
-- neither: one row for up to 100 entries. What changed nothing says nothing.
-- The marker is read once, for both.
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
SELECT w.version FROM written w
