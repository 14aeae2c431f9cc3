-- What the statements of the library need and the role does not have. `reading`: without it even get fails. A role that has
-- not the table of entries but the functions for it needs those alone.
WITH place AS (
  SELECT n.oid, n.nspname, EXISTS (SELECT FROM pg_proc f WHERE f.pronamespace = n.oid AND f.proname = 'grant_access') AS gate,
         EXISTS (SELECT FROM pg_proc f WHERE f.pronamespace = n.oid AND f.proname = 'check_schema' AND f.prosecdef) AS told,
         p.held > 0 AS any_table, CASE WHEN p.held < 4 THEN p.prefix END AS functions
    FROM pg_namespace n
   CROSS JOIN LATERAL (
     SELECT (SELECT count(*)
               FROM pg_class c, unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) t (privilege)
              WHERE c.relnamespace = n.oid AND c.relname = 'entries' AND has_table_privilege(c.oid, t.privilege)),
            (SELECT min(split_part(f.proname, '_', 1))
               FROM pg_proc f
              WHERE f.pronamespace = n.oid AND f.proname IN ('library_get', 'restricted_get')
                AND has_function_privilege(f.oid, 'EXECUTE'))) p (held, prefix)
   WHERE n.nspname = :'schema'
), needed (reading, privilege, object, held) AS (
  SELECT true, 'USAGE', format('SCHEMA %I', l.nspname), has_schema_privilege(l.oid, 'USAGE')
    FROM place l
  UNION ALL
  SELECT p.reading AND NOT (c.relname = 'cache' AND l.told), p.privilege, format('TABLE %I.%I', l.nspname, c.relname),
         has_table_privilege(c.oid, p.privilege)
    FROM (VALUES ('cache', 'SELECT', true), ('entries', 'SELECT', true), ('entries', 'INSERT', false),
                 ('entries', 'UPDATE', false), ('entries', 'DELETE', false), ('marker', 'SELECT', false),
                 ('invalidations', 'SELECT', true), ('leases', 'SELECT', false), ('leases', 'INSERT', false),
                 ('leases', 'UPDATE', false), ('leases', 'DELETE', false),
                 ('changes', 'SELECT', false), ('relay', 'SELECT', false), ('relay', 'INSERT', false),
                 ('relay', 'UPDATE', false), ('marker', 'INSERT', false), ('cache', 'UPDATE', false)) p (relname, privilege, reading)
    JOIN place l ON l.functions IS NULL
    JOIN pg_class c ON c.relnamespace = l.oid AND c.relname = p.relname AND c.relkind IN ('r', 'p')
   -- The last two are those of new_epoch(), unless it runs with its owner's privileges.
   WHERE (p.relname, p.privilege) NOT IN (('marker', 'INSERT'), ('cache', 'UPDATE'))
      OR NOT EXISTS (SELECT FROM pg_proc f WHERE f.pronamespace = l.oid AND f.proname = 'new_epoch' AND f.prosecdef)
  UNION ALL
  SELECT false, format('INSERT (%s)', string_agg(a.attname, ', ' ORDER BY a.attnum)),
         format('TABLE %I.%I', l.nspname, c.relname), bool_and(has_column_privilege(c.oid, a.attnum, 'INSERT'))
    FROM place l
    JOIN pg_class c ON c.relnamespace = l.oid AND c.relname = 'changes'
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname IN ('slot', 'kind', 'event')
   WHERE l.functions IS NULL
   GROUP BY l.nspname, c.relname
  UNION ALL
  SELECT false, 'USAGE', format('SEQUENCE %I.%I', l.nspname, c.relname), has_sequence_privilege(c.oid, 'USAGE')
    FROM place l
    JOIN pg_class c ON c.relnamespace = l.oid AND c.relname = 'version_seq' AND c.relkind = 'S'
   WHERE l.functions IS NULL
  UNION ALL
  SELECT f.proname IN ('check_schema', 'library_get', 'restricted_get'), 'EXECUTE',
         format('FUNCTION %I.%I(%s)', l.nspname, f.proname, pg_get_function_identity_arguments(f.oid)),
         has_function_privilege(f.oid, 'EXECUTE')
    FROM place l
    JOIN pg_proc f ON f.pronamespace = l.oid
     AND (f.proname IN ('check_schema', 'new_epoch', 'truncate_entries', 'trim_changes') OR f.proname LIKE l.functions || '\_%')
), missing AS (
  SELECT bool_or(m.reading) AS reading, string_agg(m.privilege || ' ON ' || m.object, ', ') AS list,
         string_agg(format('GRANT %s ON %s TO %I', m.privilege, m.object, current_user), '; ') AS grants
    FROM needed m
   WHERE NOT m.held
)
SELECT 'grants', CASE WHEN m.list IS NULL THEN 'ok' WHEN m.reading THEN 'error' ELSE 'warning' END,
       CASE WHEN m.list IS NULL THEN 'the role has the privileges that the library needs'
            WHEN m.reading THEN 'the role lacks privileges that every call needs'
            ELSE 'the role lacks privileges that writing needs' END,
       format('role %I lacks %s', current_user, coalesce(m.list, 'nothing')),
       CASE WHEN m.list IS NULL THEN ''
            WHEN l.gate AND NOT l.any_table
            THEN format('run as the owner of the schema: SELECT %I.grant_access(%L)', l.nspname, current_user)
            ELSE 'run as the owner of the schema: ' || m.grants END
  FROM missing m
  LEFT JOIN place l ON true
