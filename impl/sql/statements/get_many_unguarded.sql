-- As get_many.sql, but gives entries that were invalidated, too: see get_unguarded.sql.
-- @takes uuid[]
-- @gives value bytea, version bigint, format integer, fresh_until timestamptz,
-- @gives expires_at timestamptz, now timestamptz, flags integer, digest uuid, accessed_at timestamptz, tags uuid[],
-- @gives load_ms integer
SELECT e.value, e.version, e.format, e.fresh_until, e.expires_at, :now, e.flags, e.digest, e.accessed_at,
       CASE WHEN cardinality(e.dependencies) > 1 THEN e.dependencies[2:] END, e.load_ms
  FROM :"schema".entries e
 WHERE e.digest = ANY ($1::uuid[]) AND e.fresh_until > :now AND e.flags & 64 = 0
