-- Many entries, in no particular order. $1 digests
SELECT e.value, e.version, e.format, e.fresh_until, e.expires_at, clock_timestamp(), e.digest
  FROM :"schema".entries e
 WHERE e.digest = ANY ($1::uuid[]) AND e.expires_at > clock_timestamp()
