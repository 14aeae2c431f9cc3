"""psycache's classes over pgcache: `from pgcache.compat.psycache import PostgresCache` in place of `from psycache import PostgresCache`,
and so on with psycache.sqlalchemy, psycache.psycopg_pool, psycache.instrumentation and `python -m psycache`. The package psycopg is
needed.

What differs from psycache, and why:

- The pool is asked once where it leads to, with which password. The cache has connections of its own, up to the setting `pool_max` and one
  that listens; all caches of one database share them, sync ones and those of an event loop. So the application's pool is not used up, and
  entries are kept near.
- `table`, or `schema` as it was before psycache 26.4, is a namespace of pgcache, see pgcache.compat; all are in one schema of the database,
  which `init_db()` makes.
- Errors are `pgcache.Error` instead of psycopg's, and a read that the server fails is a miss, unless PGCACHE_ON_ERROR=error.
- Values are JSON as it was written: keys of dictionaries keep their order, and text may hold NUL. NaN is refused, as PostgreSQL refuses
  it. psycopg's `set_json_dumps()` does not count.
- Item sizes are those of the JSON text.
- Expiry goes by the server's clock alone. Keys have up to 4,096 bytes, and values up to `max_value_bytes`.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Union

from ... import AsyncCache, Cache, Encoded
from ..._requests import Locks
from ...psycopg import url_of
from ...serializers import JSON_FORMAT
from .typing import AsyncCachePool, CacheInstrumentation, CachePool

if TYPE_CHECKING:
    from psycopg import Connection
    from typing_extensions import Self

__all__ = ["AsyncCleanupService", "AsyncPostgresCache", "CacheInstrumentation", "CleanupService", "PostgresCache", "close", "init_db"]

Interval = Union[timedelta, float]
"""Seconds, or a timedelta."""

_log = logging.getLogger("pgcache")


class _JsonText:
    """JSON, which is read as text: it is measured before it is decoded."""

    format = JSON_FORMAT

    def dumps(self, value: Any) -> bytes:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()

    def loads(self, data: bytes) -> Any:
        return data


_json = _JsonText()


# ---- The caches of this process, one for each database: whoever makes a PostgresCache for each request makes no connections ----------

_opening = Locks()
_caches: dict[str, Cache] = {}
_of_loops: dict[tuple[asyncio.AbstractEventLoop, str], AsyncCache] = {}


def _url(connection: Any) -> str:
    # What SQLAlchemy lends has psycopg's connection inside.
    return url_of(getattr(connection, "driver_connection", None) or connection)


def _cache(url: str) -> Cache:
    found = _caches.get(url)
    if found is None:
        with _opening.lock:
            found = _caches.get(url)
            if found is None:  # cleaning up is the application's, as in psycache
                found = _caches[url] = Cache(url, serializer=_json, janitor=None)
    return found


def _async_cache(url: str) -> AsyncCache:
    loop = asyncio.get_running_loop()
    found = _of_loops.get((loop, url))
    if found is None:
        with _opening.lock:
            for ended in [key for key in _of_loops if key[0].is_closed()]:
                del _of_loops[ended]
            found = _of_loops[loop, url] = AsyncCache(url, serializer=_json, janitor=None)
    return found


def close() -> None:
    """Closes the connections of all caches of this module, which psycache does not have: for tests that drop their database. They open new
    ones when they are used again."""
    with _opening.lock:
        for cache in [*_caches.values(), *(cache.sync for cache in _of_loops.values())]:
            cache.close()
        _caches.clear()
        _of_loops.clear()


_TABLE = "psycache"


def _namespace_of(table: str, schema: str | None) -> str | None:
    """The namespace for psycache's words: that of the settings unless one is said. Raises `ValueError` for what psycache refuses."""
    if schema == "":
        raise ValueError("schema must not be empty")
    if not all(table.split(".")):
        raise ValueError("the table's name must not be empty or have empty parts")
    if table == _TABLE:
        return schema
    if schema is not None:
        raise ValueError("schema is an older word for what table says: give one of them")
    return table


def init_db(conn: Connection[Any], table: str = _TABLE, *, schema: str | None = None) -> None:
    """Makes pgcache's schema in the database that a connection leads to, unless it is there. The connection itself is not used. table and
    schema need no preparation. Raises `ValueError` for empty ones, and `pgcache.Error`."""
    _namespace_of(table, schema)
    with Cache(_url(conn), janitor=None, near_max_bytes=0) as cache:
        cache.init()


# ---- Spans ---------------------------------------------------------------------------------------------------------------------------

_Record = Callable[..., None]


@contextmanager
def _all(spans: Iterable[AbstractContextManager[Any]]) -> Iterator[_Record]:
    """Opens spans, one after the other, and gives a function that records something in each."""
    with ExitStack() as stack:
        opened = [stack.enter_context(span) for span in spans]

        def record(what: str, *facts: int) -> None:
            for span in opened:
                getattr(span, what)(*facts)

        yield record


