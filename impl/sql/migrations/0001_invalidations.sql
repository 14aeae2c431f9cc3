-- Schema version 1: invalidation. A row of `invalidations` says that a transaction has ended whatever depends on a digest; it
-- counts from that transaction's commit on, for entries and loads that have not seen it. Invalidating only appends: nobody
-- who does it ever waits for another, nor for whoever fills the cache.

-- The name of a tag, as digest() is that of a key, with kind 't'. The library computes the same. Tags have no secret
-- digests, because triggers compute them.
CREATE FUNCTION :"schema".tag_digest(tag bytea, namespace text DEFAULT 'default') RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN encode(substring(sha256('\x74'::bytea || int4send(octet_length(namespace)) || convert_to(namespace, 'UTF8') || tag)
                        FROM 1 FOR 16), 'hex')::uuid;
CREATE FUNCTION :"schema".tag_digest(tag text, namespace text DEFAULT 'default') RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN :"schema".tag_digest(convert_to(tag, 'UTF8'), namespace);

-- Notes that the transaction invalidates these digests, and tells the change stream. Gives how many the transaction had not
-- invalidated before: where that is none, the stream has been told, too. The transaction's own number is noted, also inside of a
-- savepoint, because snapshots know of no others; so nobody waits for anybody's row. Without a marker slot 0 is as good as any.
-- What make_watch() writes does the same in place, because a call of this function would take a third of a trigger's time.
-- A plan for the digests of each call would cost more than the call.
CREATE FUNCTION :"schema".append_invalidations(digests uuid[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  said bigint;
BEGIN
  IF pg_is_in_recovery() THEN
    RAISE 'pgcache: this server is a standby, where nothing can be invalidated; do it on the primary'
      USING ERRCODE = 'read_only_sql_transaction';
  END IF;
  INSERT INTO :"schema".invalidations (digest) SELECT unnest(digests) ON CONFLICT DO NOTHING;
  GET DIAGNOSTICS said = ROW_COUNT;
  IF said > 0 THEN
    INSERT INTO :"schema".changes (slot, kind, event)
    SELECT coalesce((SELECT m.slot FROM :"schema".marker m), 0), 1, string_agg(uuid_send(u.digest), '')
      FROM unnest(digests) WITH ORDINALITY u(digest, number) GROUP BY (u.number - 1) / 100;
  END IF;
  RETURN said;
END $$;

-- The same for a role that is kept to namespaces: it has to show by their names that the digests are of one of those.
CREATE FUNCTION :"schema".append_own_invalidations(digests uuid[], namespace text, names bytea[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF namespace = ANY (:"schema".granted_namespaces()) IS NOT TRUE OR
     digests <@ ARRAY(SELECT CASE get_byte(n.name, 0)
                             WHEN 116 THEN :"schema".tag_digest(substring(n.name FROM 2), namespace)
                             WHEN 107 THEN :"schema".digest(substring(n.name FROM 2), namespace) END
                        FROM unnest(names) n(name) WHERE octet_length(n.name) > 1) IS NOT TRUE THEN
    RAISE 'pgcache: the role may invalidate keys and tags of the namespaces that it is kept to, and no others'
      USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN :"schema".append_invalidations(digests);
END $$;

-- For the library and for invalidate(): the way that the caller may go. See invalidate.sql for the parameters.
CREATE FUNCTION :"schema".invalidate_digests(digests uuid[], namespace text, names bytea[]) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF :"schema".unrestricted() THEN
    RETURN :"schema".append_invalidations(digests);
  END IF;
  RETURN :"schema".append_own_invalidations(digests, namespace, names);
END $$;

-- Ends all entries that depend on these tags and keys, and loads of them that have begun, when the transaction is committed;
-- when it is rolled back nothing has happened. Within the transaction they are gone at once. It has to be in the transaction
-- that makes them false: one before it would let others load what is soon to be false, and one behind it let them read it.
-- After ROLLBACK TO a savepoint that was set before the call, call it again.
CREATE FUNCTION :"schema".invalidate(tags text[] DEFAULT '{}', keys text[] DEFAULT '{}', namespace text DEFAULT 'default')
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  names   bytea[];
  digests uuid[];
BEGIN
  IF tags IS NULL OR keys IS NULL OR array_position(tags, NULL) IS NOT NULL OR array_position(keys, NULL) IS NOT NULL THEN
    RAISE 'pgcache: a tag or key to invalidate is missing' USING ERRCODE = 'null_value_not_allowed';
  ELSIF namespace IS NULL OR namespace !~ '^[!-~]{1,63}$' THEN
    RAISE 'pgcache: a namespace has 1 to 63 visible ASCII characters' USING ERRCODE = 'invalid_parameter_value';
  ELSIF EXISTS (SELECT FROM unnest(tags) t(tag) WHERE octet_length(convert_to(t.tag, 'UTF8')) NOT BETWEEN 1 AND 255) THEN
    RAISE 'pgcache: a tag has 1 to 255 bytes' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  digests := ARRAY(SELECT :"schema".tag_digest(t.tag, namespace) FROM unnest(tags) t(tag)) ||
             ARRAY(SELECT :"schema".entry_digest(convert_to(k.key, 'UTF8'), namespace) FROM unnest(keys) k(key));
  IF cardinality(digests) > 0 THEN
    names := ARRAY(SELECT '\x74'::bytea || convert_to(t.tag, 'UTF8') FROM unnest(tags) t(tag)) ||
             ARRAY(SELECT '\x6b'::bytea || convert_to(k.key, 'UTF8') FROM unnest(keys) k(key));
    PERFORM :"schema".invalidate_digests(digests, namespace, names);
  END IF;
END $$;
