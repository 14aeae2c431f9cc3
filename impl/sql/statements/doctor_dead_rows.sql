-- Versions of rows that are no more, in the table and in its out-of-line values, and when autovacuum last came by.
SELECT 'dead-rows', CASE WHEN s.much THEN 'warning' ELSE 'ok' END,
       CASE WHEN s.much THEN 'autovacuum does not keep up with the table of entries'
            ELSE 'autovacuum keeps up with the table of entries' END,
       format('%s dead and %s live rows, %s dead and %s live pieces of values out of line; last autovacuum %s', s.n_dead_tup,
              s.n_live_tup, s.toast_dead, s.toast_live, coalesce(to_char(s.last, 'YYYY-MM-DD HH24:MI:SS TZ'), 'never')),
       CASE WHEN s.much THEN 'see the findings autovacuum, transactions, prepared and slots for a cause; if all are ok, a lower '
                             || format('autovacuum_naptime than %s; then VACUUM ', current_setting('autovacuum_naptime'))
                             || format('%I.entries', :'schema') ELSE '' END
  FROM (SELECT h.n_dead_tup, h.n_live_tup, coalesce(t.n_dead_tup, 0) AS toast_dead,
               coalesce(t.n_live_tup, 0) AS toast_live, greatest(h.last_autovacuum, h.last_vacuum) AS last,
               h.n_dead_tup > 10000 AND h.n_dead_tup > 0.3 * h.n_live_tup
               OR coalesce(t.n_dead_tup > 10000 AND t.n_dead_tup > 0.3 * t.n_live_tup, false) AS much
          FROM pg_namespace n
          JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = 'entries'
          JOIN pg_stat_all_tables h ON h.relid = c.oid
          LEFT JOIN pg_stat_all_tables t ON t.relid = c.reltoastrelid
         WHERE n.nspname = :'schema') s
