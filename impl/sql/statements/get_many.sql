-- Many entries, in no particular order. $1 digests. Time is as in get.sql.
SELECT e.value, e.version, e.format, e.fresh_until, e.expires_at, statement_timestamp(), e.flags, e.digest
  FROM :"schema".entries e
 WHERE e.digest = ANY ($1::uuid[]) AND e.expires_at > statement_timestamp()
