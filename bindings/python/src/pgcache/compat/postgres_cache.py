"""postgres-cache's classes over pgcache: `from pgcache.compat.postgres_cache import CacheSettings, PostgresCache` in place of `from
postgres_cache import ...`. No further package is needed.

What differs from postgres-cache, and why:

- `disable_notiffy=True` means no local cache either: one that nobody tells of changes would show what is no longer true until its time is
  up.
- `notify_channel`, `notification_queue_size`, `fetch_timeout_seconds` and `cleanup_batch_size` are taken and not needed: there is one
  channel for a schema, nothing is dropped from it, and a cleanup goes through all of the table in small steps by itself.
- `schema_prefix` is a namespace of pgcache, see pgcache.compat; all are in one schema of the database, which `init_db()` makes.
- In `get_or_set()` whoever waits for another's loader holds no connection, nor does the loader; it has 10 s before another may run one,
  too. What it gave is what others will get: a tuple comes back as a list at once. Values are new objects each time.
- Errors are `pgcache.Error` instead of asyncpg's, and a read that the server fails is a miss, unless PGCACHE_ON_ERROR=error.
- Values that the serializer of JSON makes are JSON for everybody: NaN is refused. Bytes of other serializers have the format 100.
- `schema_version()` is pgcache's.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Union

from .. import NEVER, AsyncCache
from .. import Cache as _Sync
from ..errors import Busy, SchemaError, SchemaMissing, TooManyConnections
from ..serializers import JSON_FORMAT

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "Cache", "CacheSettings", "JsonSerializer", "NullCache", "PostgresCache", "Serializer", "apply_migrations", "apply_migrations_sync",
    "init_postgres_cache_db", "init_postgres_cache_db_sync", "schema_is_current", "schema_is_current_sync", "schema_version",
    "schema_version_sync",
]  # fmt: skip

Loader = Union[Callable[[], Awaitable[Any]], Callable[[], Any]]
"""What computes a value, sync or async."""

_OWN_FORMAT = 100


@dataclass
class CacheSettings:
    """postgres-cache's settings; see the module for those that are not needed.

    dsn                  a libpq connection string or URI
    disable_notiffy      no local cache, and no connection that listens
    schema_prefix        a namespace, of letters, digits and underscores
    min_pool_size        the connections that are kept open
    max_pool_size        the most connections
    local_max_entries    the most entries of the local cache; 0: none
    default_ttl_seconds  how long entries live that are not told; 0 or less: for ever
    lock_timeout_seconds how long `get_or_set()` waits for another's loader

    Raises `ValueError` for an empty dsn or a bad prefix."""

    dsn: str
    notify_channel: str = "cache_events"
    disable_notiffy: bool = False
    schema_prefix: str = ""
    min_pool_size: int = 1
    max_pool_size: int = 10
    local_max_entries: int = 4096
    default_ttl_seconds: float = 300.0
    notification_queue_size: int = 2048
    lock_timeout_seconds: float = 5.0
    fetch_timeout_seconds: float = 2.0
    cleanup_batch_size: int = 500

    def __post_init__(self) -> None:
        if not self.dsn:
            raise ValueError("CacheSettings requires a non-empty 'dsn'")
        if not re.fullmatch("[A-Za-z0-9_]*", self.schema_prefix):
            raise ValueError("schema_prefix may only contain letters, digits, and underscores")


class Serializer(Protocol):
    """How values become bytes."""

    def dumps(self, value: Any) -> bytes:
        """The bytes of a value."""
        ...

    def loads(self, data: bytes) -> Any:
        """The value of bytes."""
        ...


class JsonSerializer:
    """JSON, which every language reads."""

    def dumps(self, value: Any) -> bytes:
        """The JSON text of a value."""
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()

    def loads(self, data: bytes) -> Any:
        """The value of a JSON text."""
        return json.loads(data)


class _Numbered:
    """A serializer with the number of its format."""

    def __init__(self, inner: Serializer) -> None:
        self.format = JSON_FORMAT if type(inner) is JsonSerializer else _OWN_FORMAT
        self.dumps, self.loads = inner.dumps, inner.loads


class Cache(Protocol):
    """What `PostgresCache` and `NullCache` have in common."""

    async def __aenter__(self) -> Cache: ...
    async def __aexit__(self, kind: type[BaseException] | None, failure: BaseException | None, where: TracebackType | None, /) -> None: ...

    async def connect(self) -> None:
        """Makes the cache ready."""

    async def close(self) -> None:
        """Ends it."""

    async def get(self, key: str) -> Any | None:
        """The value of a key, or None."""

    async def set(self, key: str, value: Any, ttl_seconds: float | None = None) -> None:
        """Stores a value."""

    async def delete(self, key: str) -> None:
        """Removes an entry, if there is one."""

    async def invalidate(self, key: str) -> None:
        """The same."""

    async def get_or_set(self, key: str, loader: Loader, ttl_seconds: float | None = None) -> Any:
        """The value of a key; if there is none, what the loader gives."""

    async def cleanup_expired(self) -> int:
        """Deletes expired entries, and gives how many."""
        ...


class PostgresCache:
    """postgres-cache's client: of one event loop.

    async with PostgresCache(CacheSettings(dsn="postgresql://localhost/shop")) as cache:
        await cache.set("greeting", {"text": "hello"}, ttl_seconds=60)
    """

    def __init__(self, settings: CacheSettings, serializer: Serializer | None = None) -> None:
        """serializer: of the values; JSON if None. Asks no server."""
        self.settings = settings
        self.serializer: Serializer = serializer or JsonSerializer()
        self._opened: AsyncCache | None = None

    @staticmethod
    async def init_db(settings: CacheSettings) -> None:
        """Makes pgcache's schema in the database, unless it is there. Safe from many processes at once."""
        await init_postgres_cache_db(settings)

    async def connect(self) -> None:
        """Makes the cache ready, unless it is. Raises RuntimeError if the server has no connection left, `SchemaMissing` before
        `init_db()`, or another `pgcache.Error`."""
        if self._opened is not None:
            return
        cache = AsyncCache(self.settings.dsn, serializer=_Numbered(self.serializer), **_given(self.settings))
        try:
            await asyncio.to_thread(cache.sync.touch, _NO_ENTRY, 1)  # a request would wait for a connection; this tells why there is none
        except BaseException as failure:
            await cache.close()
            if isinstance(failure, TooManyConnections):
                raise RuntimeError(f"{failure}. Lower max_pool_size, or set disable_notiffy=True to save one.") from failure
            raise
        self._opened = cache

    async def close(self) -> None:
        """Closes the connections. May be called again, and the cache connected anew."""
        if self._opened is not None:
            cache, self._opened = self._opened, None
            await cache.close()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, failure: BaseException | None, where: TracebackType | None) -> None:
        await self.close()

    @property
    def _cache(self) -> AsyncCache:
        if self._opened is None:
            raise RuntimeError("Cache not connected")
        return self._opened

    def _ttl(self, seconds: float | None) -> float:
        chosen = self.settings.default_ttl_seconds if seconds is None else seconds
        return chosen if chosen > 0 else NEVER

    async def get(self, key: str) -> Any | None:
        """The value of a key, or None if there is none; None may be a value."""
        return await self._cache.get(key)

    async def set(self, key: str, value: Any, ttl_seconds: float | None = None) -> None:
        """Stores a value. ttl_seconds: the default if None; for ever if 0 or less."""
        await self._cache.put(key, value, self._ttl(ttl_seconds))

    async def delete(self, key: str) -> None:
        """Removes an entry, if there is one."""
        await self._cache.remove(key)

    async def invalidate(self, key: str) -> None:
        """Removes an entry, if there is one."""
        await self.delete(key)

    async def get_or_set(self, key: str, loader: Loader, ttl_seconds: float | None = None) -> Any:
        """The value of a key; if there is none, what the loader gives, which is stored: one loader of all processes runs. ttl_seconds: the
        default if None or 0. Raises TimeoutError if another's takes too long, and what the loader raises."""
        patience = self.settings.lock_timeout_seconds
        try:  # the deadline is that of each step, and waiting is one
            return await self._cache.get_or_load(key, loader, ttl=self._ttl(ttl_seconds or None), wait=patience, deadline=patience + 5)
        except Busy as failure:
            raise TimeoutError("another client's loader of this key took too long") from failure

    async def cleanup_expired(self) -> int:
        """Deletes expired entries, those of all namespaces, and gives how many."""
        return await self._cache.cleanup()


