-- before/postgres-cache.sql - the table of postgres-cache with the prefix marketing_, and the application's own.
--
-- SPDX-License-Identifier: MIT
CREATE TABLE marketing_cache_entries (
  cache_key text PRIMARY KEY, value bytea NOT NULL, version bigint NOT NULL DEFAULT 1, expires_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT timezone('UTC', now()), updated_at timestamptz NOT NULL DEFAULT timezone('UTC', now())
);
INSERT INTO marketing_cache_entries (cache_key, value, expires_at) VALUES
  ('profile:123', '{"name":"Ava"}', now() + interval '1 hour'),
  ('profile:456', '{"name":"Nova"}', NULL);
CREATE TABLE profiles (id integer PRIMARY KEY, name text NOT NULL);
INSERT INTO profiles VALUES (123, 'Ava'), (456, 'Nova'), (789, 'Iris');
