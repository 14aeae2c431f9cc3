-- How large the log of invalidations is, from which the janitor's walk deletes what nobody needs any more.
SELECT 'invalidations', CASE WHEN l.large THEN 'warning' ELSE 'ok' END,
       CASE WHEN l.large THEN 'the log of invalidations grows: what is old of it is not deleted'
            ELSE 'the log of invalidations has a fitting size' END,
       pg_size_pretty(l.bytes) || ' in the table invalidations',
       CASE WHEN l.large
            THEN 'end the transaction that has been open for long: see the findings transactions and prepared; when there is '
                 || 'none, run `pgcache cleanup`, and start a janitor in a process that lives long or set cleanup_chance'
            ELSE '' END
  FROM (SELECT s.bytes, s.bytes > 1073741824 AS large
          FROM (SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint AS bytes
                  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE c.relname = 'invalidations' AND n.nspname = :'schema') s) l
