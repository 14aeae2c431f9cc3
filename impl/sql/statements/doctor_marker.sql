-- What versions are made of: the marker, the epoch and the sequence. Not on a standby, where these tables cannot be read.
WITH facts AS (
  SELECT c.epoch, (SELECT count(*) FROM :"schema".marker m) AS markers,
         (SELECT 100.0 * s.last_value / s.max_value
            FROM pg_sequences s WHERE s.schemaname = :'schema' AND s.sequencename = 'version_seq') AS used
    FROM :"schema".cache c
)
SELECT 'marker', CASE WHEN f.markers = 1 THEN 'ok' ELSE 'info' END,
       CASE WHEN f.markers = 1 THEN 'the unlogged tables are intact'
            ELSE 'the server lost the unlogged tables in a crash or fail-over, or somebody emptied them' END,
       format('%s rows in marker', f.markers),
       CASE WHEN f.markers = 1 THEN '' ELSE 'nothing to do: the next write raises the epoch and puts the row back' END
  FROM facts f
UNION ALL
SELECT 'versions', CASE WHEN f.epoch > 60000 OR f.used > 90 THEN 'warning' ELSE 'ok' END,
       CASE WHEN f.epoch > 60000 OR f.used > 90 THEN 'the numbers for versions run out' ELSE 'there are versions enough' END,
       format('epoch %s of 65535, sequence %s %% used', f.epoch, round(coalesce(f.used, 0), 1)),
       CASE WHEN f.epoch > 60000
            THEN format('when the cache may be emptied: DROP SCHEMA %I CASCADE, then `pgcache init`; and find out why the '
                        || 'server crashes so often', :'schema')
            WHEN f.used > 90
            THEN format('BEGIN; DELETE FROM %1$I.marker; ALTER SEQUENCE %1$I.version_seq RESTART; SELECT %1$I.new_epoch(); '
                        || 'COMMIT', :'schema')
            ELSE '' END
  FROM facts f
