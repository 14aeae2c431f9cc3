-- Removes many entries, locking them in the order of their digests (see put_many.sql). $1 digests.
-- A row for each that was there: its digest, and was it alive? The commit waits for the disk, see remove.sql.
-- @takes uuid[]
-- @gives digest uuid, alive boolean
WITH locked AS MATERIALIZED (
  SELECT e.digest FROM :"schema".entries e
   WHERE e.digest = ANY ($1::uuid[])
     AND coalesce(CASE WHEN :logged AND current_setting('synchronous_commit') = 'off'
                       THEN set_config('synchronous_commit', 'local', true) END, 'on') <> 'off'
   ORDER BY e.digest
     FOR UPDATE
)
DELETE FROM :"schema".entries e USING locked l WHERE e.digest = l.digest
RETURNING e.digest, e.expires_at > clock_timestamp()
