-- Is autovacuum on, for the server and for the table; and does it come by often enough for values that are stored out of line.
-- Of those what was overwritten is reused only after its next visit (rows in the table itself need none), and only the server's
-- autovacuum_naptime brings it sooner: impl/README.md, "Growth". What lives out of line is taken from the statistics,
-- 2 KiB for each piece and, of the two counts there are, the larger one: so it is rather taken for too much than for too little,
-- and no table is read.
SELECT 'autovacuum', CASE WHEN a.wrong IS NULL AND NOT a.rare THEN 'ok' ELSE 'warning' END,
       CASE WHEN a.wrong IS NOT NULL THEN 'autovacuum does not look after the table of entries'
            WHEN a.rare THEN 'autovacuum comes by too rarely for values that are stored out of line'
            ELSE 'autovacuum is on' END,
       coalesce(a.wrong, CASE WHEN a.rare THEN format('autovacuum_naptime = %s; %s on disk for values out of line, of which '
                                                      || 'about %s live', a.naptime, pg_size_pretty(a.disk),
                                                      pg_size_pretty(a.live)) END,
                format('autovacuum = on, track_counts = on, autovacuum_naptime = %s, not switched off for the table',
                       a.naptime)),
       CASE WHEN a.wrong IS NOT NULL THEN 'switch it on again: the table lives on updates, and grows without it'
            WHEN a.rare THEN 'ALTER SYSTEM SET autovacuum_naptime = ''5s'', and SELECT pg_reload_conf(): values of more than '
                             || '2 KiB that are rewritten take new room until the next visit'
            ELSE '' END
  FROM (SELECT nullif(concat_ws(', ',
                 CASE WHEN NOT current_setting('autovacuum')::boolean THEN 'autovacuum = off' END,
                 CASE WHEN NOT current_setting('track_counts')::boolean THEN 'track_counts = off' END,
                 (SELECT string_agg(format('%s on %s', o.setting, r.relname), ', ')
                    FROM pg_namespace n
                    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = 'entries'
                    JOIN pg_class r ON r.oid IN (c.oid, c.reltoastrelid)
                   CROSS JOIN unnest(r.reloptions) o (setting)
                   WHERE n.nspname = :'schema' AND o.setting ~* '^autovacuum_enabled=(f|false|no?|off?|0)$')), ''),
               current_setting('autovacuum_naptime'), l.disk, l.live,
               coalesce(current_setting('autovacuum_naptime')::interval > interval '5 seconds'
                        AND l.disk > 67108864 AND l.disk > 2 * l.live, false)
          FROM (SELECT max(pg_relation_size(r.oid)), max(greatest(t.n_live_tup, r.reltuples)::bigint) * 2048
                  FROM pg_namespace n
                  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = 'entries'
                  JOIN pg_class r ON r.oid = c.reltoastrelid
                  JOIN pg_stat_all_tables t ON t.relid = r.oid
                 WHERE n.nspname = :'schema') l (disk, live)) a (wrong, naptime, disk, live, rare)
