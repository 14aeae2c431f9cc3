-- before/psycache.sql - the table of psycache with an hour's entries, and the application's own.
--
-- SPDX-License-Identifier: MIT
CREATE UNLOGGED TABLE psycache (key text PRIMARY KEY, value jsonb NOT NULL, expires_at timestamptz NOT NULL);
CREATE INDEX ON psycache (expires_at);
INSERT INTO psycache VALUES
  ('user:alice', '{"score": 42}', now() + interval '1 hour'),
  ('user:bob', '{"score": 7}', now() + interval '1 hour'),
  ('user:carol', '{"score": 1}', now() - interval '1 minute');
CREATE TABLE users (name text PRIMARY KEY, score integer NOT NULL);
INSERT INTO users VALUES ('alice', 42), ('bob', 7);
