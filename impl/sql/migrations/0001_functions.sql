-- Schema version 1: what the statements of the library and the SQL API stand on. A function that works with its owner's
-- rights (SECURITY DEFINER) fixes its search_path, temporary objects last, and qualifies what is not PostgreSQL's own; one
-- whose body is an expression behind RETURN was bound to what it names when it was made. 0001_roles.sql says who may call
-- what.

-- The name under which an entry is stored: the first 16 bytes of sha256(kind 'k' | length of the namespace as a
-- big-endian int4 | namespace | key). The library computes the same.
CREATE FUNCTION :"schema".digest(key bytea, namespace text DEFAULT 'default') RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN encode(substring(sha256('\x6b'::bytea || int4send(octet_length(namespace)) || convert_to(namespace, 'UTF8') || key)
                        FROM 1 FOR 16), 'hex')::uuid;
CREATE FUNCTION :"schema".digest(key text, namespace text DEFAULT 'default') RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN :"schema".digest(convert_to(key, 'UTF8'), namespace);

-- The digest for functions that work by key. In a namespace with keyed digests only those who know the secret can name an
-- entry, and that is the library.
CREATE FUNCTION :"schema".entry_digest(key bytea, namespace text) RETURNS uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF key IS NULL OR octet_length(key) NOT BETWEEN 1 AND 4096 THEN
    RAISE 'pgcache: a key has 1 to 4096 bytes' USING ERRCODE = 'invalid_parameter_value';
  ELSIF namespace IS NULL OR namespace !~ '^[!-~]{1,63}$' THEN
    RAISE 'pgcache: a namespace has 1 to 63 visible ASCII characters' USING ERRCODE = 'invalid_parameter_value';
  ELSIF EXISTS (SELECT FROM :"schema".namespaces n WHERE n.name = $2 AND n.settings ->> 'digests' = 'keyed') THEN
    RAISE 'pgcache: this namespace has keyed digests: its entries can be reached through the library alone'
      USING ERRCODE = 'feature_not_supported';
  END IF;
  RETURN :"schema".digest(key, namespace);
END $$;
-- Notes that there are such entries in a namespace. The library does so before it stores the first one there. What is noted
-- already is only read: inside the application's transaction a lock would keep others out until it ends.
CREATE FUNCTION :"schema".note_keyed_digests(namespace text) RETURNS void
LANGUAGE plpgsql STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO :"schema".namespaces AS n (name, settings)
  SELECT $1, '{"digests": "keyed"}'
   WHERE NOT EXISTS (SELECT FROM :"schema".namespaces k WHERE k.name = $1 AND k.settings ->> 'digests' = 'keyed')
  ON CONFLICT (name) DO UPDATE SET settings = n.settings || EXCLUDED.settings
   WHERE n.settings ->> 'digests' IS DISTINCT FROM 'keyed';
END $$;
-- The value as it is: SQL can neither decompress nor decrypt one.
CREATE FUNCTION :"schema".plain_value(value bytea, flags integer) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF flags & ~32 <> 0 THEN
    RAISE 'pgcache: the value is compressed or encrypted: read it through the library'
      USING ERRCODE = 'feature_not_supported';
  END IF;
  RETURN value;
END $$;

-- Raises the epoch and puts the marker back after a crash or a fail-over emptied it, and empties the cache when the
-- database was restored on another cluster, whose transaction numbers mean something else. Gives the epoch in force.
-- The first to come does it; the others wait for its row lock and then find the marker.
CREATE FUNCTION :"schema".new_epoch() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  here          bigint  := (SELECT c.system_identifier FROM pg_control_system() c);
  here_timeline integer := ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer;
  known         record;
  raised        integer;
