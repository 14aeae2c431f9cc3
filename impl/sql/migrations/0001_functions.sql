-- Schema version 1, second half: the SQL API. It addresses the same entries as the library does. A text key stands for its
-- UTF-8 bytes. Every function may be called inside the application's own transactions.

-- The name under which an entry is stored: the first 16 bytes of sha256(kind 'k' | length of the namespace as a
-- big-endian int4 | namespace | key). The library computes the same.
CREATE FUNCTION :"schema".digest(key bytea, namespace text DEFAULT 'default') RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT encode(substring(sha256('\x6b'::bytea || int4send(octet_length(namespace)) || convert_to(namespace, 'UTF8') || key)
                          FROM 1 FOR 16), 'hex')::uuid
$$;
CREATE FUNCTION :"schema".digest(key text, namespace text DEFAULT 'default') RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT :"schema".digest(convert_to(key, 'UTF8'), namespace)
$$;

-- The digest for functions that work by key. In a namespace with keyed digests only those who know the secret can name an
-- entry, and that is the library.
CREATE FUNCTION :"schema".entry_digest(key bytea, namespace text) RETURNS uuid
LANGUAGE plpgsql STABLE STRICT AS $$
BEGIN
  IF EXISTS (SELECT FROM :"schema".namespaces n WHERE n.name = $2 AND n.settings ->> 'digests' = 'keyed') THEN
    RAISE 'pgcache: this namespace has keyed digests: its entries can be reached through the library alone'
      USING ERRCODE = 'feature_not_supported';
  END IF;
  RETURN :"schema".digest($1, $2);
END $$;
-- Notes that there are such entries in a namespace. The library does so before it stores the first one there.
CREATE FUNCTION :"schema".note_keyed_digests(namespace text) RETURNS void
LANGUAGE sql STRICT AS $$
  INSERT INTO :"schema".namespaces AS n (name, settings) VALUES ($1, '{"digests": "keyed"}')
  ON CONFLICT (name) DO UPDATE SET settings = n.settings || EXCLUDED.settings
   WHERE n.settings ->> 'digests' IS DISTINCT FROM 'keyed'
$$;
-- The value as it is: SQL can neither decompress nor decrypt one.
CREATE FUNCTION :"schema".plain_value(value bytea, flags integer) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT AS $$
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
LANGUAGE plpgsql AS $$
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
             :"schema".relay;
  END IF;
  -- A standby that was promoted may not have received the last epochs of its primary: it begins beyond them.
  UPDATE :"schema".cache c
     SET epoch = c.epoch + CASE WHEN c.timeline = here_timeline THEN 1 ELSE 16 END,
         system_identifier = here, timeline = here_timeline
  RETURNING c.epoch INTO raised;
  INSERT INTO :"schema".marker (epoch, nonce) VALUES (raised, gen_random_uuid());
  RETURN raised;
END $$;

-- Functions that read the table name their arguments $1, $2: a plain name would mean the column.

-- The value, or NULL when there is no such entry. get_json() gives the entries of format 1.
CREATE FUNCTION :"schema".get(key bytea, namespace text DEFAULT 'default') RETURNS bytea
LANGUAGE sql VOLATILE STRICT AS $$
  SELECT :"schema".plain_value(e.value, e.flags) FROM :"schema".entries e
   WHERE e.digest = :"schema".entry_digest($1, $2) AND e.expires_at > clock_timestamp()
$$;
CREATE FUNCTION :"schema".get(key text, namespace text DEFAULT 'default') RETURNS bytea
LANGUAGE sql VOLATILE STRICT AS $$
  SELECT :"schema".get(convert_to(key, 'UTF8'), namespace)
$$;
CREATE FUNCTION :"schema".get_json(key text, namespace text DEFAULT 'default') RETURNS jsonb
LANGUAGE sql VOLATILE STRICT AS $$
  SELECT convert_from(:"schema".plain_value(e.value, e.flags), 'UTF8')::jsonb FROM :"schema".entries e
   WHERE e.digest = :"schema".entry_digest(convert_to($1, 'UTF8'), $2) AND e.expires_at > clock_timestamp() AND e.format = 1
$$;

CREATE FUNCTION :"schema"."exists"(key bytea, namespace text DEFAULT 'default') RETURNS boolean
LANGUAGE sql VOLATILE STRICT AS $$
  SELECT EXISTS (SELECT FROM :"schema".entries e
                  WHERE e.digest = :"schema".entry_digest($1, $2) AND e.expires_at > clock_timestamp())
$$;
CREATE FUNCTION :"schema"."exists"(key text, namespace text DEFAULT 'default') RETURNS boolean
LANGUAGE sql VOLATILE STRICT AS $$
  SELECT :"schema"."exists"(convert_to(key, 'UTF8'), namespace)
$$;

-- Stores an entry and gives its version. ttl: how long it lives; NULL: for ever; 0 or negative is refused; more than
-- 3,650 days is shortened to that. format: 0 bytes, 1 JSON text in UTF-8, others the caller's.
CREATE FUNCTION :"schema".put(key bytea, value bytea, ttl interval DEFAULT '5 minutes',
                              namespace text DEFAULT 'default', format integer DEFAULT 0) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  expires timestamptz;
  written bigint;
