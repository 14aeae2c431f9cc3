-- Settings of the server that matter to the logged parts: the epoch, and the entries of a logged table.
SELECT 'durability', CASE WHEN d.words IS NULL THEN 'ok' ELSE 'info' END,
       CASE WHEN d.words IS NULL THEN 'the server keeps what it has committed'
            ELSE 'settings of the server that a logged table feels' END,
       coalesce(d.words, 'fsync = on, full_page_writes = on'),
       CASE WHEN d.words IS NULL THEN '' ELSE 'fine if you chose it so' END
  FROM (SELECT nullif(concat_ws(', ',
                 CASE WHEN NOT current_setting('fsync')::boolean
                      THEN 'fsync = off: after a crash of the machine the cache can be damaged like every other table' END,
                 CASE WHEN NOT current_setting('full_page_writes')::boolean THEN 'full_page_writes = off' END,
                 CASE WHEN current_setting('synchronous_standby_names') <> '' AND c.relpersistence = 'p'
                           AND current_setting('synchronous_commit') IN ('on', 'remote_write', 'remote_apply')
                      THEN 'synchronous_standby_names is set: each write waits for a standby' END), '')
          FROM (SELECT) one
          LEFT JOIN pg_namespace n ON n.nspname = :'schema'
          LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = 'entries') d (words)
