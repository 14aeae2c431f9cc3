-- One migration at a time in this database: the lock lasts until the end of the transaction.
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL client_min_messages = warning;
SET LOCAL standard_conforming_strings = on;
SET LOCAL synchronous_commit = on;
SELECT pg_advisory_xact_lock(x'70676361'::int, hashtext(:'schema'));
SELECT to_regclass(:'cache') IS NOT NULL
