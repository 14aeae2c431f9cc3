-- Schema version 1: watched tables. Whatever changes rows of one, in any session, by any statement, invalidates tags in the
-- same transaction: each watch is a function that was written for its table, and triggers that call it. What is watched is in
-- the server's catalog and nowhere else, so that dropping, renaming, dumping and restoring tables needs nothing of ours.

-- Writes the function for a table and gives it. With its owner's rights, because nobody else may make functions here; whoever
-- may trigger it must own the table. Tags without columns are in it as digests. Values of columns go through their types'
-- output functions, which their owners cannot replace, as casts could be.
CREATE FUNCTION :"schema".make_watch(relation regclass, tags text[], namespace text) RETURNS regprocedure
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $make$
DECLARE
  made     text := format('%I.%I', :'schema', 'watch_' || left(replace(gen_random_uuid()::text, '-', ''), 16));
  plain    uuid[] := '{}';                            -- of tags without columns
  every    uuid := :"schema".tag_digest('*', namespace);
  prefix   bytea := '\x74'::bytea || int4send(octet_length(namespace)) || convert_to(namespace, 'UTF8');
  columns  name[] := '{}';                            -- that tags take their values from
  variants text[] := '{}';                            -- expressions of tags, of a row r
  settings text := '';
  template text;
  rest     text;
  word     text;
  parts    text[];
  needed   name[];
  choice   text;
  source   text;
  body     text;
