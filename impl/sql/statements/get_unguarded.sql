-- As get.sql, but gives entries that were invalidated, too: for handles that go without the check.
-- @takes uuid
-- @gives value bytea, version bigint, format integer, fresh_until timestamptz,
-- @gives expires_at timestamptz, now timestamptz, flags integer, accessed_at timestamptz, tags uuid[], load_ms integer
SELECT e.value, e.version, e.format, e.fresh_until, e.expires_at, :now, e.flags, e.accessed_at,
       CASE WHEN cardinality(e.dependencies) > 1 THEN e.dependencies[2:] END, e.load_ms
  FROM :"schema".entries e
 WHERE e.digest = $1::uuid AND e.fresh_until > :now AND e.flags & 64 = 0
