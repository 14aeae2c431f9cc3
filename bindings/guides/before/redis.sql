-- before/redis.sql - the application's own table.
--
-- SPDX-License-Identifier: MIT
CREATE TABLE orders (orderid serial PRIMARY KEY, customerid integer NOT NULL);
INSERT INTO orders (customerid) VALUES (7), (7), (8);
