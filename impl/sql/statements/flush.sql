-- Removes some of the entries, locking them in the order of their digests (see put_many.sql). $1 the first digest to look
-- at, $2 namespace (NULL: all), $3 how many at most. A row: how many were found, how many removed, the last digest found.
-- The commit waits for the disk, and what the change stream is told: see remove.sql.
-- From the all-zero digest on it removes nothing yet, and ends all loads that are under way, of whatever namespace; it says
-- that there are more entries, from the next digest on. A fill that was quicker is waited for, and its entry seen by the next statement.
-- @takes uuid, text, integer
-- @gives found bigint, removed bigint, last_digest uuid
WITH loading AS MATERIALIZED (
  SELECT l.digest FROM :"schema".leases l
   WHERE $1::uuid = '00000000-0000-0000-0000-000000000000'
   ORDER BY l.digest
     FOR UPDATE
), ended AS (
  DELETE FROM :"schema".leases l USING loading d WHERE l.digest = d.digest RETURNING l.digest
), found AS MATERIALIZED (
  SELECT e.digest FROM :"schema".entries e
   WHERE e.digest >= $1::uuid AND ($2::text IS NULL OR e.namespace = $2::text)
     AND $1::uuid <> '00000000-0000-0000-0000-000000000000'
     AND coalesce(CASE WHEN :logged AND current_setting('synchronous_commit') = 'off'
                       THEN set_config('synchronous_commit', 'local', true) END, 'on') <> 'off'
   ORDER BY e.digest
   LIMIT $3::int
     FOR UPDATE
), gone AS (
  DELETE FROM :"schema".entries e USING found f WHERE e.digest = f.digest
  RETURNING e.digest,
            coalesce((SELECT m.epoch FROM :"schema".marker m)::bigint << 47 | nextval(:'version_seq'),
                     9223372036854775807) AS version
)
-- @told
, told AS (
  INSERT INTO :"schema".changes (slot, kind, event)
  SELECT coalesce((SELECT m.slot FROM :"schema".marker m), 0), g.kind, string_agg(g.event, '')
    FROM (SELECT 0 AS kind, uuid_send(n.digest) || int8send(n.version) AS event, row_number() OVER () - 1 AS number FROM gone n
          UNION ALL
          SELECT 3, uuid_send(n.digest), row_number() OVER () - 1 FROM ended n) g
   GROUP BY g.kind, g.number / 100
)
-- @end
-- @untold
, untold AS (SELECT c.untold FROM :"schema".cache c)
-- @end
SELECT CASE WHEN $1::uuid = '00000000-0000-0000-0000-000000000000' THEN $3::int ELSE (SELECT count(*) FROM found) END,
       (SELECT count(*) FROM gone),
       CASE WHEN $1::uuid = '00000000-0000-0000-0000-000000000000' THEN '00000000-0000-0000-0000-000000000001'
            ELSE (SELECT f.digest FROM found f ORDER BY f.digest DESC LIMIT 1) END
