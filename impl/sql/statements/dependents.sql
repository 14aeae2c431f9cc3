-- How many entries depend on keys and tags, and which tables are watched, as JSON. $1 digests, in the order of the answer.
-- Entries that were invalidated are gone, see get.sql.
-- @takes uuid[]
-- @gives report text
WITH living AS MATERIALIZED (
  SELECT e.digest, e.dependencies
    FROM :"schema".entries e
   WHERE e.expires_at > :now
     AND NOT EXISTS (SELECT FROM :"schema".invalidations i
                      WHERE i.digest = ANY (e.dependencies) AND i.xid >= e.asof
                        AND (e.snapshot IS NULL OR NOT pg_visible_in_snapshot(i.xid, e.snapshot)))),
counted AS (
  SELECT d.digest, count(DISTINCT l.digest) AS entries
    FROM living l, unnest(l.dependencies) AS d(digest)
   WHERE d.digest = ANY ($1::uuid[])
   GROUP BY d.digest)
SELECT json_build_object(
         'entries', (SELECT coalesce(json_agg(coalesce(c.entries, 0) ORDER BY asked.place), '[]')
                       FROM unnest($1::uuid[]) WITH ORDINALITY AS asked(digest, place) LEFT JOIN counted c USING (digest)),
         'tagged', (SELECT count(*) FROM living l WHERE l.dependencies <> ARRAY[l.digest]),
         'watched', (SELECT coalesce(json_agg(json_build_object('table', format('%I.%I', n.nspname, c.relname),
                                                                'namespace', w.namespace, 'tag', t.tag)
                                              ORDER BY n.nspname, c.relname, w.namespace, t.place), '[]')
                       FROM :"schema".watched w JOIN pg_class c ON c.oid = w.relation
                       JOIN pg_namespace n ON n.oid = c.relnamespace
                      CROSS JOIN LATERAL unnest(w.tags) WITH ORDINALITY AS t(tag, place)))::text
