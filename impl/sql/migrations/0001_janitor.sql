-- Schema version 1, third part: the janitor. It deletes what has expired and keeps the cache within its bounds, in slices
-- of a millisecond or two, each one call of clean_slice(). Nothing here is written by the operations on entries: what a
-- bound holds is counted by walking the table, because a row of counters would be the one that all writers wait for.

-- Who walks, and how far the walk has come. A crash empties it, and the next slice makes it anew.
CREATE UNLOGGED TABLE :"schema".janitor (
  only_row   boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
  holder     uuid        NOT NULL,                    -- the process that walks;
  until      timestamptz NOT NULL,                    -- it is taken for dead when it says nothing until then
  stage      smallint    NOT NULL DEFAULT 0,          -- 0: no walk. 1: deletes what has expired, and counts. 2: evicts from
                                                      -- namespaces above their bounds. 3: above the bounds for all.
                                                      -- 4: deletes invalidated entries. 5: deletes old invalidations
  next_block bigint      NOT NULL DEFAULT 0,          -- in stage 4 the first two bytes of a digest
  cut        xid8,                                    -- invalidations by older transactions are old; NULL: none are looked for
  began_at   timestamptz NOT NULL DEFAULT '-infinity', -- the walk under way, or else the last one
  ended_at   timestamptz NOT NULL DEFAULT '-infinity', -- the last one that came to its end
  written    bigint      NOT NULL DEFAULT 0,          -- where version_seq stood when it began
  removed    bigint      NOT NULL DEFAULT 0,          -- expired rows that it deleted,
  evicted    bigint      NOT NULL DEFAULT 0,          -- entries that it evicted,
  entries    bigint      NOT NULL DEFAULT 0,          -- and what it left
  bytes      bigint      NOT NULL DEFAULT 0
);

-- What the walk has counted: entries that have not expired, by how long ago they were used.
CREATE UNLOGGED TABLE :"schema".tally (
  namespace text COLLATE "C" NOT NULL,
  age       smallint NOT NULL,                        -- see coldness(); 0 for all while there is no bound
  entries   bigint   NOT NULL,
  bytes     bigint   NOT NULL,                        -- of keys and values, as stored
  PRIMARY KEY (namespace, age)
);

-- What the walk evicts: entries of a higher age all, and of this age so many that both numbers are reached.
CREATE UNLOGGED TABLE :"schema".eviction (
  namespace text COLLATE "C" PRIMARY KEY,             -- '' for the bounds for all
  age       smallint NOT NULL,
  entries   bigint   NOT NULL,
  bytes     bigint   NOT NULL
);

-- How cold an entry is: 0 when it was used since the walk began, else a step more for every 19% that its last use lies
-- further back. STABLE, as date_part() is: declared to be more, it would not be inlined, and a walk take six times as long.
CREATE FUNCTION :"schema".coldness(began timestamptz, accessed timestamptz) RETURNS smallint
LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN $2 >= $1 THEN 0
              ELSE least(200, 1 + floor(5.7708 * ln(1 + 1000 * (date_part('epoch', $1) - date_part('epoch', $2)))))
         END::smallint
$$;

-- Is there a bound? namespaces.settings may hold max_entries and max_bytes; the row '' has the bounds for all.
-- VOLATILE because set_limit.sql asks in the statement that sets one: a stable function would see what was before.
CREATE FUNCTION :"schema".is_bounded() RETURNS boolean
LANGUAGE sql VOLATILE AS $$
  SELECT EXISTS (SELECT FROM :"schema".namespaces n WHERE n.settings ?| ARRAY['max_entries', 'max_bytes'])
$$;

-- Forgets what is old of the change stream. Says whether it has done anything. Cheap when nothing is due; the relay and the
-- janitors call it. Everybody who may use the cache may: it does what is due and nothing else. Who stays in its transaction
-- after that keeps the lock, and others from polling: their near caches then give no hits, but never wrong ones.
CREATE FUNCTION :"schema".trim_changes() RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN :"schema".trim_changes_older(60000, 1048576);
EXCEPTION WHEN lock_not_available THEN
  RETURN false;
