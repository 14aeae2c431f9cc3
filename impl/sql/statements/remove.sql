-- Removes an entry. $1 digest. One row when there was one: was it alive?
DELETE FROM :"schema".entries e WHERE e.digest = $1::uuid RETURNING e.expires_at > clock_timestamp()
