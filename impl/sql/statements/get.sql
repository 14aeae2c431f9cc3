-- One entry. $1 digest
-- Time is the statement's beginning, which is before its snapshot: then both a hit and a miss were true at one moment. With
-- a later clock an entry that was refreshed in between could be missed, although it was never gone.
-- @takes uuid
-- @gives value bytea, version bigint, format integer, fresh_until timestamptz,
-- @gives expires_at timestamptz, now timestamptz, flags integer
-- @stable
SELECT e.value, e.version, e.format, e.fresh_until, e.expires_at, statement_timestamp(), e.flags
  FROM :"schema".entries e
 WHERE e.digest = $1::uuid AND e.expires_at > statement_timestamp()