END $$;

CREATE FUNCTION :"schema".changes_size(slot integer) RETURNS bigint
LANGUAGE sql VOLATILE
RETURN (SELECT pg_relation_size(c.oid) + coalesce(pg_relation_size(nullif(c.reltoastrelid, 0)), 0) -- where long events are
          FROM pg_class c WHERE c.oid = format('%I.changes_%s', :'schema', slot)::regclass);

-- Truncates a partition if the snapshot sees all that is in it.
CREATE FUNCTION :"schema".truncate_changes(slot integer, seen pg_snapshot) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  part   text := format('%I.changes_%s', :'schema', slot);
  unseen text := format('SELECT EXISTS (SELECT FROM %1$s WHERE xid >= $1 UNION ALL SELECT FROM %1$s WHERE xid = ANY ($2))',
                        part);
  found  boolean;
BEGIN
  FOR look IN 1..2 LOOP -- before there is a lock: that would be in the others' way for nothing
    EXECUTE unseen INTO found USING pg_snapshot_xmax(seen), ARRAY(SELECT pg_snapshot_xip(seen));
    IF found THEN
      RETURN false;
    ELSIF look = 1 THEN
      EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', part);
    END IF;
  END LOOP;
  EXECUTE format('TRUNCATE TABLE ONLY %s', part);
  RETURN true;
END $$;

-- keep_ms: for how long what has happened is kept. A listener that was away for longer has to forget everything; the longest
-- bound that a handle may have (near_staleness_ms) is 60,000 ms, after which it had to do that anyway. least_bytes: as long as
-- the partition that is written has fewer, it is left alone. Parameters for the owner, and so for tests; others may call
-- trim_changes().
--
-- Done in steps, each a transaction of its own:
--   1  take a snapshot S, and keep it for keep_ms;
--   2  make its position the floor;
--   3  truncate those partitions, but the one that is written, all of whose rows S sees, and write on in an empty one.
-- Why no poll ever misses an event by that:
--   a  Snapshots of one server are in an order: a later one sees all that an earlier one does, and its position (xmax less
--      those in progress) grows with each transaction that ends. Only the transaction that takes S does not count itself as
--      in progress; so it must not have a number yet. So a cursor whose position is not below that of S has seen all that S
--      sees, and a partition that was truncated in step 3 held nothing new for it.
--   b  A poll whose cursor is below it must be told so. It locks the partitions before it takes its snapshot: so do executions
--      of prepared statements and statements in functions, in read committed. If it has its locks first, step 3 waits
--      for it, and gives up soon. If it gets them after step 3, its snapshot is later than step 3's commit, and all the more
--      later than step 2's, whose floor it gives.
--   c  "All of whose rows" is looked at with the partition locked and a snapshot taken after that. A transaction that has
--      written there and has not ended, a prepared one included, has a lock on the partition that keeps us out; one that
--      has ended is seen. Whoever comes later with an old `slot` writes into the empty table, where it is read as well.
--   d  Another marker may have been made between the steps, with floor 0. Then there is another nonce, and every cursor with
--      that one is later than S.
-- None of this depends on clocks. A transaction of anybody's that goes on for long keeps the partition that it has written to,
-- or reads, and the other two are used in turn; one that keeps all of them makes the current one grow until it ends.
CREATE FUNCTION :"schema".trim_changes_older(keep_ms bigint, least_bytes bigint) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '20ms' SET enable_seqscan = off AS $$
DECLARE
  now    timestamptz := clock_timestamp();
  keep   interval    := keep_ms * interval '1 millisecond';
  own    :"schema".trimming;
  seen   pg_snapshot;
  slot   integer;
  empty  integer;                                     -- a partition where nothing is
  old    boolean;                                     -- are there others than the one that is written?
  failed boolean := false;
