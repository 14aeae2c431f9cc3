-- Inside the application's transaction, which goes on: puts back what local_settings.sql found. $1 search_path,
-- $2 statement_timeout, $3 synchronous_commit, which remove.sql may have raised: what is removed in there is committed with
-- the rest, as the application chose, and is lost with the rest.
SELECT pg_catalog.set_config('search_path', $1::pg_catalog.text, true),
       pg_catalog.set_config('statement_timeout', $2::pg_catalog.text, true),
       pg_catalog.set_config('synchronous_commit', $3::pg_catalog.text, true)
