-- Removes an entry. $1 digest. One row when there was one: was it alive?
-- A logged entry that is gone must not come back after a crash, even where commits do not wait for the disk.
-- What the change stream is told has a version of its own, drawn with the row locked: higher than the entry's, lower than
-- that of any later one. While the marker is gone the entry is removed all the same, and the stream is told of the highest
-- version there is: the row may be committed after the marker was put back, when others read the stream again.
-- @takes uuid
-- @gives alive boolean
WITH gone AS (
  DELETE FROM :"schema".entries e
   WHERE e.digest = $1::uuid
     AND coalesce(CASE WHEN :logged AND current_setting('synchronous_commit') = 'off'
                       THEN set_config('synchronous_commit', 'local', true) END, 'on') <> 'off'
  RETURNING e.expires_at > clock_timestamp() AS alive,
            coalesce((SELECT m.epoch FROM :"schema".marker m)::bigint << 47 | nextval(:'version_seq'),
                     9223372036854775807) AS version
), told AS (
  INSERT INTO :"schema".changes (slot, kind, event)
  SELECT coalesce((SELECT m.slot FROM :"schema".marker m), 0), 0, uuid_send($1::uuid) || int8send(g.version) FROM gone g
)
SELECT g.alive FROM gone g