BEGIN
  SELECT t.* INTO own FROM :"schema".trimming t;
  IF own.next_at > now AND own.next_at <= now + keep + interval '1 minute' THEN
    RETURN false;
  ELSIF current_setting('transaction_isolation') <> 'read committed' OR pg_current_xact_id_if_assigned() IS NOT NULL
        OR pg_is_in_recovery() OR now - transaction_timestamp() > interval '1 second' THEN -- somebody's own, and for how long?
    RETURN false;
  END IF;
  seen := pg_current_snapshot();
  SELECT m.slot INTO slot FROM :"schema".marker m;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  old := false;
  FOR n IN 0..2 LOOP
    IF n <> slot AND :"schema".changes_size(n) = 0 THEN
      empty := n;
    ELSIF n <> slot THEN
      old := true;
    END IF;
  END LOOP;
  IF own.snapshot IS NULL AND NOT old AND :"schema".changes_size(slot) < least_bytes THEN
    RETURN false;
  END IF;

  IF own.next_at IS NULL THEN
    INSERT INTO :"schema".trimming (next_at, floored) VALUES ('-infinity', false) ON CONFLICT DO NOTHING;
  END IF;
  SELECT t.* INTO own FROM :"schema".trimming t FOR UPDATE SKIP LOCKED;
  IF NOT FOUND OR (own.next_at > now AND own.next_at <= now + keep + interval '1 minute') THEN
    RETURN false; -- another one is at it, or was quicker
  END IF;

  IF own.taken_at > now THEN -- of a clock set back
    own.snapshot := NULL;
  END IF;
  IF own.snapshot IS NULL AND old THEN -- 1
    own.snapshot := seen;
    own.taken_at := now;
    own.floored := false;
    own.next_at := now + keep;
  ELSIF own.snapshot IS NOT NULL AND NOT own.floored THEN -- 2
    UPDATE :"schema".marker m
       SET floor = greatest(m.floor, pg_snapshot_xmax(own.snapshot)::text::bigint
                                     - (SELECT count(*) FROM pg_snapshot_xip(own.snapshot)));
    own.floored := true;
    own.next_at := now;
  ELSE -- 3
    FOR n IN 0..2 LOOP
      CONTINUE WHEN n = slot OR own.snapshot IS NULL OR :"schema".changes_size(n) = 0;
      BEGIN
        IF :"schema".truncate_changes(n, own.snapshot) THEN
          empty := n;
        END IF;
      EXCEPTION WHEN lock_not_available THEN
        failed := true;
      END;
    END LOOP;
    IF empty IS NOT NULL AND :"schema".changes_size(slot) >= least_bytes THEN
      UPDATE :"schema".marker m SET slot = empty;
    END IF;
    IF failed AND now < own.taken_at + 2 * keep THEN
      own.next_at := now + interval '1 second';
    ELSE
      own.snapshot := NULL;
      own.next_at := now;
    END IF;
  END IF;
  UPDATE :"schema".trimming
     SET next_at = own.next_at, taken_at = own.taken_at, snapshot = own.snapshot, floored = own.floored;
  RETURN true;
END $$;

-- From which transaction on invalidations are still needed. NULL: nothing is old, or, unless it is asked for, there are so few
-- that nobody looks. Expired leases go first, in every walk, but not those that somebody is about to use. Why old invalidations can go, once the entries that they have ended are gone:
--   a  Every fill is as of its lease's snapshot, and takes the lease away as it brings the entry. So whatever is filled after the
--      cut was made is as of the cut or later: it had its lease by then, which the cut heeds, or took it after that, with a
--      snapshot whose oldest transaction in progress is the cut's or a later one. No old invalidation concerns it. A lease of
--      an older snapshot may become visible only after that; but its load begins still later, and reads what is new.
--   b  touch, increment and compare_and_swap keep what an entry is as of. Stage 4 deletes by digest, which never changes: an
--      entry that one of them holds is waited for and looked at again, and if it is held for long the walk gives up.
--   c  A put is as of its snapshot, which may be older than the cut. It promises nothing of what was committed before it.
--   d  Stage 5 begins when stage 4 is through, and its deletions are written to the log behind those of stage 4.
-- A transaction that goes on for long keeps the cut where it began, whoever's it is; so does a lease, for an hour at most. The
-- all-zero token's may last longer, and nobody fills it: it keeps nothing.
CREATE FUNCTION :"schema".invalidations_cut(anew boolean) RETURNS xid8
LANGUAGE plpgsql AS $$
DECLARE
  cut xid8;
