-- Notes that entries were read. $1 digests, sorted, $2 how old a stamp is left as it is, in ms. A row: how many were noted.
-- It is no write of the caller: the version stays, and whoever is at a row is passed by. Rows are locked in the order of
-- their digests all the same (see put_many.sql), because the update waits for nobody then.
-- @takes uuid[], bigint
-- @gives touched bigint
WITH stale AS MATERIALIZED (
  SELECT e.digest FROM :"schema".entries e
   WHERE e.digest = ANY ($1::uuid[]) AND e.accessed_at < clock_timestamp() - $2::bigint * interval '1 millisecond'
     AND e.expires_at > clock_timestamp()
   ORDER BY e.digest
     FOR NO KEY UPDATE SKIP LOCKED
), noted AS (
  UPDATE :"schema".entries e SET accessed_at = clock_timestamp() FROM stale s WHERE e.digest = s.digest RETURNING 1
)
SELECT count(*) FROM noted
