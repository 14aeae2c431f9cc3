-- Schema version 1, last part: who may do what. Nobody but the schema's owner may do anything, until grant_access() lets a
-- role in:
--   functions   USAGE on the schema and EXECUTE on the SQL API and on library_*, nothing else
--   tables      in addition what the library's own statements need on the tables, which is a little faster
-- A role that is kept to some namespaces gets EXECUTE on restricted_* in place of library_*: the same functions, owned by a
-- role of their own that row-level security keeps to the namespaces of whoever calls. So nobody else pays for it.

-- The namespaces of the role that the session acts as: the one of SET ROLE, or else the one that logged in (inside of a
-- SECURITY DEFINER function current_user would be the function's owner). Also what it inherits from other roles counts.
CREATE FUNCTION :"schema".granted_namespaces() RETURNS text[]
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  acting name := CASE current_setting('role') WHEN 'none' THEN session_user ELSE current_setting('role')::name END;
BEGIN
  RETURN coalesce((SELECT array_agg(n.name)
                     FROM :"schema".roles r JOIN pg_roles p ON p.rolname = r.name, unnest(r.namespaces) AS n(name)
                    WHERE pg_has_role(acting, p.oid, 'USAGE')), '{}');
END $$;

-- Makes the functions restricted_* from library_*, or makes them anew, and the role that owns them. It reads and writes the
-- table under row-level security; a key has to be given in clear and to be the one of its digest, or else the entries of
-- another namespace could be supplanted.
CREATE FUNCTION :"schema".make_restricted(owner name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  f record;
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = owner) THEN
    EXECUTE format('CREATE ROLE %I NOLOGIN', owner);
  ELSIF (SELECT r.rolcanlogin OR r.rolsuper OR r.rolbypassrls FROM pg_roles r WHERE r.rolname = owner) THEN
    RAISE 'pgcache: the role % can log in or bypass row-level security, and must not: ALTER ROLE ... NOLOGIN NOSUPERUSER NOBYPASSRLS',
      owner USING ERRCODE = 'insufficient_privilege';
  END IF;
  EXECUTE format('GRANT USAGE, CREATE ON SCHEMA :"schema" TO %I', owner); -- CREATE: to be given the functions below
  EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON :"schema".entries TO %I', owner);
  EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON :"schema".leases TO %I', owner);
  EXECUTE format('GRANT SELECT ON :"schema".marker, :"schema".cache, :"schema".invalidations, :"schema".watched TO %I', owner);
  EXECUTE format('GRANT SELECT, INSERT (slot, kind, event) ON :"schema".changes TO %I', owner);
  EXECUTE format('GRANT SELECT, INSERT, UPDATE ON :"schema".relay TO %I', owner);
  EXECUTE format('GRANT USAGE ON SEQUENCE :"schema".version_seq TO %I', owner);
  EXECUTE format('GRANT EXECUTE ON FUNCTION :"schema".granted_namespaces(), :"schema".digest(bytea, text),
                  :"schema".take_lease(uuid, uuid, bigint, boolean), :"schema".remove_loading(uuid[]) TO %I', owner);
  DROP POLICY IF EXISTS restricted ON :"schema".entries;
  EXECUTE format('CREATE POLICY restricted ON :"schema".entries TO %I
                  USING (namespace = ANY ((SELECT :"schema".granted_namespaces())::text[]))
                  WITH CHECK (namespace = ANY ((SELECT :"schema".granted_namespaces())::text[])
                              AND key IS NOT NULL AND digest = :"schema".digest(key, namespace))', owner);
  ALTER TABLE :"schema".entries ENABLE ROW LEVEL SECURITY;
  FOR f IN
    SELECT p.oid, regexp_replace(p.proname, '^library', 'restricted') AS name, pg_get_function_identity_arguments(p.oid) AS takes
      FROM pg_proc p
     WHERE p.pronamespace = :'schema'::regnamespace AND p.proname ~ '^library_'
       AND p.proowner = (SELECT c.relowner FROM pg_class c WHERE c.oid = :'entries'::regclass)
  LOOP
    EXECUTE regexp_replace(pg_get_functiondef(f.oid), '[.]library_', '.restricted_');
    EXECUTE format('ALTER FUNCTION :"schema".%I(%s) SET row_security = on', f.name, f.takes);
    EXECUTE format('ALTER FUNCTION :"schema".%I(%s) OWNER TO %I', f.name, f.takes, owner);
    EXECUTE format('REVOKE ALL ON FUNCTION :"schema".%I(%s) FROM PUBLIC', f.name, f.takes);
  END LOOP;
  EXECUTE format('REVOKE CREATE ON SCHEMA :"schema" FROM %I', owner);
END $$;

-- Lets a role in, or changes how it is let in. For the owner of the schema and its members. role: must be there.
-- namespaces: those that it is kept to; NULL: all. grants: 'functions' or 'tables'. `pgcache init --app-role` calls this.
-- Other objects may live in the schema, too: they are left alone. Whom no grant would hold back is refused, and so is who
-- could put functions beside ours that others would then call in their place.
CREATE FUNCTION :"schema".grant_access(role name, namespaces text[] DEFAULT NULL, grants text DEFAULT 'functions')
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  api CONSTANT name[] := '{get,get_json,exists,put,put_json,add,replace,compare_and_swap,touch,remove,incr,flush,flush_all,stats,
                           invalidate,invalidate_digests,watch,unwatch,watch_tree,drop_unused_watches,
                           digest,tag_digest,entry_digest,plain_value,check_entry,unrestricted,check_schema,
                           new_epoch,truncate_entries,trim_changes,take_lease,remove_loading}';
  internal CONSTANT name[] := '{note_keyed_digests,try_jsonb,granted_namespaces,make_restricted,grant_access,clean_slice,usage,set_limit,is_bounded,
                                coldness,clean_part,plan_eviction,evict_part,trim_changes_older,truncate_changes,changes_size,
                                tell_truncated,change_nonce,append_invalidations,append_own_invalidations,invalidations_cut,end_part,
                                make_watch,make_own_watch,write_summary,read_summaries}';
  owner CONSTANT name := (SELECT pg_get_userbyid(c.relowner) FROM pg_class c WHERE c.oid = :'entries'::regclass);
  restricted CONSTANT name := left(owner, 52) || '_restricted';
  policy CONSTANT text := 'role ' || (SELECT r.oid FROM pg_roles r WHERE r.rolname = role);
  f record;
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = role) THEN
    RAISE 'pgcache: there is no role %', role USING ERRCODE = 'undefined_object';
  ELSIF grants IS NULL OR grants NOT IN ('functions', 'tables') THEN
    RAISE 'pgcache: grants are functions or tables' USING ERRCODE = 'invalid_parameter_value';
  ELSIF namespaces IS NOT NULL AND (cardinality(namespaces) = 0 OR array_position(namespaces, NULL) IS NOT NULL OR
                                    (SELECT bool_or(n !~ '^[!-~]{1,63}$') FROM unnest(namespaces) n)) THEN
    RAISE 'pgcache: a namespace has 1 to 63 visible ASCII characters' USING ERRCODE = 'invalid_parameter_value';
  ELSIF pg_has_role(role, owner, 'MEMBER') THEN
    RAISE 'pgcache: the role % is a superuser, the owner of the cache or a member of it; let in one that is not', role
      USING ERRCODE = 'insufficient_privilege';
  ELSIF has_schema_privilege(role, :'schema', 'CREATE') THEN
    RAISE 'pgcache: the role % may create objects in the schema; revoke CREATE on it from the role and from PUBLIC', role
      USING ERRCODE = 'insufficient_privilege';
  ELSIF namespaces IS NOT NULL AND grants = 'tables' AND (SELECT r.rolbypassrls FROM pg_roles r WHERE r.rolname = role) THEN
    RAISE 'pgcache: the role % bypasses row-level security; ALTER ROLE ... NOBYPASSRLS, or grants => ''functions''', role
      USING ERRCODE = 'insufficient_privilege';
  END IF;
  IF namespaces IS NOT NULL THEN
    PERFORM :"schema".make_restricted(restricted);
  END IF;
  EXECUTE format('REVOKE ALL ON :"schema".entries, :"schema".entries_json, :"schema".marker, :"schema".cache,
                  :"schema".leases, :"schema".invalidations, :"schema".changes, :"schema".changes_0, :"schema".changes_1,
                  :"schema".changes_2, :"schema".relay, :"schema".trimming, :"schema".namespaces, :"schema".roles, :"schema".janitor,
                  :"schema".tally, :"schema".eviction, :"schema".watched, :"schema".summaries FROM %I', role);
  EXECUTE format('REVOKE ALL ON SEQUENCE :"schema".version_seq FROM %I', role);
  EXECUTE format('DROP POLICY IF EXISTS %I ON :"schema".entries', policy);
  EXECUTE format('GRANT USAGE ON SCHEMA :"schema" TO %I', role);
  FOR f IN
    SELECT p.oid::regprocedure AS name, p.proname = ANY (api)
           OR p.proname ~ CASE WHEN namespaces IS NULL THEN '^(library_|append_invalidations$|make_watch$|note_keyed_digests$|clean_slice$|usage$|write_summary$|read_summaries$)'
                          ELSE '^(restricted_|append_own_invalidations$|make_own_watch$)' END AS granted
      FROM pg_proc p
     WHERE p.pronamespace = :'schema'::regnamespace AND pg_get_userbyid(p.proowner) IN (owner, restricted)
       AND (p.proname = ANY (api || internal) OR p.proname ~ '^(library|restricted)_')
  LOOP
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM %I', f.name, role);
    IF f.granted THEN
      EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', f.name, role);
    END IF;
  END LOOP;
  IF grants = 'tables' THEN
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON :"schema".entries TO %I', role);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON :"schema".leases TO %I', role);
    EXECUTE format('GRANT SELECT ON :"schema".marker, :"schema".cache, :"schema".invalidations, :"schema".watched TO %I', role);
    -- Not xid: a row of the future would be read by every poll and never be trimmed.
    EXECUTE format('GRANT SELECT, INSERT (slot, kind, event) ON :"schema".changes TO %I', role);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE ON :"schema".relay TO %I', role);
    EXECUTE format('GRANT USAGE ON SEQUENCE :"schema".version_seq TO %I', role);
    IF namespaces IS NULL THEN
      EXECUTE format('CREATE POLICY %I ON :"schema".entries TO %I USING (true)', policy, role);
    ELSE
      EXECUTE format('CREATE POLICY %I ON :"schema".entries TO %I USING (namespace = ANY (%L))
                      WITH CHECK (namespace = ANY (%L) AND key IS NOT NULL AND digest = :"schema".digest(key, namespace))',
                     policy, role, namespaces, namespaces);
    END IF;
  END IF;
  INSERT INTO :"schema".roles AS r (name, grants, namespaces) VALUES (role, grants, namespaces)
  ON CONFLICT ON CONSTRAINT roles_pkey DO UPDATE SET grants = EXCLUDED.grants, namespaces = EXCLUDED.namespaces;
  UPDATE :"schema".cache c SET restricted = true WHERE namespaces IS NOT NULL AND NOT c.restricted;
END $$;

-- What was made in this transaction is nobody's but the owner's, whatever the defaults are. Also when psql gives each
-- statement a savepoint (ON_ERROR_ROLLBACK), and so a transaction number of its own: those are younger than the transaction's.
DO $$
DECLARE
  made regprocedure;
  relation regclass;
BEGIN
  FOR made IN SELECT p.oid FROM pg_proc p
               WHERE p.pronamespace = :'schema'::regnamespace AND age(p.xmin) <= age(pg_current_xact_id()::xid) LOOP
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', made);
  END LOOP;
  FOR relation IN SELECT c.oid FROM pg_class c
                   WHERE c.relnamespace = :'schema'::regnamespace AND age(c.xmin) <= age(pg_current_xact_id()::xid)
                     AND c.relkind IN ('r', 'p', 'v', 'S') LOOP
    EXECUTE format('REVOKE ALL ON %s %s FROM PUBLIC', CASE (SELECT c.relkind FROM pg_class c WHERE c.oid = relation)
                                                      WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, relation);
  END LOOP;
END $$;
