-- What every connection of the library is set to, whatever the role or the database have. $1 longest statement in ms
-- A plan must not depend on how full the table was when it was made: indexes always, except for the statements that read
-- the whole table.
SELECT set_config('search_path', 'pg_catalog', false),
       set_config('default_transaction_isolation', 'read committed', false),
       set_config('statement_timeout', $1::text, false),
       set_config('lock_timeout', $1::text, false),
       set_config('jit', 'off', false),
       set_config('plan_cache_mode', 'force_generic_plan', false),
       set_config('enable_seqscan', 'off', false)
