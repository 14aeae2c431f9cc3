"""psycache.sqlalchemy over pgcache: engines of the package SQLAlchemy, which is needed, with the driver psycopg.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from psycopg import AsyncConnection, Connection
    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["AsyncSQLAlchemyCachePool", "SQLAlchemyCachePool"]


class SQLAlchemyCachePool:
    """Lends connections of an engine, with autocommit."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def connect(self) -> Iterator[Connection[Any]]:
        """Lends a connection for a block."""
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            yield cast("Connection[Any]", connection.connection.driver_connection)


class AsyncSQLAlchemyCachePool:
    """Lends connections of an async engine, with autocommit."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection[Any]]:
        """Lends a connection for a block."""
        async with self._engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            raw = await connection.get_raw_connection()
            yield cast("AsyncConnection[Any]", raw.driver_connection)
