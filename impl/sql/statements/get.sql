-- One entry. $1 digest
-- Time is the statement's beginning, which is before its snapshot: then both a hit and a miss were true at one moment. With
-- a later clock an entry that was refreshed in between could be missed, although it was never gone.
SELECT e.value, e.version, e.format, e.fresh_until, e.expires_at, statement_timestamp(), e.flags
  FROM :"schema".entries e
 WHERE e.digest = $1::uuid AND e.expires_at > statement_timestamp()
