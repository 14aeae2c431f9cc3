-- $1 digest. What counts as an entry is as in get.sql.
-- @takes uuid
-- @gives present boolean
SELECT true
  FROM :"schema".entries e
 WHERE e.digest = $1::uuid AND e.fresh_until > :now AND e.flags & 64 = 0
   AND NOT EXISTS (SELECT FROM :"schema".invalidations i
                    WHERE i.digest = ANY (e.dependencies) AND i.xid >= e.asof
                      AND (e.snapshot IS NULL OR NOT pg_visible_in_snapshot(i.xid, e.snapshot)))
