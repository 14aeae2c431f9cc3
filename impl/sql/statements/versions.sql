-- The versions of those entries that get.sql would give. $1 digests.
-- @takes uuid[]
-- @gives digest uuid, version bigint
SELECT e.digest, e.version
  FROM :"schema".entries e
 WHERE e.digest = ANY ($1::uuid[]) AND e.fresh_until > :now AND e.flags & 64 = 0
   AND NOT EXISTS (SELECT FROM :"schema".invalidations i
                    WHERE i.digest = ANY (e.dependencies) AND i.xid >= e.asof
                      AND (e.snapshot IS NULL OR NOT pg_visible_in_snapshot(i.xid, e.snapshot)))
