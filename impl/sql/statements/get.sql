-- One entry. $1 digest. The last column tells the library which entries are hot, see stamp.sql.
-- :now is before the statement's snapshot: then both a hit and a miss were true at one moment. With a later clock an entry
-- that was refreshed in between could be missed, although it was never gone. See pure/sql_text.h. The function is volatile:
-- so it takes a snapshot of its own, after the beginning of the statement that calls it.
-- @takes uuid
-- @gives value bytea, version bigint, format integer, fresh_until timestamptz,
-- @gives expires_at timestamptz, now timestamptz, flags integer, accessed_at timestamptz
SELECT e.value, e.version, e.format, e.fresh_until, e.expires_at, :now, e.flags, e.accessed_at
  FROM :"schema".entries e
 WHERE e.digest = $1::uuid AND e.expires_at > :now
