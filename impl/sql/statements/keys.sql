-- A page of a namespace's keys in the order of their bytes. $1 namespace, $2 prefix, $3 end of the prefix's range (NULL:
-- none), $4 only keys behind this one, $5 how many. Time is as in get.sql.
-- @takes text, bytea, bytea, bytea, integer
-- @gives key bytea, version bigint, format integer, fresh_until timestamptz,
-- @gives expires_at timestamptz, now timestamptz
SELECT e.key, e.version, e.format, e.fresh_until, e.expires_at, :now
  FROM :"schema".entries e
 WHERE e.namespace = $1::text AND e.key >= $2::bytea AND ($3::bytea IS NULL OR e.key < $3::bytea) AND e.key > $4::bytea
   AND e.expires_at > :now AND e.flags & 64 = 0 -- that there is no value is no entry
 ORDER BY e.key
 LIMIT $5::int
