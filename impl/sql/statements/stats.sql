-- Counts the entries. No parameters.
SELECT count(*) FILTER (WHERE e.expires_at > clock_timestamp()),
       count(*) FILTER (WHERE e.expires_at <= clock_timestamp()),
       coalesce(sum(octet_length(e.value)), 0)::bigint,
       pg_total_relation_size(:'entries'),
       (SELECT c.schema_version FROM :"schema".cache c),
       (SELECT c.epoch FROM :"schema".cache c),
       (SELECT c.logged FROM :"schema".cache c)
  FROM :"schema".entries e
