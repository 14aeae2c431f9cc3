-- One entry. $1 digest. accessed_at tells the library which entries are hot, see stamp.sql.
-- :now is before the statement's snapshot: then both a hit and a miss were true at one moment. With a later clock an entry
-- that was refreshed in between could be missed, although it was never gone. See pure/sql_text.h. The function is volatile:
-- so it takes a snapshot of its own, after the beginning of the statement that calls it.
-- Given are fresh entries alone, and none that says that there is no value: those are for loads, see begin_load.sql.
-- LIVE: an entry is gone as soon as a transaction that it did not see has invalidated one of its dependencies. An entry and
-- all invalidations are seen with one snapshot, so that nobody reads what was true before and after.
-- tags: what it depends on beside its own digest, which stands first; NULL: nothing.
-- @takes uuid
-- @gives value bytea, version bigint, format integer, fresh_until timestamptz,
-- @gives expires_at timestamptz, now timestamptz, flags integer, accessed_at timestamptz, tags uuid[], load_ms integer
SELECT e.value, e.version, e.format, e.fresh_until, e.expires_at, :now, e.flags, e.accessed_at,
       CASE WHEN cardinality(e.dependencies) > 1 THEN e.dependencies[2:] END, e.load_ms
  FROM :"schema".entries e
 WHERE e.digest = $1::uuid AND e.fresh_until > :now AND e.flags & 64 = 0
   AND NOT EXISTS (SELECT FROM :"schema".invalidations i
                    WHERE i.digest = ANY (e.dependencies) AND i.xid >= e.asof
                      AND (e.snapshot IS NULL OR NOT pg_visible_in_snapshot(i.xid, e.snapshot)))
