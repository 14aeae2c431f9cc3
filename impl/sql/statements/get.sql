-- One entry. $1 digest
SELECT e.value, e.version, e.format, e.fresh_until, e.expires_at, clock_timestamp()
  FROM :"schema".entries e
 WHERE e.digest = $1::uuid AND e.expires_at > clock_timestamp()
