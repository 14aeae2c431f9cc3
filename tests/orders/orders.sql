-- orders.sql - a table in the shape of dellstore2's orders, with as many rows, made here.
--
-- SPDX-License-Identifier: MIT
CREATE TABLE orders (
    orderid     serial PRIMARY KEY,
    orderdate   date NOT NULL,
    customerid  integer,
    netamount   numeric(12, 2) NOT NULL,
    tax         numeric(12, 2) NOT NULL,
    totalamount numeric(12, 2) NOT NULL
);
INSERT INTO orders (orderdate, customerid, netamount, tax, totalamount)
SELECT date '2020-01-01' + n % 365, n % 200 + 1, n % 400, 0, n % 400 FROM generate_series(1, 12000) AS n;
ANALYZE orders;
