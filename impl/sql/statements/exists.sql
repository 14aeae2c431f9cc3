-- $1 digest
SELECT FROM :"schema".entries e WHERE e.digest = $1::uuid AND e.expires_at > clock_timestamp()
