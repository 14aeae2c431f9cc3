-- The versions of those entries that are there and alive. $1 digests. Time is as in get.sql.
-- @takes uuid[]
-- @gives digest uuid, version bigint
SELECT e.digest, e.version FROM :"schema".entries e WHERE e.digest = ANY ($1::uuid[]) AND e.expires_at > :now
