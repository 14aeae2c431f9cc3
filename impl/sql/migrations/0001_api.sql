-- Schema version 1: the SQL API. It addresses the same entries as the library does, through the same statements, and may be
-- called inside the application's own transactions. A text key stands for its UTF-8 bytes. Arguments are checked as the
-- library does it: 22023 a bad argument, 22004 no value, 54000 too long a value, 0A000 what only the library can read.
-- These functions have the rights of their caller: what it may do is decided by which of library_* and restricted_* it may
-- execute, see 0001_roles.sql. (PL/pgSQL looks for restricted_* when it gets there: they need not exist.)
-- Each function says itself which it calls: a helper in between, or EXECUTE, which plans at each call, would slow them all.

CREATE FUNCTION :"schema".unrestricted() RETURNS boolean
LANGUAGE sql STABLE
RETURN has_function_privilege(:'library_get'::regprocedure, 'EXECUTE');

-- Checks what is to be stored, and gives the time to live in milliseconds; NULL: for ever. Counted in seconds, because days
-- and months depend on the session's TimeZone.
CREATE FUNCTION :"schema".check_entry(value bytea, format integer, ttl interval) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF value IS NULL THEN
    RAISE 'pgcache: a value is needed; a cached null is the JSON text null' USING ERRCODE = 'null_value_not_allowed';
  ELSIF octet_length(value) > 268435456 THEN
    RAISE 'pgcache: a value has up to 268435456 bytes' USING ERRCODE = 'program_limit_exceeded';
  ELSIF format IS NULL OR format < 0 THEN
    RAISE 'pgcache: a format is 0 or positive' USING ERRCODE = 'invalid_parameter_value';
  ELSIF extract(epoch FROM ttl) <= 0 THEN
    RAISE 'pgcache: a ttl is positive; NULL means for ever' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  RETURN CASE WHEN ttl IS NOT NULL THEN ceil(least(extract(epoch FROM ttl), 315360000) * 1000)::bigint END;
END $$;

-- The value, or NULL when there is no such entry. get_json() gives the entries of format 1. The moment is taken before the
-- statement's snapshot, as in get.sql.
CREATE FUNCTION :"schema".get(key bytea, namespace text DEFAULT 'default') RETURNS bytea
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  own   uuid        := :"schema".entry_digest(key, namespace);
  began timestamptz := clock_timestamp();
  entry record;
BEGIN
  IF :"schema".unrestricted() THEN
    SELECT * INTO entry FROM :"schema".library_get_at(own, began);
  ELSE
    SELECT * INTO entry FROM :"schema".restricted_get_at(own, began);
  END IF;
  RETURN :"schema".plain_value(entry.value, entry.flags);
END $$;

CREATE FUNCTION :"schema".get_json(key bytea, namespace text DEFAULT 'default') RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  own   uuid        := :"schema".entry_digest(key, namespace);
  began timestamptz := clock_timestamp();
  entry record;
BEGIN
  IF :"schema".unrestricted() THEN
    SELECT * INTO entry FROM :"schema".library_get_at(own, began);
  ELSE
    SELECT * INTO entry FROM :"schema".restricted_get_at(own, began);
  END IF;
  IF entry.format = 1 THEN
    RETURN convert_from(:"schema".plain_value(entry.value, entry.flags), 'UTF8')::jsonb;
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION :"schema"."exists"(key bytea, namespace text DEFAULT 'default') RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  own   uuid        := :"schema".entry_digest(key, namespace);
  began timestamptz := clock_timestamp();
BEGIN
  IF :"schema".unrestricted() THEN
    PERFORM FROM :"schema".library_get_at(own, began);
  ELSE
    PERFORM FROM :"schema".restricted_get_at(own, began);
  END IF;
  RETURN FOUND;
END $$;

-- Stores an entry and gives its version. ttl: how long it lives; NULL: for ever; 0 or negative is refused; more than
-- 3,650 days is shortened to that. format: 0 bytes, 1 JSON text in UTF-8, others the caller's.
CREATE FUNCTION :"schema".put(key bytea, value bytea, ttl interval DEFAULT '5 minutes',
  namespace text DEFAULT 'default', format integer DEFAULT 0) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  own     uuid   := :"schema".entry_digest(key, namespace);
  ms      bigint := :"schema".check_entry(value, format, ttl);
  written bigint;
