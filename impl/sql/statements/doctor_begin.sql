-- What each check of the doctor begins with, in one transaction with it: it changes nothing, waits for nobody for long, and
-- may read the whole table. On a session that is not ours search_path may be any: names here are qualified, and it is set
-- for those that follow.
SELECT pg_catalog.set_config('transaction_read_only', 'on', true), pg_catalog.set_config('lock_timeout', '1s', true),
       pg_catalog.set_config('statement_timeout', '10s', true), pg_catalog.set_config('enable_seqscan', 'on', true),
       pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
