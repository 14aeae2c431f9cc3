-- What every connection of the library is set to, whatever the role or the database have. No parameters.
-- Deadlines are the client's: it closes the connection, and within a second the server notices and ends what it was doing
-- (where the server's system can tell it; PostgreSQL documentation, client_connection_check_interval).
-- A plan must not depend on how full the table was when it was made: indexes always, except for the statements that read
-- the whole table.
SELECT set_config('search_path', 'pg_catalog', false),
       set_config('default_transaction_isolation', 'read committed', false),
       set_config('statement_timeout', '0', false),
       set_config('lock_timeout', '0', false),
       set_config('client_connection_check_interval',
                  CASE WHEN version() ~* 'linux|darwin|apple|bsd' THEN '1s' ELSE '0' END, false),
       set_config('jit', 'off', false),
       set_config('plan_cache_mode', 'force_generic_plan', false),
       set_config('enable_seqscan', 'off', false),
       set_config('enable_bitmapscan', 'off', false)
