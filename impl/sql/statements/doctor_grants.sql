-- What the statements of the library need and the role does not have. `reading`: without it even get fails.
WITH needed (reading, privilege, object, held) AS (
  SELECT true, 'USAGE', format('SCHEMA %I', n.nspname), has_schema_privilege(n.oid, 'USAGE')
    FROM pg_namespace n
   WHERE n.nspname = :'schema'
  UNION ALL
  SELECT p.reading, p.privilege, format('TABLE %I.%I', n.nspname, c.relname), has_table_privilege(c.oid, p.privilege)
    FROM (VALUES ('cache', 'SELECT', true), ('entries', 'SELECT', true), ('entries', 'INSERT', false),
                 ('entries', 'UPDATE', false), ('entries', 'DELETE', false), ('marker', 'SELECT', false),
                 ('marker', 'INSERT', false), ('cache', 'UPDATE', false)) p (relname, privilege, reading)
    JOIN pg_namespace n ON n.nspname = :'schema'
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.relname AND c.relkind IN ('r', 'p')
   -- The last two are those of new_epoch(), unless it runs with its owner's privileges.
   WHERE (p.relname, p.privilege) NOT IN (('marker', 'INSERT'), ('cache', 'UPDATE'))
      OR NOT EXISTS (SELECT FROM pg_proc f WHERE f.pronamespace = n.oid AND f.proname = 'new_epoch' AND f.prosecdef)
  UNION ALL
  SELECT false, 'USAGE', format('SEQUENCE %I.%I', n.nspname, c.relname), has_sequence_privilege(c.oid, 'USAGE')
    FROM pg_namespace n
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = 'version_seq' AND c.relkind = 'S'
   WHERE n.nspname = :'schema'
  UNION ALL
  SELECT false, 'EXECUTE', format('FUNCTION %I.%I(%s)', n.nspname, f.proname, pg_get_function_identity_arguments(f.oid)),
         has_function_privilege(f.oid, 'EXECUTE')
    FROM pg_namespace n
    JOIN pg_proc f ON f.pronamespace = n.oid AND f.proname IN ('new_epoch', 'truncate_entries')
   WHERE n.nspname = :'schema'
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
       coalesce('run as the owner of the schema: ' || m.grants, '')
  FROM missing m