BEGIN
  -- An epoch lost in a crash could be given out twice.
  PERFORM set_config('synchronous_commit', 'on', true);
  SELECT c.system_identifier, c.timeline INTO STRICT known FROM :"schema".cache c FOR UPDATE;
  SELECT m.epoch INTO raised FROM :"schema".marker m;
  IF FOUND AND known.system_identifier = here THEN
    RETURN raised;
  END IF;
  IF known.system_identifier <> here THEN
    TRUNCATE :"schema".entries, :"schema".marker, :"schema".leases, :"schema".invalidations, :"schema".changes,
             :"schema".relay, :"schema".trimming;
  END IF;
  -- A standby that was promoted may not have received the last epochs of its primary: it begins beyond them.
  UPDATE :"schema".cache c
     SET epoch = c.epoch + CASE WHEN c.timeline = here_timeline THEN 1 ELSE 16 END,
         system_identifier = here, timeline = here_timeline
  RETURNING c.epoch INTO raised;
  INSERT INTO :"schema".marker (epoch, nonce, prepared)
  VALUES (raised, gen_random_uuid(),
          (SELECT array_agg(x.xid) FROM pg_snapshot_xip(pg_current_snapshot()) x(xid)
            WHERE x.xid::xid IN (SELECT p.transaction FROM pg_prepared_xacts p)));
  IF (SELECT c.reltuples <= 0 FROM pg_class c WHERE c.oid = (SELECT m.tableoid FROM :"schema".marker m)) THEN
    ANALYZE :"schema".marker; -- it was truncated, and is as when it was made
  END IF;
  RETURN raised;
END $$;

-- Takes the lease of an entry that is not fresh, for begin_load.sql, which says what the columns are. A lease of the same
-- token's is taken again: the answer was lost. The all-zero token's, of a load that failed, stands only while an entry can
-- stand in. No lease is longer than an hour, because invalidations are kept for it; one that ends later is of a clock set
-- back. The lease is as of the snapshot of the statement that takes it, and the caller loads after that. Once it is taken
-- the entry is looked at again, in a newer snapshot: a fill that was committed just before, lease and all, must be found, or
-- else two would load. With the caller's rights.
CREATE FUNCTION :"schema".take_lease(wanted uuid, own_token uuid, for_ms bigint, early boolean)
RETURNS TABLE (leased boolean, failed boolean, others_ms bigint, value bytea, version bigint, format integer,
               fresh_until timestamptz, expires_at timestamptz, now timestamptz, flags integer, accessed_at timestamptz,
               tags uuid[], load_ms integer)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  nobody CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
  ours   boolean := false;
  seen   bigint;  -- the version that our lease is of
  began  timestamptz;
  entry  record;
  other  record;
BEGIN
  failed := false;
  others_ms := 0;
  LOOP
    began := clock_timestamp(); -- before the snapshot, see get.sql
    SELECT e.value, e.version, e.format, e.fresh_until, e.expires_at, e.flags, e.accessed_at, e.dependencies, e.load_ms,
           e.expires_at > began
           AND NOT EXISTS (SELECT FROM :"schema".invalidations i
                            WHERE i.digest = ANY (e.dependencies) AND i.xid >= e.asof
                              AND (e.snapshot IS NULL OR NOT pg_visible_in_snapshot(i.xid, e.snapshot))) AS usable
      INTO entry
      FROM :"schema".entries e WHERE e.digest = wanted;
    EXIT WHEN ours AND coalesce(entry.version, 0) = seen;
    IF entry.usable AND entry.fresh_until > began AND (ours OR NOT early) THEN
      IF ours THEN
        DELETE FROM :"schema".leases l WHERE l.digest = wanted AND l.token = own_token;
        ours := false;
      END IF;
      EXIT;
    END IF;
    SELECT l.token, l.deadline - clock_timestamp() AS lasts INTO other
      FROM :"schema".leases l
     WHERE l.digest = wanted AND l.deadline > clock_timestamp() AND l.token <> own_token
       AND CASE WHEN l.token = nobody THEN entry.usable ELSE l.deadline <= clock_timestamp() + interval '1 hour' END;
    IF FOUND THEN
      failed := other.token = nobody;
      others_ms := ceil(extract(epoch FROM other.lasts) * 1000);
      EXIT;
    END IF;
    INSERT INTO :"schema".leases AS l (digest, token, deadline, asof, snapshot, version)
    SELECT wanted, own_token, clock_timestamp() + least(for_ms, 3600000) * interval '1 millisecond',
           pg_snapshot_xmin(t.snap),
           CASE WHEN pg_current_xact_id_if_assigned() IS NULL AND pg_snapshot_xmin(t.snap) <> pg_snapshot_xmax(t.snap)
                AND pg_column_size(t.snap) <= 24 + 8 * 64 THEN t.snap END,
           coalesce(entry.version, 0)
      FROM (SELECT pg_current_snapshot() AS snap) t
    ON CONFLICT (digest) DO UPDATE
       SET token = EXCLUDED.token, deadline = EXCLUDED.deadline, asof = EXCLUDED.asof, snapshot = EXCLUDED.snapshot,
           version = EXCLUDED.version
     WHERE l.deadline <= clock_timestamp() OR l.token = EXCLUDED.token
        OR CASE WHEN l.token = nobody THEN entry.usable IS NOT TRUE
                ELSE l.deadline > clock_timestamp() + interval '1 hour' END
    RETURNING l.version INTO seen;
    ours := FOUND;
  END LOOP;
  leased := ours;
  now := began;
  IF entry.usable THEN
    value := entry.value;
    version := entry.version;
    format := entry.format;
    fresh_until := entry.fresh_until;
    expires_at := entry.expires_at;
    flags := entry.flags;
    accessed_at := entry.accessed_at;
    tags := CASE WHEN cardinality(entry.dependencies) > 1 THEN entry.dependencies[2:] END;
    load_ms := entry.load_ms;
  END IF;
  RETURN NEXT;
