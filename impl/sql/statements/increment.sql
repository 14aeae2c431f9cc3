-- Adds to a counter, or makes it. $1 digest, $2 namespace, $3 key, $4 the number if there is no entry, $5 what to add,
-- $6 TTL in ms if there is no entry (NULL: for ever)
-- One row: number and version, or NULLs when the entry is no counter; no row: as in put.sql. A number that does not fit
-- bigint raises 22003. EXCLUDED.accessed_at is the statement's one idea of now.
WITH written AS (
  INSERT INTO :"schema".entries AS e (digest, version, expires_at, fresh_until, accessed_at, asof, format, flags, load_ms,
                                 namespace, key, snapshot, dependencies, value)
  SELECT $1::uuid, m.epoch::bigint << 47 | nextval(:'version_seq'), t.expires, t.expires, t.now, pg_snapshot_xmin(t.snap),
         1, 0, 0, $2::text, $3::bytea,
         CASE WHEN pg_snapshot_xmin(t.snap) <> pg_snapshot_xmax(t.snap) AND pg_column_size(t.snap) <= 24 + 8 * 64
              THEN t.snap END,
         ARRAY[$1::uuid], decode(($4::bigint)::text, 'escape')
    FROM :"schema".marker m,
         (SELECT clock_timestamp() AS now, pg_current_snapshot() AS snap,
                 coalesce(clock_timestamp() + $6::bigint * interval '1 millisecond', 'infinity') AS expires) t
  ON CONFLICT (digest) DO UPDATE
     SET version = EXCLUDED.version >> 47 << 47 | nextval(:'version_seq'),
         accessed_at = EXCLUDED.accessed_at, format = 1, flags = 0, load_ms = 0,
         value = CASE WHEN e.expires_at <= EXCLUDED.accessed_at THEN EXCLUDED.value
                      ELSE decode((encode(e.value, 'escape')::bigint + $5::bigint)::text, 'escape') END,
         expires_at = CASE WHEN e.expires_at <= EXCLUDED.accessed_at THEN EXCLUDED.expires_at ELSE e.expires_at END,
         fresh_until = CASE WHEN e.expires_at <= EXCLUDED.accessed_at THEN EXCLUDED.fresh_until ELSE e.fresh_until END,
         asof = CASE WHEN e.expires_at <= EXCLUDED.accessed_at THEN EXCLUDED.asof ELSE e.asof END,
         snapshot = CASE WHEN e.expires_at <= EXCLUDED.accessed_at THEN EXCLUDED.snapshot ELSE e.snapshot END,
         dependencies = CASE WHEN e.expires_at <= EXCLUDED.accessed_at THEN EXCLUDED.dependencies
                             ELSE e.dependencies END
   WHERE e.expires_at <= EXCLUDED.accessed_at
      OR CASE WHEN e.format = 1 AND octet_length(e.value) <= 20
                   AND encode(e.value, 'escape') ~ '^(0|-?[1-9][0-9]{0,18})$'
              THEN encode(e.value, 'escape')::numeric BETWEEN -9223372036854775808 AND 9223372036854775807 END
  RETURNING encode(e.value, 'escape')::bigint AS number, e.version
)
SELECT w.number, w.version FROM :"schema".marker m LEFT JOIN written w ON true
