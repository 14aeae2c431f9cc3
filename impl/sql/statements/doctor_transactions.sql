-- Sessions whose snapshot keeps vacuum from removing dead rows of this database. Their statements are not looked at. Time is
-- in hours: a difference of times has days, which to_char() would leave out.
WITH holders AS (
  SELECT a.pid, coalesce(a.state, 'not to be seen') AS state,
         make_interval(secs => extract(epoch FROM clock_timestamp() - a.xact_start)::float8) AS open_for,
         greatest(age(a.backend_xmin), age(a.backend_xid)) AS behind
    FROM pg_stat_activity a
   WHERE a.pid <> pg_backend_pid() AND (a.datname = current_database() OR a.datname IS NULL)
     AND a.backend_type IS DISTINCT FROM 'autovacuum worker'
     AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
     AND (a.xact_start < clock_timestamp() - interval '5 minutes'
          OR greatest(age(a.backend_xmin), age(a.backend_xid)) > 250000)
   ORDER BY behind DESC
   LIMIT 10
)
SELECT 'transactions', 'warning', 'a long transaction holds back cleanup',
       format('process %s, %s, open for %s, %s transactions behind', h.pid, h.state,
              coalesce(to_char(h.open_for, 'HH24:MI:SS'), 'a time not to be seen'), h.behind),
       format('let it end, or SELECT pg_terminate_backend(%s); idle_in_transaction_session_timeout ends forgotten ones', h.pid)
  FROM holders h
UNION ALL
SELECT 'transactions', 'ok', 'no long transaction holds back cleanup', 'none older than 5 minutes or 250000 transactions', ''
 WHERE NOT EXISTS (SELECT FROM holders)
UNION ALL
SELECT 'transactions', 'info', 'the age of other roles'' transactions cannot be seen', 'the role is not a member of pg_read_all_stats',
       format('GRANT pg_read_all_stats TO %I', current_user)
 WHERE EXISTS (SELECT FROM pg_stat_activity a
                WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_type IS NULL)