END $$;

-- Removes entries of which at least one is being loaded, for remove.sql and remove_many.sql: the loads are ended first, so
-- that no fill brings back what was read before. A fill that was quicker is waited for, and its entry seen: each statement
-- in here has a newer snapshot. Leases are locked before entries, each in the order of their digests, as a fill does it.
-- Others wait for the loads: the change stream is told of them here, of the entries by the statement. With the caller's
-- rights.
CREATE FUNCTION :"schema".remove_loading(digests uuid[]) RETURNS TABLE (digest uuid, alive boolean, version bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  IF :logged AND current_setting('synchronous_commit') = 'off' THEN
    PERFORM set_config('synchronous_commit', 'local', true);
  END IF;
  PERFORM l.digest FROM :"schema".leases l WHERE l.digest = ANY (digests) ORDER BY l.digest FOR UPDATE;
  WITH ended AS (
    DELETE FROM :"schema".leases l WHERE l.digest = ANY (digests) RETURNING l.digest
  )
  INSERT INTO :"schema".changes (slot, kind, event)
  SELECT coalesce((SELECT m.slot FROM :"schema".marker m), 0), 3, string_agg(uuid_send(e.digest), '')
    FROM (SELECT n.digest, row_number() OVER () - 1 AS number FROM ended n) e
   GROUP BY e.number / 100;
  PERFORM e.digest FROM :"schema".entries e WHERE e.digest = ANY (digests) ORDER BY e.digest FOR UPDATE;
  RETURN QUERY
  DELETE FROM :"schema".entries e
   WHERE e.digest = ANY (digests)
  RETURNING e.digest,
            e.fresh_until > clock_timestamp() AND e.flags & 64 = 0
            AND NOT EXISTS (SELECT FROM :"schema".invalidations i
                             WHERE i.digest = ANY (e.dependencies) AND i.xid >= e.asof
                               AND (e.snapshot IS NULL OR NOT pg_visible_in_snapshot(i.xid, e.snapshot))),
            coalesce((SELECT m.epoch FROM :"schema".marker m)::bigint << 47 | nextval(:'version_seq'),
                     9223372036854775807);
END $$;

-- For the library's flush, not for the application's transactions: nobody could read the cache before they end. Empties
-- the cache and gives the number of entries that were there a moment before; NULL, and nothing is done, when the caller may
-- not, or a long reader holds the table: to wait for it would make all others wait behind us. TRUNCATE leaves nothing to
-- vacuum. With the caller's rights: an application role must not be able to lock the whole table.
CREATE FUNCTION :"schema".truncate_entries() RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  removed bigint;
BEGIN
  IF NOT has_table_privilege(:'entries'::regclass, 'TRUNCATE') THEN
    RETURN NULL;
  END IF;
  removed := (SELECT count(*) FROM :"schema".entries); -- before the lock: on a large table it takes a while
  BEGIN
    PERFORM set_config('lock_timeout', '100ms', true);
    TRUNCATE :"schema".entries;
  EXCEPTION WHEN lock_not_available THEN
    RETURN NULL;
  END;
  RETURN removed;
END $$;

-- TRUNCATE of the entries, whoever does it, ends all loads that are under way, and is told to the change stream: all of them
-- are gone. A put that waited for it has its own event, with its own transaction. A fill that waited finds no lease.
CREATE FUNCTION :"schema".tell_truncated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  DELETE FROM :"schema".leases;
  INSERT INTO :"schema".changes (slot, kind, event) VALUES (coalesce((SELECT m.slot FROM :"schema".marker m), 0), 2, '');
  RETURN NULL;
END $$;
CREATE TRIGGER tell_truncated AFTER TRUNCATE ON :"schema".entries
  FOR EACH STATEMENT EXECUTE FUNCTION :"schema".tell_truncated();

-- TRUNCATE of the whole change stream by hand: nobody's cursor means anything any more. (Trimming truncates partitions.)
CREATE FUNCTION :"schema".change_nonce() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE :"schema".marker SET nonce = gen_random_uuid();
  RETURN NULL;
END $$;
CREATE TRIGGER change_nonce AFTER TRUNCATE ON :"schema".changes
  FOR EACH STATEMENT EXECUTE FUNCTION :"schema".change_nonce();

-- What a connection asks first, whoever it is. $1 its namespace. See check_schema.sql. epoch: the present one, or the one that is
-- to be made; it is not known on a standby, which has no unlogged tables.
CREATE FUNCTION :"schema".check_schema(text)
RETURNS TABLE (schema_version integer, logged boolean, same_cluster boolean, keyed_digests boolean, standby boolean,
               bounded boolean, coherent boolean, epoch integer)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  present integer;
BEGIN
  IF NOT pg_is_in_recovery() THEN
    SELECT m.epoch INTO present FROM :"schema".marker m;
  END IF;
  RETURN QUERY
  SELECT c.schema_version, c.logged, k.same_cluster,
         EXISTS (SELECT FROM :"schema".namespaces n WHERE n.name = $1 AND n.settings ->> 'digests' = 'keyed'),
         pg_is_in_recovery(), :"schema".is_bounded(), c.coherent,
         CASE WHEN k.same_cluster THEN coalesce(present, c.epoch + 1) ELSE c.epoch + 1 END
    FROM :"schema".cache c
   CROSS JOIN LATERAL (SELECT c.system_identifier = s.system_identifier FROM pg_control_system() s) k (same_cluster);
END $$;

-- The entries whose format is JSON, for people. A value that is not valid JSON, or compressed or encrypted, shows as NULL
-- and spoils nothing.
CREATE FUNCTION :"schema".try_jsonb(value bytea) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$ -- not PARALLEL SAFE: the handler needs a subtransaction
BEGIN
  RETURN convert_from(value, 'UTF8')::jsonb;
EXCEPTION WHEN data_exception THEN
  RETURN NULL;
END $$;
CREATE VIEW :"schema".entries_json AS
  SELECT e.namespace, encode(e.key, 'escape') AS key,
         CASE WHEN e.flags & ~32 = 0 THEN :"schema".try_jsonb(e.value) END AS value, e.version, e.expires_at
    FROM :"schema".entries e
   WHERE e.format = 1 AND e.fresh_until > clock_timestamp() AND e.flags & 64 = 0
     AND NOT EXISTS (SELECT FROM :"schema".invalidations i
                      WHERE i.digest = ANY (e.dependencies) AND i.xid >= e.asof
                        AND (e.snapshot IS NULL OR NOT pg_visible_in_snapshot(i.xid, e.snapshot)));
