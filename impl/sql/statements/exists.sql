-- $1 digest. Time is as in get.sql.
-- @takes uuid
-- @gives present boolean
SELECT true FROM :"schema".entries e WHERE e.digest = $1::uuid AND e.expires_at > :now
