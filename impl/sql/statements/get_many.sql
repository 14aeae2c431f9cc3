-- Many entries, in no particular order. $1 digests. Time is as in get.sql.
-- @takes uuid[]
-- @gives value bytea, version bigint, format integer, fresh_until timestamptz,
-- @gives expires_at timestamptz, now timestamptz, flags integer, digest uuid, accessed_at timestamptz
SELECT e.value, e.version, e.format, e.fresh_until, e.expires_at, :now, e.flags, e.digest, e.accessed_at
  FROM :"schema".entries e
 WHERE e.digest = ANY ($1::uuid[]) AND e.expires_at > :now
