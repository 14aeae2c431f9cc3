-- Makes the roles that the settings app_role and owner_role name, where they are missing, and goes on as the owner until the
-- end of the transaction. A schema that is there keeps its owner. Roles belong to the whole cluster: another database's init
-- may make the same one at the same time.
DO $$
DECLARE
  owner      name := (SELECT pg_get_userbyid(c.relowner) FROM pg_class c WHERE c.oid = to_regclass(:'cache'));
  new_cache  CONSTANT boolean := owner IS NULL;
  restricted name; -- see make_restricted() of 0001_roles.sql
  wanted     name;
  -- Since 16 who makes a role is a member of it that may not act as it, until it is granted.
  acting     CONSTANT text := CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
  owner := coalesce(owner, :'owner_role');
  restricted := CASE WHEN :'app_namespaces' <> '' THEN left(owner, 52) || '_restricted' END;
  FOREACH wanted IN ARRAY array_remove(ARRAY[owner, :'app_role', restricted], NULL) LOOP
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = wanted) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
      EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;
      END;
    END IF;
  END LOOP;
  IF new_cache AND (SELECT r.rolcanlogin OR r.rolsuper FROM pg_roles r WHERE r.rolname = owner) THEN
    RAISE insufficient_privilege USING MESSAGE = format('the role %I can log in and must not own the cache; set owner_role', owner);
  END IF;
  IF NOT pg_has_role(owner, acting) THEN
    EXECUTE format('GRANT %I TO %I', owner, current_user);
  END IF;
  IF restricted IS NOT NULL AND NOT pg_has_role(owner, restricted, acting) THEN
    EXECUTE format('GRANT %I TO %I', restricted, owner);
  END IF;
  IF to_regnamespace(:'schema') IS NULL THEN
    EXECUTE format('CREATE SCHEMA :"schema" AUTHORIZATION %I', owner);
  ELSIF new_cache THEN
    EXECUTE format('GRANT ALL ON SCHEMA :"schema" TO %I WITH GRANT OPTION', owner);
  END IF;
  PERFORM set_config('role', owner, true);
END $$
