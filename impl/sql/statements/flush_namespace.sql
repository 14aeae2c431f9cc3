-- Removes all entries of a namespace. $1 namespace
WITH gone AS (DELETE FROM :"schema".entries e WHERE e.namespace = $1::text RETURNING 1)
SELECT count(*) FROM gone
