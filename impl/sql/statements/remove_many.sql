-- Removes many entries, locking them in the order of their digests (see put_many.sql). $1 digests.
-- A row for each that was there: its digest, and was it alive?
WITH locked AS MATERIALIZED (
  SELECT e.digest FROM :"schema".entries e WHERE e.digest = ANY ($1::uuid[]) ORDER BY e.digest FOR UPDATE
)
DELETE FROM :"schema".entries e USING locked l WHERE e.digest = l.digest
RETURNING e.digest, e.expires_at > clock_timestamp()
