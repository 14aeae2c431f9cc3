-- Stores an entry if there is one that is fresh, see replace.sql, and still has the expected version. Parameters as in
-- put.sql, but $8 the expected version and $9 what it depends on from now on beside what it depended on already.
-- What the entry is as of does not change: the new value was made of the old one.
-- One row: the new version, or NULL when it was not stored; no row: as in put.sql.
-- @takes uuid, text, bytea, bytea, integer, bigint, integer, bigint, uuid[]
-- @gives version bigint
WITH written AS (
  UPDATE :"schema".entries e
     SET version = m.epoch::bigint << 47 | nextval(:'version_seq'),
         expires_at = t.expires, fresh_until = t.expires, accessed_at = t.now,
         format = $5::int, flags = $7::int, load_ms = 0, namespace = $2::text, key = $3::bytea,
         dependencies = CASE WHEN $9::uuid[] <@ e.dependencies IS NOT FALSE THEN e.dependencies
                             ELSE e.dependencies || ARRAY(SELECT d FROM unnest($9::uuid[]) d
                                                           WHERE d <> ALL (e.dependencies)) END,
         value = $4::bytea
    FROM :"schema".marker m,
         (SELECT clock_timestamp() AS now,
                 coalesce(clock_timestamp() + $6::bigint * interval '1 millisecond', 'infinity') AS expires) t
   WHERE e.digest = $1::uuid AND e.fresh_until > clock_timestamp() AND e.flags & 64 = 0 AND e.version = $8::bigint
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