class NullCache:
    """A cache that is switched off: it keeps nothing, and every loader runs. It needs no server."""

    async def connect(self) -> None:
        """Does nothing."""

    async def close(self) -> None:
        """Does nothing."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, failure: BaseException | None, where: TracebackType | None) -> None:
        pass

    async def get(self, key: str) -> Any | None:
        """None."""
        return None

    async def set(self, key: str, value: Any, ttl_seconds: float | None = None) -> None:
        """Does nothing."""

    async def delete(self, key: str) -> None:
        """Does nothing."""

    async def invalidate(self, key: str) -> None:
        """Does nothing."""

    async def get_or_set(self, key: str, loader: Loader, ttl_seconds: float | None = None) -> Any:
        """What the loader gives."""
        loaded = loader()
        return await loaded if inspect.isawaitable(loaded) else loaded

    async def cleanup_expired(self) -> int:
        """0."""
        return 0


# ---- The schema ------------------------------------------------------------------------------------------------------------------

_NO_ENTRY = "\0"
"""A key that nobody has, for a write that changes nothing: reads would hide that they fail."""


def _given(settings: CacheSettings) -> dict[str, Any]:
    """The settings of pgcache for these."""
    near = 0 if settings.disable_notiffy else max(settings.local_max_entries, 0)
    given: dict[str, Any] = {
        "pool_min": settings.min_pool_size,
        "pool_max": settings.max_pool_size,
        "near_max_entries": near,
        "janitor": None,
    }
    if settings.schema_prefix:
        given["namespace"] = settings.schema_prefix
    return given if near else {**given, "near_max_bytes": 0}


def _sync(settings: CacheSettings) -> _Sync:
    return _Sync(settings.dsn, **{**_given(settings), "near_max_bytes": 0})


def apply_migrations_sync(settings: CacheSettings, *, upto_version: int | None = None) -> int:
    """Makes pgcache's schema in the database, or brings it up to date; it has no versions in between, whatever `upto_version` says. Gives
    its version."""
    with _sync(settings) as cache:
        cache.init()
        return cache.stats().schema_version


def init_postgres_cache_db_sync(settings: CacheSettings) -> None:
    """Makes pgcache's schema in the database, or brings it up to date."""
    with _sync(settings) as cache:
        cache.init()


