-- How large the change stream is, of which about two minutes are kept.
SELECT 'changes', CASE WHEN j.large THEN 'warning' ELSE 'ok' END,
       CASE WHEN j.large THEN 'the change stream grows: what is old of it is not removed'
            ELSE 'the change stream has a fitting size' END,
       pg_size_pretty(j.bytes) || ' in the partitions of changes',
       CASE WHEN j.large
            THEN 'end the transaction that has been open for long and reads or writes it: see the findings transactions and '
                 || format('prepared; when there is none, see to it that somebody calls SELECT %I.trim_changes(): ',
                           :'schema') || 'a process with a near cache or a janitor does, or `pgcache cleanup`' ELSE '' END
  FROM (SELECT s.bytes, s.bytes > 2147483648 AS large
          FROM (SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint AS bytes
                  FROM pg_inherits i
                  JOIN pg_class p ON p.oid = i.inhparent AND p.relname = 'changes'
                  JOIN pg_namespace n ON n.oid = p.relnamespace AND n.nspname = :'schema'
                  JOIN pg_class c ON c.oid = i.inhrelid) s) j
