-- A page of what the namespaces hold. $1 only those behind this one (NULL: from the beginning), $2 how many.
SELECT u.namespace, u.entries, u.bytes, u.expired, u.max_entries, u.max_bytes
  FROM :"schema".usage() u
 WHERE $1::text IS NULL OR u.namespace COLLATE "C" > $1::text
 ORDER BY u.namespace COLLATE "C"
 LIMIT $2::int
