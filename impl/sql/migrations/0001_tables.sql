-- Schema version 1: the tables. Run inside one transaction; :"schema" is the cache's schema, :persistence is
-- UNLOGGED or nothing, :logged is true or false. The tables have their final columns: what later versions of the library
-- add are statements and functions.
DO $$
BEGIN
  IF to_regnamespace(:'schema') IS NULL THEN -- IF NOT EXISTS would need the privilege to create it, too
    CREATE SCHEMA :"schema";
  END IF;
END $$;

-- What must survive a crash: one row, always logged.
CREATE TABLE :"schema".cache (
  only_row          boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
  schema_version    integer     NOT NULL,
  logged            boolean     NOT NULL,             -- is the table entries logged?
  coherent          boolean     NOT NULL,             -- do writes leave events in the change stream?
  epoch             integer     NOT NULL CHECK (epoch BETWEEN 1 AND 65535),
  system_identifier bigint      NOT NULL,             -- of the cluster that the epoch was raised on,
  timeline          integer     NOT NULL,             -- and the timeline: a promotion begins another
  notify_channel    text        NOT NULL              -- of the change stream; not to be guessed by other roles
                    DEFAULT 'pgcache_' || left(replace(gen_random_uuid()::text, '-', ''), 12)
                                       || right(replace(gen_random_uuid()::text, '-', ''), 12),
  restricted        boolean     NOT NULL DEFAULT false, -- was a role let in that is kept to some namespaces?
  created_at        timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- @untold
-- Statements that leave no events name it, and fail where it is not.
ALTER TABLE :"schema".cache ADD COLUMN untold boolean;
-- @end

-- Present only while the unlogged tables are intact: a crash or a fail-over empties it, and nothing is written before
-- new_epoch() has raised the logged epoch and put the row back. So a version never repeats, although the sequence does.
CREATE UNLOGGED TABLE :"schema".marker (
  only_row boolean  PRIMARY KEY DEFAULT true CHECK (only_row),
  epoch    integer  NOT NULL,
  nonce    uuid     NOT NULL,                         -- differs after each crash; listeners compare it
  floor    bigint   NOT NULL DEFAULT 0,               -- the change stream reaches back to this position
  slot     smallint NOT NULL DEFAULT 0,               -- the partition of the change stream that is being written
  prepared xid8[]                                     -- transactions that a crash left prepared, see poll_changes.sql
);

-- A version is epoch << 47 | sequence: 16 bits of epoch, 47 of sequence, always positive.
CREATE UNLOGGED SEQUENCE :"schema".version_seq MAXVALUE 140737488355327 NO CYCLE;

CREATE :persistence TABLE :"schema".entries (
  digest       uuid        PRIMARY KEY,               -- see the function digest()
  version      bigint      NOT NULL,
  expires_at   timestamptz NOT NULL,                  -- 'infinity': never. Not indexed: an index would end HOT updates
  fresh_until  timestamptz NOT NULL,                  -- at most expires_at; between the two the entry is stale
  accessed_at  timestamptz NOT NULL,                  -- coarse: of the last write, or a batched touch of hot entries
  asof         xid8        NOT NULL,                  -- the entry holds what transactions before this one had committed,
  format       integer     NOT NULL,
  flags        integer     NOT NULL,                  -- how the value is stored, 0: as it is; bits 0x0f its compression,
                                                      -- 0x10 encrypted, 0x20 the digest is a keyed one
  load_ms      integer     NOT NULL,                  -- how long the value took to compute, 0: not known
  namespace    text COLLATE "C" NOT NULL,
  key          bytea,                                 -- NULL when the key is hidden behind a keyed digest
  snapshot     pg_snapshot,                           -- and, when some were in progress then, which of the later ones
  dependencies uuid[]      NOT NULL,                  -- digests whose invalidation ends the entry, its own included
  value        bytea       NOT NULL
) WITH (
  fillfactor = 70,                                    -- room on the page for the next version of a row: HOT updates
  autovacuum_vacuum_scale_factor = 0.05,
  autovacuum_vacuum_cost_delay = 0,
  autovacuum_analyze_scale_factor = 0.2,
  toast.autovacuum_vacuum_scale_factor = 0.05,
  toast.autovacuum_vacuum_cost_delay = 0
);
-- The server's own compression costs more than it saves on cache values, and it would run on every read.
ALTER TABLE :"schema".entries ALTER COLUMN value SET STORAGE EXTERNAL;
ALTER TABLE :"schema".entries ALTER COLUMN key SET STORAGE MAIN;

-- Who may load a missing entry, until when, and what the database looked like at the miss.
CREATE UNLOGGED TABLE :"schema".leases (
  digest   uuid        PRIMARY KEY,
  token    uuid        NOT NULL,
  deadline timestamptz NOT NULL,
  asof     xid8        NOT NULL,
  snapshot pg_snapshot,
  version  bigint      NOT NULL                       -- of the entry at the miss, 0: there was none
);

-- Invalidations, appended in the application's own transactions. Always logged: a prepared transaction must keep its
-- invalidation through a crash.
CREATE TABLE :"schema".invalidations (
  digest uuid NOT NULL,
  xid    xid8 NOT NULL DEFAULT pg_current_xact_id(),
  PRIMARY KEY (digest, xid)
);

-- The change stream: what near caches must forget. Three partitions, so that the oldest can be truncated. A row that names
-- the wrong one is read all the same. Nobody but the owner may give an xid: see 0001_roles.sql.
-- Logged if the entries are: a prepared transaction that is committed after a crash brings both.
CREATE TABLE :"schema".changes (
  slot  smallint NOT NULL,
  xid   xid8     NOT NULL DEFAULT pg_current_xact_id(),
  kind  smallint NOT NULL,
  event bytea    NOT NULL                             -- n * (digest 16 bytes | version 8 bytes), see pure/changes.h. No
                                                      -- CHECK: it is parsed anew for each row, a quarter of what a row costs
) PARTITION BY LIST (slot);
CREATE :persistence TABLE :"schema".changes_0 PARTITION OF :"schema".changes FOR VALUES IN (0);
CREATE :persistence TABLE :"schema".changes_1 PARTITION OF :"schema".changes FOR VALUES IN (1);
CREATE :persistence TABLE :"schema".changes_2 PARTITION OF :"schema".changes FOR VALUES IN (2);
CREATE INDEX changes_xid ON :"schema".changes (xid);

-- The process that passes the change stream on.
CREATE UNLOGGED TABLE :"schema".relay (
  only_row boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
  holder   uuid        NOT NULL,
  until    timestamptz NOT NULL
);
-- A renewal leaves a dead row, which stays for as long as anybody's transaction does; polls pass over those that have ended.
CREATE INDEX relay_until ON :"schema".relay (until);

-- How far the trimming of the change stream has come, see trim_changes().
CREATE UNLOGGED TABLE :"schema".trimming (
  only_row boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
  next_at  timestamptz NOT NULL,                      -- nothing is due before
  taken_at timestamptz,                               -- when
  snapshot pg_snapshot,                               -- this snapshot was taken: what it sees is soon forgotten
  floored  boolean     NOT NULL                       -- has its position become the floor?
);

-- What differs from namespace to namespace.
CREATE TABLE :"schema".namespaces (
  name     text COLLATE "C" PRIMARY KEY,
  settings jsonb NOT NULL DEFAULT '{}'                -- {"digests": "keyed"}: SQL cannot address its entries
);

-- The roles that grant_access() let in. What a role may do is in the catalog's grants; here is what they do not say.
CREATE TABLE :"schema".roles (
  name       name   PRIMARY KEY,
  grants     text   NOT NULL CHECK (grants IN ('functions', 'tables')),
  namespaces text[] COLLATE "C"                       -- NULL: all
);

INSERT INTO :"schema".cache (schema_version, logged, coherent, epoch, system_identifier, timeline)
SELECT 1, :logged, :coherent, 1, s.system_identifier, ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer
  FROM pg_control_system() s;
INSERT INTO :"schema".marker (epoch, nonce) VALUES (1, gen_random_uuid());
-- Of a table that was never looked at the planner expects hundreds of rows; then writes in the sessions of applications, by the
-- functions of the SQL API, would be planned at each call, and take 1.5 times as long.
ANALYZE :"schema".marker;
