-- Removes many entries, locking them in the order of their digests (see put_many.sql). $1 digests.
-- A row for each that was there: its digest, and was it alive? The commit waits for the disk, and what the change
-- stream is told: see remove.sql.
-- @takes uuid[]
-- @gives digest uuid, alive boolean
WITH locked AS MATERIALIZED (
  SELECT e.digest FROM :"schema".entries e
   WHERE e.digest = ANY ($1::uuid[])
     AND coalesce(CASE WHEN :logged AND current_setting('synchronous_commit') = 'off'
                       THEN set_config('synchronous_commit', 'local', true) END, 'on') <> 'off'
   ORDER BY e.digest
     FOR UPDATE
), gone AS (
  DELETE FROM :"schema".entries e USING locked l WHERE e.digest = l.digest
  RETURNING e.digest, e.expires_at > clock_timestamp() AS alive,
            coalesce((SELECT m.epoch FROM :"schema".marker m)::bigint << 47 | nextval(:'version_seq'),
                     9223372036854775807) AS version
), told AS (
  INSERT INTO :"schema".changes (slot, kind, event)
  SELECT coalesce((SELECT m.slot FROM :"schema".marker m), 0), 0,
         string_agg(uuid_send(g.digest) || int8send(g.version), '')
    FROM (SELECT n.*, row_number() OVER () - 1 AS number FROM gone n) g
   GROUP BY g.number / 100
)
SELECT g.digest, g.alive FROM gone g
