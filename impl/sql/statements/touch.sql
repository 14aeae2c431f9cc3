-- Gives an entry that is fresh, see replace.sql, a new expiry. $1 digest, $2 TTL in ms (NULL: for ever)
-- One row: the new version, or NULL when there is no entry; no row: as in put.sql.
-- What the entry is as of does not change: a touch says nothing new about the value.
-- @takes uuid, bigint
-- @gives version bigint
WITH written AS (
  UPDATE :"schema".entries e
     SET version = m.epoch::bigint << 47 | nextval(:'version_seq'),
         expires_at = t.expires, fresh_until = t.expires, accessed_at = t.now
    FROM :"schema".marker m,
         (SELECT clock_timestamp() AS now,
                 coalesce(clock_timestamp() + $2::bigint * interval '1 millisecond', 'infinity') AS expires) t
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