_nobody: AbstractContextManager[_Record] = nullcontext(lambda *facts: None)


class _Instrumented:
    """What both caches have in common."""

    def __init__(self, table: str, schema: str | None, instrumentations: Sequence[CacheInstrumentation]) -> None:
        self._namespace = _namespace_of(table, schema)
        self._instrumentations = instrumentations

    def _spans(self, kind: str, *of: str | None) -> AbstractContextManager[_Record]:
        if not self._instrumentations:
            return _nobody
        return _all(getattr(one, f"start_cache_{kind}_span")(*of) for one in self._instrumentations)


_SPAN_NAME_MAX = 64  # bytes of what the library takes along; instrumentations get all


def _name(span_name: str | None) -> str | None:
    return span_name and span_name.encode()[:_SPAN_NAME_MAX].decode(errors="ignore")


_BRIEFLY = 0.001


def _seconds(ttl: int | timedelta) -> float:
    """What has expired already psycache keeps until it is cleaned up, and counts it then: so it lives for a millisecond here."""
    return max(ttl.total_seconds() if isinstance(ttl, timedelta) else ttl, _BRIEFLY)


# ---- For code that waits -------------------------------------------------------------------------------------------------------------


class PostgresCache(_Instrumented):
    """psycache's cache for code that waits. Any thread."""

    def __init__(
        self, pool: CachePool, *, table: str = _TABLE, schema: str | None = None, instrumentations: Sequence[CacheInstrumentation] = ()
    ) -> None:
        """pool: anything whose `connect()` lends a psycopg connection; table, or schema: a namespace; instrumentations: told of each
        operation.

        Raises `ValueError` for an empty table or schema. Asks no server yet."""
        super().__init__(table, schema, instrumentations)
        self._pool = pool
        self._url: str | None = None

    @property
    def _cache(self) -> Cache:
        if self._url is None:
            with self._pool.connect() as connection:
                self._url = _url(connection)
        return _cache(self._url)

    def get_raw(self, key: str, span_name: str | None = None) -> dict[str, Any] | None:
        """The value of a key, or None: there is none, or none any more. span_name: what instrumentations call it."""
        with self._spans("get", key, span_name) as record:
            data = self._cache.get(key, namespace=self._namespace, span_name=_name(span_name))
            if data is None:
                record("record_cache_miss")
                return None
            record("record_cache_hit", len(data))
        return json.loads(data)  # type: ignore[no-any-return]

    def put_raw(self, key: str, value: dict[str, Any], ttl: int | timedelta, span_name: str | None = None) -> None:
        """Stores a value for `ttl` seconds, or a timedelta."""
        with self._spans("put", key, span_name) as record:
            data = _json.dumps(value)
            lasts = _seconds(ttl)
            self._cache.put(key, Encoded(data, JSON_FORMAT), lasts, namespace=self._namespace, span_name=_name(span_name))
            if lasts == _BRIEFLY:
                time.sleep(2 * _BRIEFLY)
            record("record_put", len(data))

    def remove(self, key: str) -> None:
        """Removes an entry, if there is one."""
        with self._spans("remove", key) as record:
            self._cache.remove(key, namespace=self._namespace)
            record("record_removed")

    def cleanup_expired(self) -> int:
        """Deletes expired entries, those of all namespaces, and gives how many."""
        with self._spans("cleanup") as record:
            deleted = self._cache.cleanup()
            record("record_cleanup", deleted)
        return deleted

    def flush(self) -> int:
        """Deletes all entries, and gives how many."""
        with self._spans("flush") as record:
            flushed = self._cache.flush(namespace=self._namespace)
            record("record_flush", flushed)
        return flushed

    def start_cleanup_thread(self, interval: Interval) -> CleanupService:
        """Starts a thread that calls `cleanup_expired()` at once and then every interval. Raises `ValueError` for an interval that is not
        positive, not finite or too long."""
        seconds = _positive(interval, threading.TIMEOUT_MAX)
        stopping = threading.Event()
        thread = threading.Thread(
            name="psycache-cleanup", target=_cleanup_loop, args=(self.cleanup_expired, seconds, stopping), daemon=True
        )
        thread.start()
        return CleanupService(thread, stopping)


def _cleanup_loop(cleanup: Callable[[], int], interval_seconds: float, stop_event: threading.Event) -> None:
    while not stop_event.is_set():
        try:
            cleanup()
        except Exception:
            _log.exception("a periodic cleanup failed")
        stop_event.wait(interval_seconds)


class CleanupService:
    """A thread that cleans up, until it is stopped; of `PostgresCache.start_cleanup_thread()`. `with` stops it at the end."""

    def __init__(self, thread: threading.Thread, stop_event: threading.Event) -> None:
        self._thread = thread
        self._stop_event = stop_event

    def stop(self, timeout: Interval | None = 5.0) -> bool:
        """Stops the thread and waits for its end, for up to `timeout`, or for ever if that is None. False: it has not ended yet. May be
        called again. Raises `ValueError` for a timeout that is negative, not finite or too long."""
        seconds = None if timeout is None else _finite(timeout, threading.TIMEOUT_MAX)
        self._stop_event.set()
        self._thread.join(seconds)
        if self._thread.is_alive():
            _log.warning("Cleanup thread did not stop within timeout=%s", timeout)
        return not self._thread.is_alive()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, where: TracebackType | None) -> None:
        self.stop()


