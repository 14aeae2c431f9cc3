-- Many entries, in no particular order. $1 digests. The rest is as in get.sql.
-- @takes uuid[]
-- @gives value bytea, version bigint, format integer, fresh_until timestamptz,
-- @gives expires_at timestamptz, now timestamptz, flags integer, digest uuid, accessed_at timestamptz, tags uuid[],
-- @gives load_ms integer
SELECT e.value, e.version, e.format, e.fresh_until, e.expires_at, :now, e.flags, e.digest, e.accessed_at,
       CASE WHEN cardinality(e.dependencies) > 1 THEN e.dependencies[2:] END, e.load_ms
  FROM :"schema".entries e
 WHERE e.digest = ANY ($1::uuid[]) AND e.fresh_until > :now AND e.flags & 64 = 0
   AND NOT EXISTS (SELECT FROM :"schema".invalidations i
                    WHERE i.digest = ANY (e.dependencies) AND i.xid >= e.asof
                      AND (e.snapshot IS NULL OR NOT pg_visible_in_snapshot(i.xid, e.snapshot)))
