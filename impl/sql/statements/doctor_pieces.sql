-- Everything that the schema holds, as pure/schema_pieces.h names it. What PostgreSQL makes for each partition is left out.
SELECT k.kind, c.relname::text
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN (VALUES ('r'::"char", 'table'), ('p', 'table'), ('S', 'sequence'), ('v', 'view'), ('i', 'index'), ('I', 'index'))
       k (relkind, kind) ON k.relkind = c.relkind
 WHERE n.nspname = :'schema' AND NOT (k.kind = 'index' AND c.relispartition)
UNION ALL
SELECT 'column', c.relname || '.' || a.attname
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE n.nspname = :'schema' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
UNION ALL
SELECT 'function', p.proname::text
  FROM pg_proc p
  JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname = :'schema'
UNION ALL
SELECT 'option', c.relname || ' ' || o.prefix || o.setting
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
 CROSS JOIN LATERAL (SELECT '', unnest(c.reloptions) UNION ALL SELECT 'toast.', unnest(t.reloptions)) o (prefix, setting)
 WHERE n.nspname = :'schema' AND c.relkind IN ('r', 'p')
