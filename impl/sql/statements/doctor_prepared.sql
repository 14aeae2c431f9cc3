-- Transactions that were prepared and forgotten. Their names are the application's and are not shown. Time is as in
-- doctor_transactions.sql.
WITH holders AS (
  SELECT p.transaction, make_interval(secs => extract(epoch FROM clock_timestamp() - p.prepared)::float8) AS prepared_for,
         age(p.transaction) AS behind
    FROM pg_prepared_xacts p
   WHERE p.database = current_database()
     AND (p.prepared < clock_timestamp() - interval '5 minutes' OR age(p.transaction) > 250000)
   ORDER BY behind DESC
   LIMIT 10
)
SELECT 'prepared', 'warning', 'a prepared transaction holds back cleanup',
       format('transaction %s, prepared %s ago, %s transactions behind', h.transaction,
              to_char(h.prepared_for, 'HH24:MI:SS'), h.behind),
       format('COMMIT PREPARED or ROLLBACK PREPARED what SELECT gid FROM pg_prepared_xacts WHERE transaction = ''%s'' gives',
              h.transaction)
  FROM holders h
UNION ALL
SELECT 'prepared', 'ok', 'no prepared transaction holds back cleanup', 'none older than 5 minutes or 250000 transactions', ''
 WHERE NOT EXISTS (SELECT FROM holders)
