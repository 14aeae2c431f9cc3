"""psycache.psycopg_pool over pgcache: pools of the package psycopg_pool, which is needed. SPDX-License-Identifier: MIT"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg import AsyncConnection, Connection
    from psycopg_pool import AsyncConnectionPool, ConnectionPool

__all__ = ["AsyncPsycopgCachePool", "PsycopgCachePool"]


class PsycopgCachePool:
    """Lends connections of a `psycopg_pool.ConnectionPool`, with autocommit; they are given back as they came."""

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self._pool = pool

    @contextmanager
    def connect(self) -> Iterator[Connection[Any]]:
        """Lends a connection for a block."""
        with self._pool.connection() as connection:
            before, connection.autocommit = connection.autocommit, True
            try:
                yield connection
            finally:
                connection.autocommit = before


class AsyncPsycopgCachePool:
    """Lends connections of a `psycopg_pool.AsyncConnectionPool`, with autocommit; they are given back as they came."""

    def __init__(self, pool: AsyncConnectionPool[Any]) -> None:
        self._pool = pool

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection[Any]]:
        """Lends a connection for a block."""
        async with self._pool.connection() as connection:
            before = connection.autocommit
            await connection.set_autocommit(True)
            try:
                yield connection
            finally:
                await connection.set_autocommit(before)
