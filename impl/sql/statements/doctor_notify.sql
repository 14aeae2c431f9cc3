-- How full the queue of notifications is, which a single session that never looks can fill for all.
SELECT 'notifications', CASE WHEN q.usage > 0.75 THEN 'error' WHEN q.usage > 0.25 THEN 'warning' ELSE 'ok' END,
       CASE WHEN q.usage > 0.25 THEN 'the queue of notifications fills up; when it is full, NOTIFY fails at commit'
            ELSE 'the queue of notifications has room' END,
       format('%s %% used', round((100 * q.usage)::numeric, 1)),
       CASE WHEN q.usage > 0.25
            THEN 'end the session that listens and has been in one transaction for long: see the finding transactions' ELSE '' END
  FROM (SELECT pg_notification_queue_usage()) q (usage)
