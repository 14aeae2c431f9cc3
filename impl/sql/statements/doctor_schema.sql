-- Is the schema there, may this role see into it, and how is the table of entries made. Reads the catalog alone, which
-- every role may.
SELECT n.oid IS NOT NULL, c.oid IS NOT NULL, e.relpersistence, pg_is_in_recovery(),
       coalesce(has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'), false),
       current_setting('default_transaction_read_only')::boolean,
       coalesce(has_schema_privilege(n.oid, 'USAGE') AND has_function_privilege(f.oid, 'EXECUTE'), false)
  FROM (SELECT) one
  LEFT JOIN pg_namespace n ON n.nspname = :'schema'
  LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = 'cache' AND c.relkind = 'r'
  LEFT JOIN pg_class e ON e.relnamespace = n.oid AND e.relname = 'entries' AND e.relkind IN ('r', 'p')
  LEFT JOIN pg_proc f ON f.pronamespace = n.oid AND f.proname = 'check_schema' AND f.pronargs = 1
