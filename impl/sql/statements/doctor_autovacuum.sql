-- Is autovacuum on, for the server and for the table.
SELECT 'autovacuum', CASE WHEN a.wrong IS NULL THEN 'ok' ELSE 'warning' END,
       CASE WHEN a.wrong IS NULL THEN 'autovacuum is on' ELSE 'autovacuum does not look after the table of entries' END,
       coalesce(a.wrong, 'autovacuum = on, track_counts = on, not switched off for the table'),
       CASE WHEN a.wrong IS NULL THEN '' ELSE 'switch it on again: the table lives on updates, and grows without it' END
  FROM (SELECT nullif(concat_ws(', ',
                 CASE WHEN NOT current_setting('autovacuum')::boolean THEN 'autovacuum = off' END,
                 CASE WHEN NOT current_setting('track_counts')::boolean THEN 'track_counts = off' END,
                 (SELECT string_agg(format('%s on %s', o.setting, r.relname), ', ')
                    FROM pg_namespace n
                    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = 'entries'
                    JOIN pg_class r ON r.oid IN (c.oid, c.reltoastrelid)
                   CROSS JOIN unnest(r.reloptions) o (setting)
                   WHERE n.nspname = :'schema' AND o.setting ~* '^autovacuum_enabled=(f|false|no?|off?|0)$')), '')) a (wrong)