BEGIN
  DELETE FROM :"schema".leases l
   WHERE l.digest = ANY (ARRAY(SELECT o.digest FROM :"schema".leases o WHERE o.deadline <= clock_timestamp()
                               ORDER BY o.digest LIMIT 10000 FOR UPDATE SKIP LOCKED))
     AND l.deadline <= clock_timestamp();
  IF NOT anew AND pg_relation_size(:'invalidations') < 524288 THEN
    RETURN NULL;
  END IF;
  SELECT least(pg_snapshot_xmin(pg_current_snapshot()),
               (SELECT min(l.asof) FROM :"schema".leases l WHERE l.token <> '00000000-0000-0000-0000-000000000000'))
    INTO cut;
  -- The oldest rows are mostly the first, and those there soon grow old if they are not.
  IF EXISTS (SELECT FROM :"schema".invalidations i WHERE i.ctid < '(128,0)' AND i.xid < cut) THEN
    RETURN cut;
  END IF;
  RETURN NULL;
END $$;

-- Stage 4, for digests whose first two bytes are in a range. False: somebody holds an entry for long.
CREATE FUNCTION :"schema".end_part(first bigint, behind bigint, cut xid8, OUT deleted bigint, OUT done boolean)
LANGUAGE plpgsql SET lock_timeout = '20ms' SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
  DELETE FROM :"schema".entries e
   WHERE e.digest >= rpad(lpad(to_hex(first), 4, '0'), 32, '0')::uuid
     AND e.digest <= rpad(lpad(to_hex(behind - 1), 4, '0'), 32, 'f')::uuid
     AND EXISTS (SELECT FROM :"schema".invalidations i
                  WHERE i.digest = ANY (e.dependencies) AND i.xid >= e.asof AND i.xid < cut
                    AND (e.snapshot IS NULL OR NOT pg_visible_in_snapshot(i.xid, e.snapshot)));
  GET DIAGNOSTICS deleted = ROW_COUNT;
  done := true;
EXCEPTION WHEN lock_not_available THEN
  deleted := 0;
  done := false;
END $$;

