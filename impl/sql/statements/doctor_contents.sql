-- What the table takes on disk against what lives in it, and what has expired and is still there. Reads the table, not its
-- out-of-line values. A row's own columns take about 200 bytes beside what is counted.
WITH content AS (
  SELECT count(*) AS total, count(*) FILTER (WHERE e.expires_at <= clock_timestamp()) AS expired,
         coalesce(sum(octet_length(e.value) + coalesce(octet_length(e.key), 0) + 200)::bigint, 0) AS bytes,
         min(e.expires_at) AS first_expiry, pg_total_relation_size(:'entries') AS disk
    FROM :"schema".entries e
), judged AS (
  SELECT c.*, c.disk > 67108864 AND c.disk > 4 * c.bytes AS bloated,
         c.expired >= 1000 AND c.expired >= 0.2 * c.total AND c.first_expiry < clock_timestamp() - interval '1 hour'
         AS forgotten
    FROM content c
)
SELECT 'bloat', CASE WHEN j.bloated THEN 'warning' ELSE 'ok' END,
       CASE WHEN j.bloated THEN 'the table of entries is much larger than what lives in it'
            ELSE 'the table of entries has a fitting size' END,
       format('%s on disk for %s in %s rows', pg_size_pretty(j.disk), pg_size_pretty(j.bytes), j.total),
       CASE WHEN j.bloated THEN 'see the findings autovacuum, dead-rows, transactions, prepared and slots for a cause; if all are '
                                || 'ok, the cache once held more. Then, when nobody minds a lock, '
                                || format('VACUUM FULL %I.entries, or flush the cache', :'schema') ELSE '' END
  FROM judged j
UNION ALL
SELECT 'expired', CASE WHEN j.forgotten THEN 'warning' ELSE 'ok' END,
       CASE WHEN j.forgotten THEN 'expired rows pile up: nobody cleans up'
            ELSE 'expired rows do not pile up' END,
       format('%s of %s rows have expired, the first of them %s', j.expired, j.total,
              CASE WHEN j.expired > 0 THEN to_char(clock_timestamp() - j.first_expiry, 'DDD "days" HH24:MI:SS') || ' ago'
                   ELSE '-' END),
       CASE WHEN j.forgotten THEN 'run `pgcache cleanup` now, and regularly' ELSE '' END
  FROM judged j
