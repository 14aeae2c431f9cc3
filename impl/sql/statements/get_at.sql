-- One entry as it is at a moment of the caller's choice, for the SQL functions: within a long statement of the application
-- statement_timestamp() would be long ago. $1 digest, $2 the moment, which is before this statement's snapshot.
-- @takes uuid, timestamptz
-- @gives value bytea, format integer, flags integer
-- @stable
SELECT e.value, e.format, e.flags FROM :"schema".entries e WHERE e.digest = $1::uuid AND e.expires_at > $2::timestamptz