BEGIN
  FOREACH template IN ARRAY tags LOOP
    rest := template;
    word := '';
    parts := '{}';
    needed := '{}';
    WHILE rest <> '' LOOP
      IF left(rest, 2) = '<<' THEN
        word := word || '<';
        rest := substr(rest, 3);
      ELSIF left(rest, 1) <> '<' THEN
        word := word || left(rest, 1);
        rest := substr(rest, 2);
      ELSE
        choice := (regexp_match(rest, '^<([^<>]+)>'))[1];
        IF choice IS NULL OR NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = relation AND a.attname = choice
                                            AND a.attnum > 0 AND NOT a.attisdropped) THEN
          RAISE 'pgcache: the table % has no column for %; a tag has the names of columns between < and >, and << for a <',
            relation, rest USING ERRCODE = 'undefined_column';
        END IF;
        parts := parts || format('%L', word) || format('r.%I', choice);
        needed := needed || choice::name;
        word := '';
        rest := substr(rest, length(choice) + 3);
      END IF;
    END LOOP;
    IF cardinality(needed) = 0 THEN
      IF octet_length(convert_to(word, 'UTF8')) NOT BETWEEN 1 AND 255 THEN
        RAISE 'pgcache: a tag has 1 to 255 bytes' USING ERRCODE = 'invalid_parameter_value';
      END IF;
      plain := plain || :"schema".tag_digest(word, namespace);
    ELSE
      columns := columns || needed;
      variants := variants || format('(CASE WHEN %s THEN concat(%s) COLLATE "C" END)',
        (SELECT string_agg(format('r.%I IS NOT NULL', n), ' AND ') FROM unnest(needed) n),
        array_to_string(parts || format('%L', word), ', '));
    END IF;
  END LOOP;

  IF cardinality(columns) = 0 THEN
    body := format('
  IF TG_OP = ''TRUNCATE'' OR TG_LEVEL = ''ROW'' THEN
    ended := %1$L;
  ELSIF TG_OP = ''DELETE'' THEN
    IF EXISTS (SELECT FROM pgcache_old) THEN ended := %1$L; END IF;
  ELSIF EXISTS (SELECT FROM pgcache_new) THEN
    ended := %1$L;
  END IF;', plain);
  ELSE
    columns := ARRAY(SELECT DISTINCT c FROM unnest(columns) c ORDER BY 1);
    source := format('ARRAY(SELECT /* A column that is missing was renamed or dropped: call watch() or unwatch() again. */
      encode(substring(sha256(%L::bytea || convert_to(d.tag, ''UTF8'')) FROM 1 FOR 16), ''hex'')::uuid
      FROM (SELECT DISTINCT t.tag FROM %%s CROSS JOIN LATERAL (VALUES %s) t(tag) LIMIT 10001) d)',
      prefix, replace(array_to_string(variants, ', '), '%', '%%'));
    body := format('
  IF TG_OP = ''TRUNCATE'' THEN
    ended := %1$L;
  ELSIF TG_LEVEL = ''ROW'' THEN
    ended := %2$s;
  ELSIF TG_OP = ''INSERT'' THEN
    ended := %3$s;
  ELSIF TG_OP = ''DELETE'' THEN
    ended := %4$s;
  ELSE
    ended := %5$s;
  END IF;
  IF cardinality(ended) > 10000 THEN
    ended := %1$L;
  ELSIF cardinality(ended) > 0 THEN
    ended := array_remove(ended, NULL) || %6$L::uuid[];
  END IF;', plain || every,
      format(source, format('(SELECT %s WHERE TG_OP <> ''INSERT'' UNION ALL SELECT %s WHERE TG_OP <> ''DELETE'') r',
        (SELECT string_agg(format('OLD.%1$I AS %1$I', c), ', ') FROM unnest(columns) c),
        (SELECT string_agg(format('NEW.%1$I AS %1$I', c), ', ') FROM unnest(columns) c))),
      format(source, 'pgcache_new r'), format(source, 'pgcache_old r'),
      format(source, format('(SELECT %s FROM pgcache_old o UNION ALL SELECT %s FROM pgcache_new n) r', -- o, n: a column may have
        (SELECT string_agg(format('o.%I', c), ', ') FROM unnest(columns) c),                           -- a variable's name
        (SELECT string_agg(format('n.%I', c), ', ') FROM unnest(columns) c))), plain);
    IF EXISTS (SELECT FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
                WHERE a.attrelid = relation AND a.attname = ANY (columns) AND t.typcategory NOT IN ('S', 'B', 'E')
                  AND a.atttypid NOT IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'numeric'::regtype,
                                         'uuid'::regtype)) THEN
      settings := ' SET datestyle = ''ISO, MDY'' SET timezone = ''UTC'' SET intervalstyle = ''postgres'''
                  ' SET extra_float_digits = 1 SET bytea_output = ''hex''';
    END IF;
  END IF;
  EXECUTE format('CREATE FUNCTION %s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp%s AS %L', made, settings, 'DECLARE
  ended uuid[];
BEGIN' || body || format('
  IF cardinality(ended) > 0 THEN
    INSERT INTO %1$I.invalidations (digest) SELECT unnest(ended) ON CONFLICT DO NOTHING;
    IF FOUND THEN -- as append_invalidations()
      INSERT INTO %1$I.changes (slot, kind, event)
      SELECT coalesce((SELECT m.slot FROM %1$I.marker m), 0), 1, string_agg(uuid_send(u.digest), '''')
        FROM unnest(ended) WITH ORDINALITY u(digest, number) GROUP BY (u.number - 1) / 100;
    END IF;
  END IF;
  RETURN NULL;
END', :'schema'));
  EXECUTE format('REVOKE ALL ON FUNCTION %s() FROM PUBLIC', made);
  EXECUTE format('GRANT EXECUTE ON FUNCTION %s() TO %I', made,
                 (SELECT pg_get_userbyid(c.relowner) FROM pg_class c WHERE c.oid = relation));
  RETURN (made || '()')::regprocedure;
END $make$;

-- The same for a role that is kept to namespaces.
CREATE FUNCTION :"schema".make_own_watch(relation regclass, tags text[], namespace text) RETURNS regprocedure
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF namespace = ANY (:"schema".granted_namespaces()) IS NOT TRUE THEN
    RAISE 'pgcache: the role may watch tables for the namespaces that it is kept to, and no others'
      USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN :"schema".make_watch(relation, tags, namespace);
END $$;

-- Drops the functions of watches that no trigger calls any more. What a transaction has not yet committed is not seen.
CREATE FUNCTION :"schema".drop_unused_watches() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  unused name;
BEGIN
  FOR unused IN SELECT p.proname FROM pg_proc p
                 WHERE p.pronamespace = :'schema'::regnamespace AND p.proname ~ '^watch_[0-9a-f]{16}$'
                   AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgfoid = p.oid) LOOP
    EXECUTE format('DROP FUNCTION IF EXISTS %I.%I()', :'schema', unused); -- somebody else may be at it, too
  END LOOP;
END $$;

-- A table with its partitions, and with the tables that inherit from it: statement triggers see what a statement does that
-- names their own table.
CREATE FUNCTION :"schema".watch_tree(relation regclass) RETURNS SETOF regclass
LANGUAGE sql STABLE AS $$
  WITH RECURSIVE tree (oid) AS (
    SELECT relation::oid UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree t ON i.inhparent OPERATOR(pg_catalog.=) t.oid
  )
  SELECT t.oid::pg_catalog.regclass FROM tree t
$$;

-- The tables that are watched, each partition by itself.
CREATE VIEW :"schema".watched AS
  SELECT t.tgrelid::regclass AS relation, a.said ->> 'namespace' AS namespace,
         ARRAY(SELECT jsonb_array_elements_text(a.said -> 'tags')) AS tags
    FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
   CROSS JOIN LATERAL (SELECT convert_from(substring(t.tgargs FROM 1 FOR octet_length(t.tgargs) - 1),
                                           getdatabaseencoding())::jsonb AS said) a
   WHERE p.pronamespace = :'schema'::regnamespace AND p.proname ~ '^watch_[0-9a-f]{16}$' AND t.tgname ~ '_truncate_';

-- From now on every transaction that changes rows of the table invalidates these tags when it is committed: by INSERT, UPDATE,
-- DELETE, COPY, MERGE, TRUNCATE, foreign keys' actions and replication. For the table's owner; whoever writes to the table
-- needs no right on the cache. Replaces what was watched of the table for the namespace before.
-- tags: NULL means one, the table's name with its schema, quoted where SQL needs it: public.orders. A tag may have columns:
-- 'customer:<customerid>' takes the value of the old row and of the new one, as PostgreSQL prints it with its default
-- settings, times in UTC; where a column is NULL there is no tag. << stands for a <.
-- The tag `*` of a namespace is one that every entry with tags depends on. It is invalidated where the tags of the rows are not
-- to be had: by TRUNCATE of a table that has tags with columns, and by a statement that would invalidate more than 10,000.
-- A partition that is made or attached later has to be watched itself, or the table again, for statements that name it.
-- A column that tags name must not be renamed or dropped: writing to the table fails until it is watched anew.
CREATE FUNCTION :"schema".watch("table" regclass, tags text[] DEFAULT NULL, namespace text DEFAULT 'default') RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning AS $$
DECLARE
  wanted   text[];
  suffix   text := left(encode(sha256(convert_to(namespace, 'UTF8')), 'hex'), 8);
  said     text;
  made     regprocedure;
  relation record;
BEGIN
  IF $1 IS NULL OR array_position(tags, NULL) IS NOT NULL OR cardinality(tags) = 0 THEN
    RAISE 'pgcache: watch() needs a table, and tags or NULL' USING ERRCODE = 'null_value_not_allowed';
  ELSIF namespace IS NULL OR namespace !~ '^[!-~]{1,63}$' THEN
    RAISE 'pgcache: a namespace has 1 to 63 visible ASCII characters' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  FOR relation IN
    SELECT c.oid::regclass AS name, c.relkind AS kind, c.relpersistence = 't' AS temporary,
           pg_has_role(c.relowner, 'USAGE') AS owned, n.nspname ~ '^(pg_|information_schema$)' AS system,
           n.nspname = :'schema' AS ours
      FROM :"schema".watch_tree($1) r JOIN pg_class c ON c.oid = r JOIN pg_namespace n ON n.oid = c.relnamespace
  LOOP
    IF relation.temporary THEN
      RAISE 'pgcache: % is a temporary table, which no other session sees', relation.name USING ERRCODE = 'wrong_object_type';
    ELSIF relation.ours OR relation.system THEN
      RAISE 'pgcache: % is a table of the system or of the cache itself', relation.name USING ERRCODE = 'wrong_object_type';
    ELSIF relation.kind = 'f' THEN
      RAISE 'pgcache: % is a foreign table, whose rows change without this server hearing of it', relation.name
        USING ERRCODE = 'wrong_object_type';
    ELSIF relation.kind NOT IN ('r', 'p') THEN
      RAISE 'pgcache: % is not a table; watch the tables that its rows come from', relation.name
        USING ERRCODE = 'wrong_object_type';
    ELSIF NOT relation.owned THEN
      RAISE 'pgcache: only the owner of % may have it watched', relation.name USING ERRCODE = 'insufficient_privilege';
    END IF;
  END LOOP;
  wanted := coalesce(tags, ARRAY[(SELECT replace(format('%I.%I', n.nspname, c.relname), '<', '<<')
                                    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1)]);
  said := jsonb_build_object('namespace', namespace, 'tags', wanted);
  IF :"schema".unrestricted() THEN
    made := :"schema".make_watch($1, wanted, namespace);
  ELSE
    made := :"schema".make_own_watch($1, wanted, namespace);
  END IF;
  FOR relation IN SELECT r AS name, c.relkind AS kind FROM :"schema".watch_tree($1) r JOIN pg_class c ON c.oid = r LOOP
    EXECUTE (SELECT string_agg(format('DROP TRIGGER IF EXISTS %I ON %s', :'schema' || o.name || suffix, relation.name), ';')
               FROM unnest('{_insert_,_update_,_delete_,_truncate_,_replica_}'::text[]) o(name));
    EXECUTE (SELECT string_agg(format('CREATE TRIGGER %I AFTER %s ON %s %s FOR EACH STATEMENT EXECUTE FUNCTION %s(%L)',
                                      :'schema' || o.name || suffix, o.event, relation.name, o.tables,
                                      made::oid::regproc, said), ';')
               FROM (VALUES ('_insert_', 'INSERT', 'REFERENCING NEW TABLE AS pgcache_new'),
                            ('_update_', 'UPDATE', 'REFERENCING OLD TABLE AS pgcache_old NEW TABLE AS pgcache_new'),
                            ('_delete_', 'DELETE', 'REFERENCING OLD TABLE AS pgcache_old'),
                            ('_truncate_', 'TRUNCATE', '')) o(name, event, tables));
    EXECUTE format('ALTER TABLE ONLY %s ENABLE ALWAYS TRIGGER %I', relation.name, :'schema' || '_truncate_' || suffix);
    -- Replication fires triggers of rows alone, and these fire in sessions of replication alone.
    IF relation.kind = 'r' THEN
      EXECUTE format('CREATE TRIGGER %1$I AFTER INSERT OR UPDATE OR DELETE ON %2$s FOR EACH ROW EXECUTE FUNCTION %3$s(%4$L);
                      ALTER TABLE ONLY %2$s ENABLE REPLICA TRIGGER %1$I',
                     :'schema' || '_replica_' || suffix, relation.name, made::oid::regproc, said);
    END IF;
  END LOOP;
  PERFORM :"schema".drop_unused_watches();
END $$;

-- Ends that, for all namespaces that the table is watched for, of its partitions, too.
CREATE FUNCTION :"schema".unwatch("table" regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  old record;
BEGIN
  FOR old IN SELECT t.tgname AS name, t.tgrelid::regclass AS relation
               FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
              WHERE p.pronamespace = :'schema'::regnamespace AND p.proname ~ '^watch_[0-9a-f]{16}$'
                AND t.tgrelid IN (SELECT r FROM :"schema".watch_tree($1) r) LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', old.name, old.relation);
  END LOOP;
  PERFORM :"schema".drop_unused_watches();
END $$;
