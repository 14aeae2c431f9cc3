-- Makes a lease last for $3 ms from now, an hour at most. $1 digest, $2 token. One row: was it still there?
-- @takes uuid, uuid, bigint
-- @gives extended boolean
WITH extended AS (
  UPDATE :"schema".leases l SET deadline = clock_timestamp() + least($3::bigint, 3600000) * interval '1 millisecond'
   WHERE l.digest = $1::uuid AND l.token = $2::uuid AND l.deadline > clock_timestamp()
  RETURNING 1
)
SELECT EXISTS (SELECT FROM extended)
