-- Adds to a counter, or makes it. $1 digest, $2 namespace, $3 key, $4 the number if there is no entry, $5 what to add,
-- $6 TTL in ms if there is no entry (NULL: for ever), $7 flags if there is none: 0, or 32 with a keyed digest
-- One row: number and version, or NULLs when the entry is no counter; no row: as in put.sql. A number that does not fit
-- bigint raises 22003. An entry that is not fresh, see replace.sql, is none. Whether it is one is asked once, with its row
-- locked: a moment earlier it may still have lived, and the sum would be added to an entry that nobody can read any more.
-- @takes uuid, text, bytea, bigint, bigint, bigint, integer
-- @gives number bigint, version bigint
WITH m AS MATERIALIZED (
  SELECT k.epoch, k.slot FROM :"schema".marker k
), written AS (
  INSERT INTO :"schema".entries AS e (digest, version, expires_at, fresh_until, accessed_at, asof, format, flags, load_ms,
                                 namespace, key, snapshot, dependencies, value)
  SELECT $1::uuid, m.epoch::bigint << 47 | nextval(:'version_seq'), t.expires, t.expires, t.now, pg_snapshot_xmin(t.snap),
         1, $7::int, 0, $2::text, $3::bytea,
         CASE WHEN pg_current_xact_id_if_assigned() IS NULL AND pg_snapshot_xmin(t.snap) <> pg_snapshot_xmax(t.snap)
              AND pg_column_size(t.snap) <= 24 + 8 * 64 THEN t.snap END,
         ARRAY[$1::uuid], decode(($4::bigint)::text, 'escape')
    FROM m,
         (SELECT clock_timestamp() AS now, pg_current_snapshot() AS snap,
                 coalesce(clock_timestamp() + $6::bigint * interval '1 millisecond', 'infinity') AS expires) t
  ON CONFLICT (digest) DO UPDATE
     SET (version, accessed_at, format, flags, load_ms, value, expires_at, fresh_until, asof, snapshot, dependencies) = (
           SELECT EXCLUDED.version >> 47 << 47 | nextval(:'version_seq'), c.now, 1, EXCLUDED.flags, 0,
                  CASE WHEN c.gone THEN EXCLUDED.value
                       ELSE decode((encode(e.value, 'escape')::bigint + $5::bigint)::text, 'escape') END,
                  CASE WHEN c.gone THEN EXCLUDED.expires_at ELSE e.expires_at END,
                  CASE WHEN c.gone THEN EXCLUDED.fresh_until ELSE e.fresh_until END,
                  CASE WHEN c.gone THEN EXCLUDED.asof ELSE e.asof END,
                  CASE WHEN c.gone THEN EXCLUDED.snapshot ELSE e.snapshot END,
                  CASE WHEN c.gone THEN EXCLUDED.dependencies ELSE e.dependencies END
             FROM (SELECT n.now, e.fresh_until <= n.now OR e.flags & 64 <> 0
                          OR EXISTS (SELECT FROM :"schema".invalidations i
                                      WHERE i.digest = ANY (e.dependencies) AND i.xid >= e.asof
                                        AND (e.snapshot IS NULL OR NOT pg_visible_in_snapshot(i.xid, e.snapshot))) AS gone
                     FROM (SELECT clock_timestamp() AS now OFFSET 0) n OFFSET 0) c)
   WHERE CASE WHEN e.format = 1 AND e.flags & ~32 = 0 AND octet_length(e.value) <= 20
                   AND encode(e.value, 'escape') ~ '^(0|-?[1-9][0-9]{0,18})$'
              THEN encode(e.value, 'escape')::numeric BETWEEN -9223372036854775808 AND 9223372036854775807 END
      OR e.fresh_until <= clock_timestamp() OR e.flags & 64 <> 0
      OR EXISTS (SELECT FROM :"schema".invalidations i
                  WHERE i.digest = ANY (e.dependencies) AND i.xid >= e.asof
                    AND (e.snapshot IS NULL OR NOT pg_visible_in_snapshot(i.xid, e.snapshot)))
  RETURNING encode(e.value, 'escape')::bigint AS number, e.version
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
SELECT w.number, w.version FROM m LEFT JOIN written w ON true