def schema_version_sync(settings: CacheSettings) -> int:
    """The version of pgcache's schema in the database, 0 if it is not there. Reads the whole table."""
    with _sync(settings) as cache:
        try:
            return cache.stats().schema_version
        except SchemaMissing:
            return 0


def schema_is_current_sync(settings: CacheSettings) -> bool:
    """Whether pgcache's schema in the database is there and as this library needs it."""
    with _sync(settings) as cache:
        try:
            cache.touch(_NO_ENTRY, 1)
        except SchemaError:
            return False
        return True


async def apply_migrations(settings: CacheSettings, *, upto_version: int | None = None) -> int:
    """See `apply_migrations_sync()`."""
    return await asyncio.to_thread(apply_migrations_sync, settings, upto_version=upto_version)


async def init_postgres_cache_db(settings: CacheSettings) -> None:
    """See `init_postgres_cache_db_sync()`."""
    await asyncio.to_thread(init_postgres_cache_db_sync, settings)


async def schema_version(settings: CacheSettings) -> int:
    """See `schema_version_sync()`."""
    return await asyncio.to_thread(schema_version_sync, settings)


async def schema_is_current(settings: CacheSettings) -> bool:
    """See `schema_is_current_sync()`."""
    return await asyncio.to_thread(schema_is_current_sync, settings)
