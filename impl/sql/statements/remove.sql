-- Removes an entry. $1 digest. One row when there was one: was it alive?
-- A logged entry that is gone must not come back after a crash, even where commits do not wait for the disk.
-- @takes uuid
-- @gives alive boolean
DELETE FROM :"schema".entries e
 WHERE e.digest = $1::uuid
   AND coalesce(CASE WHEN :logged AND current_setting('synchronous_commit') = 'off'
                     THEN set_config('synchronous_commit', 'local', true) END, 'on') <> 'off'
RETURNING e.expires_at > clock_timestamp()
