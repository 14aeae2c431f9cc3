-- Removes some of the entries, locking them in the order of their digests (see put_many.sql). $1 the first digest to look
-- at, $2 namespace (NULL: all), $3 how many at most. A row: how many were found, how many removed, the last digest found.
-- The commit waits for the disk, and what the change stream is told: see remove.sql.
-- @takes uuid, text, integer
-- @gives found bigint, removed bigint, last_digest uuid
WITH found AS MATERIALIZED (
  SELECT e.digest FROM :"schema".entries e
   WHERE e.digest >= $1::uuid AND ($2::text IS NULL OR e.namespace = $2::text)
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
), told AS (
  INSERT INTO :"schema".changes (slot, kind, event)
  SELECT coalesce((SELECT m.slot FROM :"schema".marker m), 0), 0,
         string_agg(uuid_send(g.digest) || int8send(g.version), '')
    FROM (SELECT n.*, row_number() OVER () - 1 AS number FROM gone n) g
   GROUP BY g.number / 100
)
SELECT (SELECT count(*) FROM found), (SELECT count(*) FROM gone),
       (SELECT f.digest FROM found f ORDER BY f.digest DESC LIMIT 1)
