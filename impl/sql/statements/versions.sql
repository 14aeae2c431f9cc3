-- The versions of entries, for the auditor. $1 digests. version 0: there is an entry, but it was invalidated. Whether it has expired
-- is not asked: who has a copy knows that by a clock of his own.
-- @takes uuid[]
-- @gives digest uuid, version bigint
SELECT e.digest,
       CASE WHEN EXISTS (SELECT FROM :"schema".invalidations i
                          WHERE i.digest = ANY (e.dependencies) AND i.xid >= e.asof
                            AND (e.snapshot IS NULL OR NOT pg_visible_in_snapshot(i.xid, e.snapshot))) THEN 0
            ELSE e.version END
  FROM :"schema".entries e
 WHERE e.digest = ANY ($1::uuid[])
