-- Reads an entry, or takes the lease to load it. $1 digest, $2 token, $3 lease in ms, $4 take it even if the entry is fresh.
-- One row: is the lease ours? Does it stand for a load that failed? For how many ms does another's last? Then the entry,
-- with the columns of get.sql, stale ones and ones that say that there is no value included; NULLs when there is none. No
-- row: as in put.sql. What is fresh is only read; all else is for take_lease(), in 0001_functions.sql, which is given a column
-- of the marker's, so that without it it is not called.
-- @takes uuid, uuid, bigint, boolean
-- @gives leased boolean, failed boolean, others_ms bigint, value bytea, version bigint, format integer,
-- @gives fresh_until timestamptz, expires_at timestamptz, now timestamptz, flags integer, accessed_at timestamptz,
-- @gives tags uuid[], load_ms integer
WITH fresh AS MATERIALIZED (
  SELECT e.value, e.version, e.format, e.fresh_until, e.expires_at, :now AS now, e.flags, e.accessed_at,
         CASE WHEN cardinality(e.dependencies) > 1 THEN e.dependencies[2:] END AS tags, e.load_ms
    FROM :"schema".entries e
   WHERE e.digest = $1::uuid AND e.fresh_until > :now AND NOT $4::boolean
     AND NOT EXISTS (SELECT FROM :"schema".invalidations i
                      WHERE i.digest = ANY (e.dependencies) AND i.xid >= e.asof
                        AND (e.snapshot IS NULL OR NOT pg_visible_in_snapshot(i.xid, e.snapshot)))
)
SELECT false, false, 0::bigint, f.* FROM :"schema".marker m, fresh f
UNION ALL
SELECT t.*
  FROM :"schema".marker m
 CROSS JOIN LATERAL :"schema".take_lease(CASE WHEN m.only_row THEN $1::uuid END, $2::uuid, $3::bigint, $4::boolean) t
 WHERE NOT EXISTS (SELECT FROM fresh)
