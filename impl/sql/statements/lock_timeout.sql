-- How long a statement waits for a lock, for the rest of the session. $1 in milliseconds as text, '0': as long as it takes
SELECT pg_catalog.set_config('lock_timeout', $1::text, false)