BEGIN
  LOOP
    IF :"schema".unrestricted() THEN
      SELECT f.version INTO written
        FROM :"schema".library_put(own, namespace, key, value, format, ms, 0, NULL) f;
    ELSE
      SELECT f.version INTO written
        FROM :"schema".restricted_put(own, namespace, key, value, format, ms, 0, NULL) f;
    END IF;
    IF FOUND THEN
      RETURN written;
    END IF;
    PERFORM :"schema".new_epoch();
  END LOOP;
END $$;

-- As put(), but only if there is no entry; NULL when there is one.
CREATE FUNCTION :"schema".add(key bytea, value bytea, ttl interval DEFAULT '5 minutes',
  namespace text DEFAULT 'default', format integer DEFAULT 0) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  own     uuid   := :"schema".entry_digest(key, namespace);
  ms      bigint := :"schema".check_entry(value, format, ttl);
  written bigint;
BEGIN
  LOOP
    IF :"schema".unrestricted() THEN
      SELECT f.version INTO written
        FROM :"schema".library_add(own, namespace, key, value, format, ms, 0, NULL) f;
    ELSE
      SELECT f.version INTO written
        FROM :"schema".restricted_add(own, namespace, key, value, format, ms, 0, NULL) f;
    END IF;
    IF FOUND THEN
      RETURN written;
    END IF;
    PERFORM :"schema".new_epoch();
  END LOOP;
END $$;

-- As put(), but only if there is an entry; NULL when there is none.
CREATE FUNCTION :"schema".replace(key bytea, value bytea, ttl interval DEFAULT '5 minutes',
  namespace text DEFAULT 'default', format integer DEFAULT 0) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  own     uuid   := :"schema".entry_digest(key, namespace);
  ms      bigint := :"schema".check_entry(value, format, ttl);
  written bigint;
BEGIN
  LOOP
    IF :"schema".unrestricted() THEN
      SELECT f.version INTO written
        FROM :"schema".library_replace(own, namespace, key, value, format, ms, 0, NULL) f;
    ELSE
      SELECT f.version INTO written
        FROM :"schema".restricted_replace(own, namespace, key, value, format, ms, 0, NULL) f;
    END IF;
    IF FOUND AND (written IS NOT NULL OR NOT :"schema"."exists"(key, namespace)) THEN
      RETURN written; -- what was refreshed between the statement's snapshot and its look at the row is tried again
    ELSIF NOT FOUND THEN
      PERFORM :"schema".new_epoch();
    END IF;
  END LOOP;
END $$;

-- As put(), but only if the entry still has the version that was read; NULL when it has not, or there is none.
CREATE FUNCTION :"schema".compare_and_swap(key bytea, value bytea, expected bigint, ttl interval DEFAULT '5 minutes',
  namespace text DEFAULT 'default', format integer DEFAULT 0) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  own     uuid   := :"schema".entry_digest(key, namespace);
  ms      bigint := :"schema".check_entry(value, format, ttl);
  written bigint;
BEGIN
  LOOP
    IF :"schema".unrestricted() THEN
      SELECT f.version INTO written
        FROM :"schema".library_compare_and_swap(own, namespace, key, value, format, ms, 0, expected, NULL) f;
    ELSE
      SELECT f.version INTO written
        FROM :"schema".restricted_compare_and_swap(own, namespace, key, value, format, ms, 0, expected, NULL) f;
    END IF;
    IF FOUND THEN
      RETURN written;
    END IF;
    PERFORM :"schema".new_epoch();
  END LOOP;
END $$;

-- Gives an entry a new time to live, and its new version; NULL when there is no entry.
CREATE FUNCTION :"schema".touch(key bytea, ttl interval, namespace text DEFAULT 'default') RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  own     uuid   := :"schema".entry_digest(key, namespace);
  ms      bigint := :"schema".check_entry('', 0, ttl);
  written bigint;