BEGIN
  IF key IS NULL OR octet_length(key) NOT BETWEEN 1 AND 4096 THEN
    RAISE 'pgcache: a key has 1 to 4096 bytes' USING ERRCODE = 'invalid_parameter_value';
  ELSIF value IS NULL THEN
    RAISE 'pgcache: a value is needed; a cached null is the JSON text null' USING ERRCODE = 'null_value_not_allowed';
  ELSIF namespace IS NULL OR namespace !~ '^[\x21-\x7e]{1,63}$' THEN
    RAISE 'pgcache: a namespace has 1 to 63 visible ASCII characters' USING ERRCODE = 'invalid_parameter_value';
  ELSIF format IS NULL OR format < 0 THEN
    RAISE 'pgcache: a format is 0 or positive' USING ERRCODE = 'invalid_parameter_value';
  ELSIF extract(epoch FROM ttl) <= 0 THEN
    RAISE 'pgcache: a ttl is positive; NULL means for ever' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  -- Counted in seconds, because days and months depend on the session's TimeZone.
  expires := CASE WHEN ttl IS NULL THEN 'infinity'
                  ELSE clock_timestamp() + least(extract(epoch FROM ttl), 315360000)::float8 * interval '1 second' END;
  LOOP
    INSERT INTO :"schema".entries AS e (digest, version, expires_at, fresh_until, accessed_at, asof, format, flags, load_ms,
                                   namespace, key, snapshot, dependencies, value)
    SELECT d.own, m.epoch::bigint << 47 | nextval(:'version_seq'), expires, expires, clock_timestamp(),
           pg_snapshot_xmin(s.now), format, 0, 0, namespace, key,
           CASE WHEN pg_current_xact_id_if_assigned() IS NULL AND pg_snapshot_xmin(s.now) <> pg_snapshot_xmax(s.now)
                     AND pg_column_size(s.now) <= 24 + 8 * 64 THEN s.now END,
           ARRAY[d.own], value
      FROM :"schema".marker m, (SELECT pg_current_snapshot() AS now) s, (SELECT :"schema".entry_digest(key, namespace) AS own) d
    ON CONFLICT ON CONSTRAINT entries_pkey DO UPDATE
       SET version = EXCLUDED.version >> 47 << 47 | nextval(:'version_seq'),
           expires_at = EXCLUDED.expires_at, fresh_until = EXCLUDED.fresh_until, accessed_at = EXCLUDED.accessed_at,
           asof = EXCLUDED.asof, format = EXCLUDED.format, flags = EXCLUDED.flags, load_ms = EXCLUDED.load_ms,
           namespace = EXCLUDED.namespace, key = EXCLUDED.key, snapshot = EXCLUDED.snapshot,
           dependencies = EXCLUDED.dependencies, value = EXCLUDED.value
    RETURNING e.version INTO written;
    EXIT WHEN FOUND;
    PERFORM :"schema".new_epoch();
  END LOOP;
  RETURN written;
END $$;
CREATE FUNCTION :"schema".put(key text, value bytea, ttl interval DEFAULT '5 minutes', namespace text DEFAULT 'default',
                              format integer DEFAULT 0) RETURNS bigint
LANGUAGE sql AS $$
  SELECT :"schema".put(convert_to(key, 'UTF8'), value, ttl, namespace, format)
$$;
CREATE FUNCTION :"schema".put_json(key text, value jsonb, ttl interval DEFAULT '5 minutes',
                                   namespace text DEFAULT 'default') RETURNS bigint
LANGUAGE sql AS $$
  SELECT :"schema".put(convert_to(key, 'UTF8'), convert_to(value::text, 'UTF8'), ttl, namespace, 1)
$$;

-- Removes an entry; false when there was none, or only an expired one.
CREATE FUNCTION :"schema".remove(key bytea, namespace text DEFAULT 'default') RETURNS boolean
LANGUAGE sql STRICT AS $$
  WITH gone AS (
    DELETE FROM :"schema".entries e WHERE e.digest = :"schema".entry_digest($1, $2)
    RETURNING e.expires_at > clock_timestamp() AS alive
  )
  SELECT coalesce((SELECT alive FROM gone), false)
$$;
CREATE FUNCTION :"schema".remove(key text, namespace text DEFAULT 'default') RETURNS boolean
LANGUAGE sql STRICT AS $$
  SELECT :"schema".remove(convert_to(key, 'UTF8'), namespace)
$$;

-- For the library's flush, not for the application's transactions: nobody could read the cache before they end. Empties
-- the cache and gives the number of entries that were there a moment before; NULL, and nothing is done, when a long reader
-- holds the table: to wait for it would make all others wait behind us. TRUNCATE leaves nothing to vacuum.
CREATE FUNCTION :"schema".truncate_entries() RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  removed bigint := (SELECT count(*) FROM :"schema".entries); -- before the lock: on a large table it takes a while
BEGIN
  PERFORM set_config('lock_timeout', '100ms', true);
  TRUNCATE :"schema".entries;
  RETURN removed;
EXCEPTION WHEN lock_not_available OR insufficient_privilege THEN
  RETURN NULL;
END $$;

-- The entries whose format is JSON, for people. A value that is not valid JSON, or compressed or encrypted, shows as NULL
-- and spoils nothing.
CREATE FUNCTION :"schema".try_jsonb(value bytea) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT AS $$ -- not PARALLEL SAFE: the handler needs a subtransaction
BEGIN
  RETURN convert_from(value, 'UTF8')::jsonb;
EXCEPTION WHEN data_exception THEN
  RETURN NULL;
END $$;
CREATE VIEW :"schema".entries_json AS
  SELECT e.namespace, encode(e.key, 'escape') AS key,
         CASE WHEN e.flags & ~32 = 0 THEN :"schema".try_jsonb(e.value) END AS value, e.version, e.expires_at
    FROM :"schema".entries e
   WHERE e.format = 1 AND e.expires_at > clock_timestamp();
