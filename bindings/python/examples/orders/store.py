"""Orders and how many there are. The counts are cached, and no line here says when they end: the database does, which watches the table.

SPDX-License-Identifier: MIT
"""

import datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg_pool import AsyncConnectionPool

from pgcache import AsyncCache


async def watch_orders(connection: psycopg.AsyncConnection[Any], cache: AsyncCache) -> list[str]:
    """The tags that every change of the table invalidates, in its own transaction. The table is watched if it was not."""
    schema, namespace = sql.Identifier(cache.setting("schema")), cache.setting("namespace")
    watched = sql.SQL("SELECT tags FROM {}.watched WHERE relation = 'orders'::regclass AND namespace = %s").format(schema)

    async def tags() -> list[str]:
        row = await (await connection.execute(watched, [namespace])).fetchone()
        return [tag for tag in row[0] if "<" not in tag] if row else []  # those with columns are of single rows

    if not await tags():
        # Alone, if several applications start: making triggers takes the same lock.
        await connection.execute("LOCK TABLE orders IN SHARE ROW EXCLUSIVE MODE")
        if not await tags():
            await connection.execute(sql.SQL("SELECT {}.watch('orders', namespace => %s)").format(schema), [namespace])
    return await tags()


class Orders:
    def __init__(self, pool: AsyncConnectionPool[Any], cache: AsyncCache, tags: list[str], ttl: int) -> None:
        self._pool, self._cache, self._tags, self._ttl = pool, cache, tags, ttl

    async def count(self, customer: int | None) -> tuple[int, bool]:
        """How many orders there are, of all customers or one; and whether that was known already."""
        known = True

        async def load() -> int:
            nonlocal known
            known = False
            return await self._ask(customer)

        key = f"num_orders:{'all' if customer is None else customer}"
        counted = await self._cache.get_or_load(key, load, ttl=self._ttl, tags=self._tags)
        assert counted is not None
        return counted, known

    async def _ask(self, customer: int | None) -> int:
        async with self._pool.connection() as connection:
            if customer is None:
                found = await connection.execute("SELECT count(*) FROM orders")
            else:
                found = await connection.execute("SELECT count(*) FROM orders WHERE customerid = %s", [customer])
            row = await found.fetchone()
            return int(row[0]) if row else 0

    async def add(self, orderdate: datetime.date, customer: int, netamount: float, tax: float) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(
                "INSERT INTO orders (orderdate, customerid, netamount, tax, totalamount) VALUES (%s, %s, %s, %s, %s)",
                [orderdate, customer, netamount, tax, netamount + tax],
            )