BEGIN
  LOOP
    IF :"schema".unrestricted() THEN
      SELECT f.version INTO written FROM :"schema".library_touch(own, ms) f;
    ELSE
      SELECT f.version INTO written FROM :"schema".restricted_touch(own, ms) f;
    END IF;
    IF FOUND AND (written IS NOT NULL OR NOT :"schema"."exists"(key, namespace)) THEN
      RETURN written; -- as in replace()
    ELSIF NOT FOUND THEN
      PERFORM :"schema".new_epoch();
    END IF;
  END LOOP;
END $$;

-- Removes an entry; false when there was none, or only an expired one.
CREATE FUNCTION :"schema".remove(key bytea, namespace text DEFAULT 'default') RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  own  uuid := :"schema".entry_digest(key, namespace);
  gone boolean;
BEGIN
  IF :"schema".unrestricted() THEN
    SELECT f.alive INTO gone FROM :"schema".library_remove(own) f;
  ELSE
    SELECT f.alive INTO gone FROM :"schema".restricted_remove(own) f;
  END IF;
  RETURN coalesce(gone, false);
END $$;

-- Adds delta to a counter, an entry of format 1 that holds a decimal 64-bit integer, and gives the new number. initial and
-- ttl are used only if there is no entry: it is then initial + delta. 55000: the entry is no counter; 22003: the number would
-- leave 64 bits, and is unchanged.
CREATE FUNCTION :"schema".incr(key bytea, delta bigint DEFAULT 1, initial bigint DEFAULT 0,
  ttl interval DEFAULT '5 minutes', namespace text DEFAULT 'default') RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  own    uuid   := :"schema".entry_digest(key, namespace);
  ms     bigint := :"schema".check_entry('', 1, ttl);
  counted bigint;
BEGIN
  IF delta IS NULL OR initial IS NULL THEN
    RAISE 'pgcache: a counter needs numbers' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  LOOP
    IF :"schema".unrestricted() THEN
      SELECT f.number INTO counted
        FROM :"schema".library_increment(own, namespace, key, initial + delta, delta, ms, 0) f;
    ELSE
      SELECT f.number INTO counted
        FROM :"schema".restricted_increment(own, namespace, key, initial + delta, delta, ms, 0) f;
    END IF;
    EXIT WHEN FOUND;
    PERFORM :"schema".new_epoch();
  END LOOP;
  IF counted IS NULL THEN
    RAISE 'pgcache: the entry is no counter: it needs format 1 and a decimal 64-bit integer'
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  RETURN counted;
END $$;

-- Removes the entries of a namespace, locking them in the order of their digests, and gives the number of rows.
CREATE FUNCTION :"schema".flush(namespace text DEFAULT 'default') RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  part  record;
  total bigint := 0;
  start uuid   := '00000000-0000-0000-0000-000000000000';
BEGIN
  PERFORM :"schema".entry_digest('-', namespace); -- for its checks
  LOOP
    IF :"schema".unrestricted() THEN
      SELECT * INTO part FROM :"schema".library_flush(start, namespace, 1000);
    ELSE
      SELECT * INTO part FROM :"schema".restricted_flush(start, namespace, 1000);
    END IF;
    total := total + part.removed;
    EXIT WHEN part.found < 1000;
    start := part.last_digest;
  END LOOP;
  RETURN total;
END $$;

-- The same for all namespaces that the role may use.
CREATE FUNCTION :"schema".flush_all() RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  part  record;
  total bigint := 0;
  start uuid   := '00000000-0000-0000-0000-000000000000';
BEGIN
  LOOP
    IF :"schema".unrestricted() THEN
      SELECT * INTO part FROM :"schema".library_flush(start, NULL, 1000);
    ELSE
      SELECT * INTO part FROM :"schema".restricted_flush(start, NULL, 1000);
    END IF;
    total := total + part.removed;
    EXIT WHEN part.found < 1000;
    start := part.last_digest;
  END LOOP;
  RETURN total;
END $$;

