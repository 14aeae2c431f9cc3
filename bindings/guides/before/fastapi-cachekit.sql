-- before/fastapi-cachekit.sql - the table of fastapi-cachekit for the namespace myapp, with the pickles of
-- {"theme": "dark", "limits": (10, 20)} and of datetime.date(2026, 1, 1), and the application's own.
--
-- SPDX-License-Identifier: MIT
CREATE UNLOGGED TABLE myapp_cache_store (key TEXT PRIMARY KEY, value BYTEA NOT NULL, expire_at TIMESTAMPTZ);
CREATE INDEX idx_myapp_cache_store_expire_at ON myapp_cache_store (expire_at);
INSERT INTO myapp_cache_store VALUES
  ('myapp:config', '\x80049523000000000000007d94288c057468656d65948c046461726b948c066c696d697473944b0a4b148694752e', now() + interval '1 hour'),
  ('myapp:since', '\x80049520000000000000008c086461746574696d65948c0464617465949394430407ea010194859452942e', now() + interval '1 hour');
CREATE TABLE items (id integer PRIMARY KEY, price integer NOT NULL);
INSERT INTO items VALUES (7, 100);
