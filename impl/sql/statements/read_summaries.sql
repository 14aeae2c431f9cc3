-- A page of what processes have published. $1 only origins behind this one (NULL: from the beginning), $2 how many. The moment
-- is in ms since 1970.
SELECT s.origin, floor(extract(epoch FROM s.at) * 1000)::bigint, s.bytes
  FROM :"schema".read_summaries($1::text, $2::int) s