-- Counts what the role may use; reads the whole table. relation_bytes are those of the whole table.
CREATE FUNCTION :"schema".stats(OUT entries bigint, OUT expired bigint, OUT value_bytes bigint, OUT relation_bytes bigint,
  OUT schema_version integer, OUT epoch integer, OUT logged boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF :"schema".unrestricted() THEN
    SELECT f.* INTO entries, expired, value_bytes, relation_bytes, schema_version, epoch, logged
      FROM :"schema".library_stats() f;
  ELSE
    SELECT f.* INTO entries, expired, value_bytes, relation_bytes, schema_version, epoch, logged
      FROM :"schema".restricted_stats() f;
  END IF;
END $$;

-- The same with keys that are text.
CREATE FUNCTION :"schema".get(key text, namespace text DEFAULT 'default') RETURNS bytea
LANGUAGE sql
RETURN :"schema".get(convert_to(key, 'UTF8'), namespace);
CREATE FUNCTION :"schema".get_json(key text, namespace text DEFAULT 'default') RETURNS jsonb
LANGUAGE sql
RETURN :"schema".get_json(convert_to(key, 'UTF8'), namespace);
CREATE FUNCTION :"schema"."exists"(key text, namespace text DEFAULT 'default') RETURNS boolean
LANGUAGE sql
RETURN :"schema"."exists"(convert_to(key, 'UTF8'), namespace);
CREATE FUNCTION :"schema".put(key text, value bytea, ttl interval DEFAULT '5 minutes', namespace text DEFAULT 'default',
  format integer DEFAULT 0) RETURNS bigint
LANGUAGE sql
RETURN :"schema".put(convert_to(key, 'UTF8'), value, ttl, namespace, format);
CREATE FUNCTION :"schema".add(key text, value bytea, ttl interval DEFAULT '5 minutes', namespace text DEFAULT 'default',
  format integer DEFAULT 0) RETURNS bigint
LANGUAGE sql
RETURN :"schema".add(convert_to(key, 'UTF8'), value, ttl, namespace, format);
CREATE FUNCTION :"schema".replace(key text, value bytea, ttl interval DEFAULT '5 minutes', namespace text DEFAULT 'default',
  format integer DEFAULT 0) RETURNS bigint
LANGUAGE sql
RETURN :"schema".replace(convert_to(key, 'UTF8'), value, ttl, namespace, format);
CREATE FUNCTION :"schema".compare_and_swap(key text, value bytea, expected bigint, ttl interval DEFAULT '5 minutes', namespace text DEFAULT 'default',
  format integer DEFAULT 0) RETURNS bigint
LANGUAGE sql
RETURN :"schema".compare_and_swap(convert_to(key, 'UTF8'), value, expected, ttl, namespace, format);
CREATE FUNCTION :"schema".touch(key text, ttl interval, namespace text DEFAULT 'default') RETURNS bigint
LANGUAGE sql
RETURN :"schema".touch(convert_to(key, 'UTF8'), ttl, namespace);
CREATE FUNCTION :"schema".remove(key text, namespace text DEFAULT 'default') RETURNS boolean
LANGUAGE sql
RETURN :"schema".remove(convert_to(key, 'UTF8'), namespace);
CREATE FUNCTION :"schema".incr(key text, delta bigint DEFAULT 1, initial bigint DEFAULT 0,
  ttl interval DEFAULT '5 minutes', namespace text DEFAULT 'default') RETURNS bigint
LANGUAGE sql
RETURN :"schema".incr(convert_to(key, 'UTF8'), delta, initial, ttl, namespace);

-- JSON as jsonb.
CREATE FUNCTION :"schema".put_json(key bytea, value jsonb, ttl interval DEFAULT '5 minutes',
  namespace text DEFAULT 'default') RETURNS bigint
LANGUAGE sql
RETURN :"schema".put(key, convert_to(value::text, 'UTF8'), ttl, namespace, 1);
CREATE FUNCTION :"schema".put_json(key text, value jsonb, ttl interval DEFAULT '5 minutes',
  namespace text DEFAULT 'default') RETURNS bigint
LANGUAGE sql
RETURN :"schema".put(convert_to(key, 'UTF8'), convert_to(value::text, 'UTF8'), ttl, namespace, 1);
