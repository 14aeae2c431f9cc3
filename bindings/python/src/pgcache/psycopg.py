"""The cache inside of transactions of psycopg: what is done by a connection of the application's takes effect with its commit. The package
psycopg is needed.

    from pgcache.psycopg import invalidate, put

    with pool.connection() as connection:
        connection.execute("UPDATE customers SET ... WHERE id = 7")
        invalidate(connection, cache, tags=["customer:7"])
        put(connection, cache, "customer:7:name", "Ada", ttl=60)

    async with async_pool.connection() as connection:
        await invalidate(connection, cache, tags=["customer:7"])

Nobody reads what is not committed, and after the commit nobody what it has ended; after a rollback, also to a savepoint, nothing has
happened. A connection that is in no transaction, with autocommit, does it at once.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Union, overload

try:
    from psycopg import AsyncConnection, AsyncCursor, Connection, Cursor
    from psycopg.conninfo import conninfo_to_dict, make_conninfo
    from psycopg.rows import tuple_row
except ImportError as missing:
    raise ImportError("pgcache.psycopg needs psycopg: pip install 'pgcache[psycopg]'") from missing

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from . import AsyncCache, Cache, Duration, Key, Statement

    AnyCache = Union[Cache, AsyncCache]

__all__ = ["invalidate", "put", "url_of"]


def url_of(connection: Connection[Any] | AsyncConnection[Any]) -> str:
    """Where a connection leads to, for `Cache(url_of(connection))`: its parameters with the password, so keep it secret. Of several hosts
    it is the one that was found: who wants to go on at another one tells the cache all of them."""
    parameters = conninfo_to_dict(connection.info.dsn)
    if parameters.get("sslcertmode") == "allow":  # the default, which psycopg's libpq tells although an older one does not know the word
        del parameters["sslcertmode"]
    return make_conninfo("", **parameters, password=connection.info.password or None)


@overload
def invalidate(
    connection: Connection[Any], cache: AnyCache, *, tags: Iterable[Key] = (), keys: Iterable[Key] = (), namespace: str | None = None
) -> None: ...


@overload
def invalidate(
    connection: AsyncConnection[Any], cache: AnyCache, *, tags: Iterable[Key] = (), keys: Iterable[Key] = (), namespace: str | None = None
) -> Coroutine[Any, Any, None]: ...


def invalidate(
    connection: Connection[Any] | AsyncConnection[Any],
    cache: AnyCache,
    *,
    tags: Iterable[Key] = (),
    keys: Iterable[Key] = (),
    namespace: str | None = None,
) -> Coroutine[Any, Any, None] | None:
    """Ends all entries that depend on these tags and keys when the connection's transaction is committed, see `Cache.invalidation()`.
    To be awaited with an AsyncConnection. Raises `InvalidArgument`, and what the connection raises."""
    statement = cache.invalidation(tags=tags, keys=keys, namespace=namespace)
    if isinstance(connection, AsyncConnection):
        return _nothing(connection, statement)
    _given(connection, statement)
    return None


@overload
def put(
    connection: Connection[Any], cache: AnyCache, key: Key, value: Any, ttl: Duration | None = None, *, namespace: str | None = None
) -> int: ...


@overload
def put(
    connection: AsyncConnection[Any], cache: AnyCache, key: Key, value: Any, ttl: Duration | None = None, *, namespace: str | None = None
) -> Coroutine[Any, Any, int]: ...


def put(
    connection: Connection[Any] | AsyncConnection[Any],
    cache: AnyCache,
    key: Key,
    value: Any,
    ttl: Duration | None = None,
    *,
    namespace: str | None = None,
) -> int | Coroutine[Any, Any, int]:
    """Stores an entry when the connection's transaction is committed, see `Cache.put_statement()`. Gives its version. To be awaited with an
    AsyncConnection. Raises what that raises, and what the connection raises."""
    statement = cache.put_statement(key, value, ttl, namespace=namespace)
    if isinstance(connection, AsyncConnection):
        return _given_async(connection, statement)
    return int(_given(connection, statement))


# Cursors of our own: the connection's may give rows of any kind, or read $1 where these read %s.


def _given(connection: Connection[Any], statement: Statement) -> Any:
    with Cursor(connection, row_factory=tuple_row) as cursor:
        row = cursor.execute(statement.sql, statement.arguments).fetchone()
    return row[0] if row else None


async def _given_async(connection: AsyncConnection[Any], statement: Statement) -> Any:
    async with AsyncCursor(connection, row_factory=tuple_row) as cursor:
        await cursor.execute(statement.sql, statement.arguments)
        row = await cursor.fetchone()
    return row[0] if row else None


async def _nothing(connection: AsyncConnection[Any], statement: Statement) -> None:
    await _given_async(connection, statement)
