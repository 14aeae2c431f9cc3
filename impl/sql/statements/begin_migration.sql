-- One migration at a time in this database: the lock lasts until the end of the transaction.
BEGIN;
SET LOCAL synchronous_commit = on;
SELECT pg_advisory_xact_lock(x'70676361'::int, hashtext(:'schema'));
SELECT to_regclass(:'cache') IS NOT NULL
