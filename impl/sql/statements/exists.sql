-- $1 digest. Time is as in get.sql.
SELECT FROM :"schema".entries e WHERE e.digest = $1::uuid AND e.expires_at > statement_timestamp()