-- For the library's janitors. Does the next slice of the walk, or begins one: at once if `anew`, else when the last one
-- ended due_ms ago, or earlier when there is a bound and a twentieth of the entries may have come since.
-- walker: who asks; while somebody else's lease lasts the answer is busy. lease_ms: how long the walker may then be silent.
-- budget_us: after that time no further part is begun. A part is at most 128 blocks, and as many as fit the budget; it
-- deletes a megabyte, because the server deletes a long value piece by piece, and then the same blocks are another part.
-- Whoever may call it can do no more than what the owner's limits say, and holds the lease for a minute at most.
-- finished: there is no walk any more. done_blocks, all_blocks: how far it has come in its stage.
CREATE FUNCTION :"schema".clean_slice(walker uuid, budget_us integer, lease_ms integer, due_ms bigint, anew boolean,
                                 OUT busy boolean, OUT finished boolean, OUT now_removed bigint, OUT now_evicted bigint,
                                 OUT in_stage integer, OUT done_blocks bigint, OUT all_blocks bigint,
                                 OUT spent_us bigint, OUT bounded boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  started timestamptz := clock_timestamp();
  part    timestamptz;                                -- when the part began
  step    integer := 16;                              -- blocks of a part
  written bigint;
  own     :"schema".janitor;
  n       bigint;
  more    boolean;                                    -- the part has left something to delete
  blocks  bigint;                                     -- of the stage
  now_ended bigint;
BEGIN
  busy := false;
  finished := false;
  now_removed := 0;
  now_evicted := 0;
  in_stage := 0;
  done_blocks := 0;
  all_blocks := pg_relation_size(:'entries') / current_setting('block_size')::bigint;
  spent_us := 0;
  budget_us := least(budget_us, 100000);
  lease_ms := least(lease_ms, 60000);
  bounded := :"schema".is_bounded();
  PERFORM :"schema".trim_changes(); -- before anything is written; where nobody has a near cache nobody else does it

  -- The row lock is held by a slice under way, and the lease between slices; neither is waited for. Only who may walk
  -- takes the lock: others would be in the walker's way. A lease that ends later than any could is of a clock set back.
  SELECT j.* INTO own FROM :"schema".janitor j;
  busy := FOUND AND own.holder <> walker AND own.until > started AND own.until <= started + interval '1 minute';
  IF busy THEN
    RETURN;
  END IF;
  SELECT j.* INTO own FROM :"schema".janitor j FOR UPDATE SKIP LOCKED;
  IF NOT FOUND AND NOT EXISTS (SELECT FROM :"schema".janitor) THEN
    INSERT INTO :"schema".janitor (holder, until) VALUES (walker, started) ON CONFLICT DO NOTHING;
    SELECT j.* INTO own FROM :"schema".janitor j FOR UPDATE SKIP LOCKED;
  END IF;
  IF own.holder IS NULL OR (own.holder <> walker AND own.until > started
                            AND own.until <= started + interval '1 minute') THEN
    busy := true;
    RETURN;
  END IF;

  written := coalesce(pg_sequence_last_value(:'version_seq'), 0);
  IF anew OR (own.stage = 0 AND (own.ended_at + due_ms * interval '1 millisecond' <= started OR own.ended_at > started
                                 OR (bounded AND written - own.written >= greatest(64, own.entries / 20)))) THEN
    own.stage := 1;
    own.next_block := 0;
    own.began_at := started;
    own.written := written;
    own.removed := 0;
    own.evicted := 0;
    own.cut := NULL;
    IF current_setting('transaction_isolation') = 'read committed' THEN
      own.cut := :"schema".invalidations_cut(anew);
    END IF;
    DELETE FROM :"schema".tally;
  END IF;

  blocks := CASE own.stage WHEN 4 THEN 65536 ELSE all_blocks END;
  WHILE own.stage > 0 LOOP
    IF own.stage = 5 THEN
      blocks := pg_relation_size(:'invalidations') / current_setting('block_size')::bigint;
    END IF;
    IF own.stage = 4 AND own.next_block < blocks THEN -- about eight blocks of entries at a time
      n := least(65536, own.next_block + greatest(1, 65536 * 8 / greatest(all_blocks, 1)));
      SELECT p.deleted, p.done INTO now_ended, more FROM :"schema".end_part(own.next_block, n, own.cut) p;
      own.removed := own.removed + now_ended;
      now_removed := now_removed + now_ended;
      IF more THEN
        own.next_block := n;
      ELSE
        own.cut := NULL; -- a later walk does it
        own.next_block := blocks;
      END IF;
    ELSIF own.stage = 5 AND own.next_block < blocks THEN
      DELETE FROM :"schema".invalidations i
       WHERE i.ctid >= format('(%s,0)', own.next_block)::tid AND i.ctid < format('(%s,0)', own.next_block + 8)::tid
         AND i.xid < own.cut;
      own.next_block := own.next_block + 8;
    ELSIF own.next_block < blocks THEN
      part := clock_timestamp();
      IF own.stage = 1 THEN
        SELECT p.deleted, p.more INTO n, more
          FROM :"schema".clean_part(own.next_block, own.next_block + step, own.began_at, bounded) p;
        own.removed := own.removed + n;
        now_removed := now_removed + n;
      ELSE
        SELECT p.deleted, p.more INTO n, more
          FROM :"schema".evict_part(own.next_block, own.next_block + step, own.began_at, own.stage = 3) p;
        own.evicted := own.evicted + n;
        now_evicted := now_evicted + n;
      END IF;
      IF NOT more THEN
        own.next_block := own.next_block + step;
      END IF;
      IF NOT more AND (clock_timestamp() - part) * 2 < budget_us * interval '1 microsecond' THEN
        step := least(step * 2, 128);
      END IF;
    END IF;
    IF own.next_block >= blocks THEN -- the stage is over; the next one begins if it has something to do
      own.next_block := 0;
      LOOP
        own.stage := (own.stage + 1) % 6;
        EXIT WHEN own.stage = 0 OR (own.stage >= 4 AND own.cut IS NOT NULL)
               OR (own.stage < 4 AND bounded AND :"schema".plan_eviction(own.stage = 3));
      END LOOP;
      blocks := CASE own.stage WHEN 4 THEN 65536 ELSE all_blocks END;
      IF own.stage = 0 THEN
        own.ended_at := clock_timestamp();
        SELECT coalesce(sum(t.entries), 0), coalesce(sum(t.bytes), 0) INTO own.entries, own.bytes
          FROM :"schema".tally t;
      END IF;
    END IF;
    EXIT WHEN clock_timestamp() >= started + budget_us * interval '1 microsecond';
  END LOOP;

  finished := own.stage = 0;
  in_stage := CASE WHEN own.stage < 4 THEN own.stage ELSE 1 END; -- what is deleted there is of no more use, either
  all_blocks := blocks;
  done_blocks := CASE WHEN finished THEN blocks ELSE least(own.next_block, blocks) END;
  UPDATE :"schema".janitor
     SET holder = walker,
         until = clock_timestamp() + CASE WHEN finished THEN 0 ELSE lease_ms END * interval '1 millisecond',
         stage = own.stage, next_block = own.next_block, cut = own.cut, began_at = own.began_at, ended_at = own.ended_at,
         written = own.written, removed = own.removed, evicted = own.evicted, entries = own.entries, bytes = own.bytes;
  spent_us := (extract(epoch FROM clock_timestamp() - started) * 1000000)::bigint;
END $$;

-- Deletes what has expired in a range of blocks, and counts the rest. The expiry is looked at again while the row is
-- locked: an entry that was refreshed meanwhile stays. more: it was too much for one part, and nothing was counted yet.
CREATE FUNCTION :"schema".clean_part(first bigint, behind bigint, began timestamptz, ages boolean,
                                OUT deleted bigint, OUT more boolean)
LANGUAGE plpgsql AS $$
DECLARE
  low  tid := format('(%s,0)', first)::tid;
  high tid := format('(%s,0)', behind)::tid;
BEGIN
  WITH found AS MATERIALIZED (
    SELECT x.ctid AS place, octet_length(x.value) AS bytes FROM :"schema".entries x
     WHERE x.ctid >= low AND x.ctid < high AND x.expires_at <= clock_timestamp()
       FOR UPDATE SKIP LOCKED
  ), counted AS (
    SELECT f.place, coalesce(sum(f.bytes) OVER w, 0) AS bytes_before
      FROM found f
    WINDOW w AS (ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
  ), gone AS (
    DELETE FROM :"schema".entries e
     WHERE e.ctid = ANY (ARRAY(SELECT c.place FROM counted c WHERE c.bytes_before < 1048576))
       AND e.expires_at <= clock_timestamp()
    RETURNING 1
  )
  SELECT (SELECT count(*) FROM gone), EXISTS (SELECT FROM counted c WHERE c.bytes_before >= 1048576) INTO deleted, more;
  IF more THEN
    RETURN;
  END IF;
  INSERT INTO :"schema".tally AS t (namespace, age, entries, bytes)
  SELECT x.namespace, CASE WHEN ages THEN :"schema".coldness(began, x.accessed_at) ELSE 0 END, count(*),
         sum(octet_length(x.value) + coalesce(octet_length(x.key), 0))
    FROM :"schema".entries x
   WHERE x.ctid >= low AND x.ctid < high AND x.expires_at > clock_timestamp()
   GROUP BY 1, 2
  ON CONFLICT (namespace, age) DO UPDATE SET entries = t.entries + EXCLUDED.entries, bytes = t.bytes + EXCLUDED.bytes;
END $$;

-- From what was counted: from which age on entries must go so that the bounds hold. False: they hold.
CREATE FUNCTION :"schema".plan_eviction(for_all boolean) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM :"schema".eviction;
  WITH bound AS (
    SELECT n.name AS scope, (n.settings ->> 'max_entries')::bigint AS entries, (n.settings ->> 'max_bytes')::bigint AS bytes
      FROM :"schema".namespaces n
     WHERE (n.name = '') = for_all AND n.settings ?| ARRAY['max_entries', 'max_bytes']
  ), held AS (
    SELECT CASE WHEN for_all THEN '' ELSE t.namespace END AS scope, t.age, sum(t.entries) AS entries, sum(t.bytes) AS bytes
      FROM :"schema".tally t GROUP BY 1, 2
  ), excess AS ( -- greatest() passes NULL by: no bound, no excess
    SELECT b.scope, greatest(sum(h.entries) - b.entries, 0) AS entries, greatest(sum(h.bytes) - b.bytes, 0) AS bytes
      FROM bound b JOIN held h ON h.scope = b.scope GROUP BY b.scope, b.entries, b.bytes
  ), older AS ( -- what is left to evict when all that is colder than an age is gone
    SELECT h.scope, h.age, x.entries - (sum(h.entries) OVER w - h.entries) AS entries,
           x.bytes - (sum(h.bytes) OVER w - h.bytes) AS bytes
      FROM held h JOIN excess x ON x.scope = h.scope
    WINDOW w AS (PARTITION BY h.scope ORDER BY h.age DESC)
  )
  INSERT INTO :"schema".eviction (namespace, age, entries, bytes)
  SELECT DISTINCT ON (o.scope) o.scope, o.age, greatest(o.entries, 0), greatest(o.bytes, 0)
    FROM older o WHERE o.entries > 0 OR o.bytes > 0
   ORDER BY o.scope, o.age;
  RETURN FOUND;
END $$;

-- Evicts, in a range of blocks, what plan_eviction() found too much. How cold an entry is, is looked at again while the row
-- is locked: one that was used meanwhile stays, and so do all that came after the walk began. more: as above.
-- The change stream is told, because a removal of what is not there any more tells nobody. Of expired entries it is not: whoever
-- holds one knows when it ends.
CREATE FUNCTION :"schema".evict_part(first bigint, behind bigint, began timestamptz, for_all boolean,
                                OUT deleted bigint, OUT more boolean)
LANGUAGE plpgsql AS $$
DECLARE
  low  tid := format('(%s,0)', first)::tid;
  high tid := format('(%s,0)', behind)::tid;
BEGIN
  WITH cold AS MATERIALIZED (
    SELECT x.ctid AS place, x.namespace, :"schema".coldness(began, x.accessed_at) AS age,
           octet_length(x.value) + coalesce(octet_length(x.key), 0) AS bytes, o.namespace AS scope,
           :"schema".coldness(began, x.accessed_at) > o.age AS certain, o.entries AS more_entries, o.bytes AS more_bytes
      FROM :"schema".entries x
      JOIN :"schema".eviction o ON o.namespace = CASE WHEN for_all THEN '' ELSE x.namespace END
     WHERE x.ctid >= low AND x.ctid < high AND x.accessed_at < began
       AND :"schema".coldness(began, x.accessed_at) >= o.age
       AND (:"schema".coldness(began, x.accessed_at) > o.age OR o.entries > 0 OR o.bytes > 0)
       FOR UPDATE OF x SKIP LOCKED
  ), counted AS (
    SELECT c.*, count(*) OVER w AS entries_before, coalesce(sum(c.bytes) OVER w, 0) AS bytes_before
      FROM cold c
    WINDOW w AS (PARTITION BY c.scope, c.certain ORDER BY c.place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
  ), chosen AS (
    SELECT c.*, coalesce(sum(c.bytes) OVER v, 0) AS part_before
      FROM counted c
     WHERE c.certain OR c.entries_before < c.more_entries OR c.bytes_before < c.more_bytes
    WINDOW v AS (ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
  ), gone AS (
    DELETE FROM :"schema".entries e
     USING chosen c
     WHERE e.ctid = c.place AND c.part_before < 1048576
    RETURNING c.namespace, c.age, c.bytes, c.scope, c.certain, e.digest, e.version
-- @told
  ), told AS ( -- that it has changed into what comes next, whatever that will be
    INSERT INTO :"schema".changes (slot, kind, event)
    SELECT coalesce((SELECT m.slot FROM :"schema".marker m), 0), 0,
           string_agg(uuid_send(n.digest) || int8send(least(n.version, 9223372036854775806) + 1), '')
      FROM (SELECT g.*, row_number() OVER () - 1 AS number FROM gone g) n
     GROUP BY n.number / 80
-- @end
  ), spent AS (
    UPDATE :"schema".eviction o SET entries = o.entries - s.entries, bytes = o.bytes - s.bytes
      FROM (SELECT g.scope, count(*) AS entries, sum(g.bytes) AS bytes FROM gone g WHERE NOT g.certain GROUP BY 1) s
     WHERE o.namespace = s.scope
  ), less AS (
    UPDATE :"schema".tally t SET entries = t.entries - s.entries, bytes = t.bytes - s.bytes
      FROM (SELECT g.namespace, g.age, count(*) AS entries, sum(g.bytes) AS bytes FROM gone g GROUP BY 1, 2) s
     WHERE t.namespace = s.namespace AND t.age = s.age
  )
  SELECT (SELECT count(*) FROM gone), EXISTS (SELECT FROM chosen c WHERE c.part_before >= 1048576) INTO deleted, more;
END $$;

-- Bounds a namespace, or with NULL all of them together: the most entries, and the most bytes of keys and values as stored;
-- NULL: as many as there are. The janitor's next walk brings it about, and every later one.
CREATE FUNCTION :"schema".set_limit(namespace text, max_entries bigint DEFAULT NULL, max_bytes bigint DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
  IF namespace !~ '^[\x21-\x7e]{1,63}$' THEN
    RAISE 'pgcache: a namespace has 1 to 63 visible ASCII characters' USING ERRCODE = 'invalid_parameter_value';
  ELSIF max_entries <= 0 OR max_bytes <= 0 THEN
    RAISE 'pgcache: a limit is positive; NULL means none' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  INSERT INTO :"schema".namespaces AS n (name, settings)
  VALUES (coalesce(namespace, ''),
          jsonb_strip_nulls(jsonb_build_object('max_entries', max_entries, 'max_bytes', max_bytes)))
  ON CONFLICT (name) DO UPDATE SET settings = n.settings - 'max_entries' - 'max_bytes' || EXCLUDED.settings;
  UPDATE :"schema".janitor SET stage = 0, ended_at = '-infinity';
END $$;

-- What each namespace holds, counted now, and its bounds; first a row '' for all together. Reads the whole table.
CREATE FUNCTION :"schema".usage(OUT namespace text, OUT entries bigint, OUT bytes bigint, OUT expired bigint,
                           OUT max_entries bigint, OUT max_bytes bigint) RETURNS SETOF record
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(u.namespace, n.name), coalesce(u.entries, 0), coalesce(u.bytes, 0), coalesce(u.expired, 0),
         (n.settings ->> 'max_entries')::bigint, (n.settings ->> 'max_bytes')::bigint
    FROM (SELECT coalesce(e.namespace, '') AS namespace, count(*) FILTER (WHERE e.expires_at > t.now) AS entries,
                 sum(octet_length(e.value) + coalesce(octet_length(e.key), 0)) FILTER (WHERE e.expires_at > t.now) AS bytes,
                 count(*) FILTER (WHERE e.expires_at <= t.now) AS expired
            FROM (SELECT clock_timestamp() AS now OFFSET 0) t CROSS JOIN :"schema".entries e
           GROUP BY GROUPING SETS ((e.namespace), ())) u
    FULL JOIN (SELECT s.name, s.settings FROM :"schema".namespaces s
                WHERE s.settings ?| ARRAY['max_entries', 'max_bytes']) n ON n.name = u.namespace
   ORDER BY 1
$$;
