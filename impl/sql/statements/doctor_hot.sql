-- How many updates stayed on their page, so that no index had to be touched. A share of few updates says nothing.
SELECT 'hot-updates', CASE WHEN h.bad THEN 'warning' ELSE 'ok' END,
       CASE WHEN h.bad THEN 'most updates of entries are not HOT'
            WHEN h.n_tup_upd < 10000 THEN 'too few updates to judge whether they are HOT'
            ELSE 'updates of entries are HOT' END,
       format('%s of %s updates were HOT; the table has %s %s', h.n_tup_hot_upd, h.n_tup_upd, h.indexes,
              CASE h.indexes WHEN 1 THEN 'index' ELSE 'indexes' END),
       CASE WHEN h.bad AND h.indexes > 1 THEN 'drop the indexes that the cache did not make'
            WHEN h.bad THEN 'large values leave no room on the page: see the setting values; a lower fillfactor makes room'
            ELSE '' END
  FROM (SELECT s.n_tup_hot_upd, s.n_tup_upd, s.n_tup_upd >= 10000 AND s.n_tup_hot_upd < 0.5 * s.n_tup_upd AS bad,
               (SELECT count(*) FROM pg_index i WHERE i.indrelid = s.relid) AS indexes
          FROM pg_stat_all_tables s
         WHERE s.schemaname = :'schema' AND s.relname = 'entries') h
