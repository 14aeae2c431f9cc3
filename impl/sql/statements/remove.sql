-- Removes an entry. $1 digest. One row when there was one: was it alive? A stale one, one that says that there is no value
-- and one that was invalidated are not.
-- A logged entry that is gone must not come back after a crash, even where commits do not wait for the disk.
-- What the change stream is told has a version of its own, drawn with the row locked: higher than the entry's, lower than
-- that of any later one. While the marker is gone the entry is removed all the same, and the stream is told of the highest
-- version there is: the row may be committed after the marker was put back, when others read the stream again.
-- A load that is under way is ended, by remove_loading(), in 0001_functions.sql.
-- @takes uuid
-- @gives alive boolean
WITH loading AS MATERIALIZED (
  SELECT l.digest FROM :"schema".leases l WHERE l.digest = $1::uuid
), gone AS (
  DELETE FROM :"schema".entries e
   WHERE e.digest = $1::uuid AND NOT EXISTS (SELECT FROM loading)
     AND coalesce(CASE WHEN :logged AND current_setting('synchronous_commit') = 'off'
                       THEN set_config('synchronous_commit', 'local', true) END, 'on') <> 'off'
  RETURNING e.fresh_until > clock_timestamp() AND e.flags & 64 = 0
            AND NOT EXISTS (SELECT FROM :"schema".invalidations i
                             WHERE i.digest = ANY (e.dependencies) AND i.xid >= e.asof
                               AND (e.snapshot IS NULL OR NOT pg_visible_in_snapshot(i.xid, e.snapshot))) AS alive,
            coalesce((SELECT m.epoch FROM :"schema".marker m)::bigint << 47 | nextval(:'version_seq'),
                     9223372036854775807) AS version
), removed AS (
  SELECT g.alive, g.version FROM gone g
  UNION ALL
  SELECT r.alive, r.version FROM loading l CROSS JOIN LATERAL :"schema".remove_loading(ARRAY[l.digest]) r
)
-- @told
, told AS (
  INSERT INTO :"schema".changes (slot, kind, event)
  SELECT coalesce((SELECT m.slot FROM :"schema".marker m), 0), 0, uuid_send($1::uuid) || int8send(r.version) FROM removed r
)
-- @end
-- @untold
, untold AS (SELECT c.untold FROM :"schema".cache c)
-- @end
SELECT r.alive FROM removed r
