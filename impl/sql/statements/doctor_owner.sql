-- Functions that run with their owner's rights, when the owner is a superuser and others may execute them: a mistake in one
-- of them, or a function that somebody changes, would then give away the whole server.
WITH executors AS (
  SELECT p.oid AS function, o.rolname AS owner, coalesce(quote_ident(r.rolname), 'PUBLIC') AS role
    FROM pg_namespace n
    JOIN pg_proc p ON p.pronamespace = n.oid AND p.prosecdef
    JOIN pg_roles o ON o.oid = p.proowner AND o.rolsuper
   CROSS JOIN aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
    LEFT JOIN pg_roles r ON r.oid = a.grantee
   WHERE n.nspname = :'schema' AND r.rolsuper IS NOT TRUE
), judged AS (
  SELECT count(DISTINCT e.function) AS functions, min(e.owner) AS owner, count(DISTINCT e.role) AS roles, min(e.role) AS role
    FROM executors e
)
SELECT 'owner', CASE WHEN j.functions = 0 THEN 'ok' ELSE 'warning' END,
       CASE WHEN j.functions = 0 THEN 'no functions of the schema are executed with the rights of a superuser'
            ELSE 'other roles execute functions of the schema with the rights of a superuser' END,
       CASE WHEN j.functions = 0 THEN 'none with a superuser''s rights that others may execute'
            ELSE format('%s functions run with the rights of %I and may be executed by %s', j.functions, j.owner,
                        CASE j.roles WHEN 1 THEN j.role ELSE format('%s roles, %s for one', j.roles, j.role) END) END,
       CASE WHEN j.functions = 0 THEN ''
            ELSE format('DROP SCHEMA %I CASCADE, then `pgcache init --app-role`, which makes an owner that is no superuser; '
                        || 'nothing but the cache''s content is lost', :'schema') END
  FROM judged j
