-- What every connection of the library is set to, whatever the role or the database have.
-- $1 the process number that the server gave when the connection was opened. A pooler gives one of its own: then there is no
-- row, and nothing is set on a session that others use, too.
-- Deadlines are the client's: it closes the connection, and within a second the server notices and ends what it was doing
-- (where the server's system can tell it; PostgreSQL documentation, client_connection_check_interval).
-- A plan must not depend on how full the table was when it was made: indexes always, except for the statements that read
-- the whole table.
SELECT pg_catalog.set_config('search_path', 'pg_catalog', false),
       pg_catalog.set_config('default_transaction_isolation', 'read committed', false),
       pg_catalog.set_config('statement_timeout', '0', false),
       pg_catalog.set_config('lock_timeout', '0', false),
       pg_catalog.set_config('client_connection_check_interval',
         CASE WHEN pg_catalog.version() OPERATOR(pg_catalog.~*) 'linux|darwin|apple|bsd' THEN '1s' ELSE '0' END, false),
       pg_catalog.set_config('jit', 'off', false),
       pg_catalog.set_config('plan_cache_mode', 'force_generic_plan', false),
       pg_catalog.set_config('enable_seqscan', 'off', false),
       pg_catalog.set_config('enable_bitmapscan', 'off', false)
 WHERE pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.=) $1::integer
