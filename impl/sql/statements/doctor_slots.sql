-- Replication slots that keep dead rows for a standby or a subscriber.
WITH holders AS (
  SELECT s.slot_name, s.active, age(s.xmin) AS behind
    FROM pg_replication_slots s
   WHERE s.xmin IS NOT NULL AND (NOT s.active OR age(s.xmin) > 250000)
   ORDER BY behind DESC
   LIMIT 10
)
SELECT 'slots', 'warning', 'a replication slot holds back cleanup',
       format('slot %s, %s, %s transactions behind', h.slot_name, CASE WHEN h.active THEN 'in use' ELSE 'not in use' END,
              h.behind),
       CASE WHEN h.active THEN 'end long queries on the standby that uses it, or switch its hot_standby_feedback off'
            ELSE format('bring back who uses it, or SELECT pg_drop_replication_slot(%L)', h.slot_name) END
  FROM holders h
UNION ALL
SELECT 'slots', 'ok', 'no replication slot holds back cleanup', 'none unused with a horizon, or 250000 transactions behind', ''
 WHERE NOT EXISTS (SELECT FROM holders)
