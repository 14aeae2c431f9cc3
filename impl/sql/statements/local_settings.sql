-- What a statement needs that is not prepared on a session of ours, set for its transaction only. It runs before it, in the
-- same round trip, under whatever search_path the session has: so every name here is qualified or a keyword.
-- $1 the ms until the deadline: then the server ends the statement, and the connection lives on. A shorter limit stays.
-- $2 the ms that it waits for a lock, or NULL: as long as the session would.
-- A row: what was set of all that a statement sets until the end of its transaction, for restore_settings.sql; the last
-- column is the transaction's isolation level.
SELECT pg_catalog.current_setting('search_path'), pg_catalog.current_setting('statement_timeout'),
       pg_catalog.current_setting('synchronous_commit'),
       pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true),
       pg_catalog.set_config('statement_timeout',
         LEAST($1::bigint, CASE WHEN t.ms OPERATOR(pg_catalog.>) 0 THEN t.ms END)::pg_catalog.text, true),
       CASE WHEN $2::pg_catalog.text IS NOT NULL THEN pg_catalog.set_config('lock_timeout', $2::pg_catalog.text, true) END,
       pg_catalog.current_setting('transaction_isolation')
  FROM (SELECT (extract(epoch FROM pg_catalog.current_setting('statement_timeout')::interval)
                OPERATOR(pg_catalog.*) 1000)::bigint AS ms) t
