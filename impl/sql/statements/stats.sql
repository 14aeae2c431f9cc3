-- Counts the entries. No parameters.
-- @takes
-- @gives entries bigint, expired bigint, value_bytes bigint, relation_bytes bigint, schema_version integer,
-- @gives epoch integer, logged boolean
-- @stable
SELECT count(*) FILTER (WHERE e.expires_at > clock_timestamp()),
       count(*) FILTER (WHERE e.expires_at <= clock_timestamp()),
       coalesce(sum(octet_length(e.value)), 0)::bigint,
       pg_total_relation_size(:'entries'),
       (SELECT c.schema_version FROM :"schema".cache c),
       (SELECT c.epoch FROM :"schema".cache c),
       (SELECT c.logged FROM :"schema".cache c)
  FROM :"schema".entries e