# ---- The same for event loops --------------------------------------------------------------------------------------------------------


class AsyncPostgresCache(_Instrumented):
    """psycache's cache for event loops: `PostgresCache` with `await`."""

    def __init__(
        self, pool: AsyncCachePool, *, table: str = _TABLE, schema: str | None = None, instrumentations: Sequence[CacheInstrumentation] = ()
    ) -> None:
        """See `PostgresCache`; pool: anything whose `connect()` lends a psycopg AsyncConnection."""
        super().__init__(table, schema, instrumentations)
        self._pool = pool
        self._url: str | None = None

    async def _opened(self) -> AsyncCache:
        if self._url is None:
            async with self._pool.connect() as connection:
                self._url = _url(connection)
        return _async_cache(self._url)

    async def get_raw(self, key: str, span_name: str | None = None) -> dict[str, Any] | None:
        """See `PostgresCache.get_raw()`."""
        with self._spans("get", key, span_name) as record:
            cache = await self._opened()
            data = await cache.get(key, namespace=self._namespace, span_name=_name(span_name))
            if data is None:
                record("record_cache_miss")
                return None
            record("record_cache_hit", len(data))
        return json.loads(data)  # type: ignore[no-any-return]

    async def put_raw(self, key: str, value: dict[str, Any], ttl: int | timedelta, span_name: str | None = None) -> None:
        """See `PostgresCache.put_raw()`."""
        with self._spans("put", key, span_name) as record:
            data = _json.dumps(value)
            lasts = _seconds(ttl)
            cache = await self._opened()
            await cache.put(key, Encoded(data, JSON_FORMAT), lasts, namespace=self._namespace, span_name=_name(span_name))
            if lasts == _BRIEFLY:
                await asyncio.sleep(2 * _BRIEFLY)
            record("record_put", len(data))

    async def remove(self, key: str) -> None:
        """See `PostgresCache.remove()`."""
        with self._spans("remove", key) as record:
            await (await self._opened()).remove(key, namespace=self._namespace)
            record("record_removed")

    async def cleanup_expired(self) -> int:
        """See `PostgresCache.cleanup_expired()`."""
        with self._spans("cleanup") as record:
            deleted = await (await self._opened()).cleanup()
            record("record_cleanup", deleted)
        return deleted

    async def flush(self) -> int:
        """See `PostgresCache.flush()`."""
        with self._spans("flush") as record:
            flushed = await (await self._opened()).flush(namespace=self._namespace)
            record("record_flush", flushed)
        return flushed

    def start_cleanup_task(self, interval: Interval) -> AsyncCleanupService:
        """Starts a task that calls `cleanup_expired()` at once and then every interval; in a running event loop. Raises `ValueError` for an
        interval that is not positive or not finite."""
        seconds = _positive(interval)
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        task = loop.create_task(_async_cleanup_loop(self.cleanup_expired, seconds, stopping), name="psycache-cleanup")
        return AsyncCleanupService(task, stopping)


async def _async_cleanup_loop(cleanup: Callable[[], Awaitable[int]], interval_seconds: float, stop_event: asyncio.Event) -> None:
    while not stop_event.is_set():
        try:
            await cleanup()
        except Exception:
            _log.exception("a periodic cleanup failed")
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(stop_event.wait(), interval_seconds)


class AsyncCleanupService:
    """A task that cleans up, until it is stopped; of `AsyncPostgresCache.start_cleanup_task()`. `async with` stops it at the end."""

    def __init__(self, task: asyncio.Task[None], stop_event: asyncio.Event) -> None:
        self._task = task
        self._stop_event = stop_event

    async def stop(self, timeout: Interval | None = 5.0) -> bool:
        """See `CleanupService.stop()`."""
        seconds = None if timeout is None else _finite(timeout)
        self._stop_event.set()
        try:
            await asyncio.wait_for(asyncio.shield(self._task), seconds)
        except asyncio.TimeoutError:
            _log.warning("Cleanup task did not stop within timeout=%s", timeout)
            return False
        return True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, failure: BaseException | None, where: TracebackType | None) -> None:
        await self.stop()


# ---- Spans of time -------------------------------------------------------------------------------------------------------------------


def _finite(span: Interval, most: float = math.inf) -> float:
    seconds = span.total_seconds() if isinstance(span, timedelta) else span
    if not math.isfinite(seconds) or not 0 <= seconds <= most:
        raise ValueError("a timeout or interval is finite, not negative and not too long")
    return seconds


def _positive(interval: Interval, most: float = math.inf) -> float:
    seconds = _finite(interval, most)
    if seconds == 0:
        raise ValueError("an interval is positive")
    return seconds
