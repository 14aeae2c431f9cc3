-- Inside the application's transaction, which goes on: puts back what local_settings.sql found. $1 search_path,
-- $2 statement_timeout
SELECT pg_catalog.set_config('search_path', $1::pg_catalog.text, true),
       pg_catalog.set_config('statement_timeout', $2::pg_catalog.text, true)
