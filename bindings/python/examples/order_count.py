"""Counts of orders, which no reader ever sees older than a commit: loaded by one of all who ask, and ended by the transaction that adds
an order. The connections are the application's own, psycopg's. PGCACHE_URL says where.

SPDX-License-Identifier: MIT
"""

import os

import psycopg

import pgcache

DATABASE = os.environ["PGCACHE_URL"]


def count(cache: pgcache.Cache, customer: int) -> int:
    def load() -> int:
        with psycopg.connect(DATABASE) as connection:
            row = connection.execute("SELECT count(*) FROM example_orders WHERE customer = %s", [customer]).fetchone()
            return int(row[0]) if row else 0

    found = cache.get_or_load(f"count:{customer}", load, ttl=120, tags=[f"customer:{customer}"])
    assert found is not None
    return found


def add(cache: pgcache.Cache, customer: int) -> None:
    invalidation = cache.invalidation(tags=[f"customer:{customer}"])
    with psycopg.connect(DATABASE) as connection:
        connection.execute("INSERT INTO example_orders (customer) VALUES (%s)", [customer])
        connection.execute(invalidation.sql, invalidation.arguments)  # takes effect with the commit


def main() -> None:
    with psycopg.connect(DATABASE) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS example_orders (customer integer)")
        connection.execute("TRUNCATE example_orders")
    with pgcache.Cache() as cache:
        cache.init()
        cache.invalidate(tags=["customer:7"])
        for _ in range(3):
            add(cache, 7)
            cache.fence()  # only for the next line: within milliseconds the near cache hears of it by itself
            print(count(cache, 7), count(cache, 7))


if __name__ == "__main__":
    main()
