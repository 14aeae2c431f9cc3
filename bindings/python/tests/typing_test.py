"""What type checkers make of the package; never run, read by mypy and pyright. SPDX-License-Identifier: MIT"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import psycopg
import psycopg_pool
import sqlalchemy
from fastapi import FastAPI
from sqlalchemy import orm
from sqlalchemy.ext.asyncio import AsyncSession
from typing_extensions import assert_type

import pgcache
import pgcache.psycopg as in_psycopg
import pgcache.sqlalchemy as in_sqlalchemy
from pgcache import AsyncCache, Cache, Entry, Provider, Serializer
from pgcache.compat import fastapi_cachekit, postgres_cache, psycache
from pgcache.compat.psycache.instrumentation.prometheus import PrometheusInstrumentation
from pgcache.compat.psycache.instrumentation.sentry import SentryInstrumentation
from pgcache.compat.psycache.psycopg_pool import PsycopgCachePool
from pgcache.compat.psycache.sqlalchemy import SQLAlchemyCachePool
from pgcache.compat.psycache.typing import CacheInstrumentation, CachePool
from pgcache.fastapi import ResponseCache
from pgcache.opentelemetry import OpenTelemetryProvider, PgcacheMetrics
from pgcache.sentry import SentryProvider
from pgcache.serializers import Json, MessagePack, OrJson, SignedPickle


def entries(cache: Cache) -> None:
    assert_type(cache.put("k", 1, ttl=5), int)
    assert_type(cache.add(b"k", 1), int | None)
    assert_type(cache.get_entry("k", namespace="n", from_store=True), Entry | None)
    assert_type(cache.get_many(["k"]), dict[str | bytes, Any])
    assert_type(cache.increment("n"), int)
    assert_type(cache.remove("k"), bool)
    assert_type(cache.keys(), Iterator[pgcache.KeyInfo])
    assert_type(cache.aio, AsyncCache)
    with cache as same:
        assert_type(same, Cache)

    cache.get("k", nonsense=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    cache.get("k", namespace=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cache.get(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cache.put("k", 1, from_store=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def loads(cache: Cache) -> None:
    assert_type(cache.get_or_load("k", lambda: 1, ttl=60, tags=["t"]), int | None)
    assert_type(cache.get_or_load("k", lambda: "text", default=7), str | int | None)
    with cache.load_begin("k", stale=5) as load:
        assert_type(load.fill(1), int | None)
        assert_type(load.fail(), Entry | None)
    cache.get_or_load("k", lambda: 1, stail=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def asynchronous(cache: AsyncCache) -> None:
    async def load() -> int:
        return 1

    assert_type(await cache.put("k", 1), int)
    assert_type(await cache.get_or_load("k", load), int | None)
    assert_type(cache.keys(), AsyncIterator[pgcache.KeyInfo])
    assert_type(cache.sync, Cache)
    async with await cache.load_begin("k") as begun:
        assert_type(await begun.fill(1), int | None)
    async with cache as same:
        assert_type(same, AsyncCache)


async def decorated(cache: Cache, aio: AsyncCache) -> None:
    @cache.cached(ttl=60, stale=5)
    def count(customer: int, *, all: bool = False) -> int:
        return customer

    assert_type(count(7, all=True), int)
    count("7")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert_type(pgcache.call_key(count, 7), str | bytes)
    pgcache.call_key(count, "7")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    @aio.cached(60)
    async def rate(currency: str) -> float:
        return 1.0

    assert_type(await rate("USD"), float)

    class Repository:
        @cache.cached(60)
        def find(self, id: int) -> str:
            return str(id)

    assert_type(Repository().find(1), str)
    kept: Callable[[int], str] = Repository().find
    kept(1)
    cache.cached(60, nonsense=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def protocols() -> None:
    serializers: list[Serializer] = [Json(), OrJson(), MessagePack(), SignedPickle(b"k" * 32)]
    providers: list[Provider] = [SentryProvider(), OpenTelemetryProvider()]
    Cache("null:", serializer=serializers[0], readers=serializers[1:], providers=providers, pool_max=3)
    Cache("null:", providers=[object()])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


def adapters(cache: Cache, aio: AsyncCache) -> None:
    app, responses = FastAPI(), ResponseCache(aio)
    responses.init_app(app, init=True)

    @app.get("/")
    @responses.cached(60, stale=600, tags=lambda request: [f"path:{request.url.path}"], vary=["Accept"], max_age=30)
    def shown(x: int) -> int:
        return x

    responses.cached(60, vary="Accept", nonsense=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    PgcacheMetrics(cache, aio)


def values(entry: Entry, sample: pgcache.Sample) -> None:
    assert_type(entry.ttl, float)
    assert_type(entry.value, Any)
    assert_type(sample.labels, dict[str, str])


async def transactions(
    cache: Cache, aio: AsyncCache, connection: psycopg.Connection[Any], other: psycopg.AsyncConnection[dict[str, Any]]
) -> None:
    assert_type(in_psycopg.put(connection, cache, "k", 1, ttl=5), int)
    assert_type(await in_psycopg.put(other, aio, b"k", 1), int)
    in_psycopg.invalidate(connection, aio, tags=["t"], keys=[b"k"])
    await in_psycopg.invalidate(other, cache, tags=["t"])
    in_psycopg.put(cache, "k", 1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def statements(cache: Cache, session: orm.Session, other: AsyncSession) -> None:
    session.execute(in_sqlalchemy.put(cache, "k", 1, ttl=5))
    await other.execute(in_sqlalchemy.invalidate(cache, tags=["t"]))


async def others(pool: psycopg_pool.ConnectionPool[Any], engine: sqlalchemy.Engine) -> None:
    pools: list[CachePool] = [PsycopgCachePool(pool), SQLAlchemyCachePool(engine)]
    instrumentations: list[CacheInstrumentation] = [SentryInstrumentation(), PrometheusInstrumentation()]
    cache = psycache.PostgresCache(pools[0], schema="s", instrumentations=instrumentations)
    assert_type(cache.get_raw("k", span_name="words"), dict[str, Any] | None)
    caches: list[postgres_cache.Cache] = [
        postgres_cache.PostgresCache(postgres_cache.CacheSettings(dsn="d")),
        postgres_cache.NullCache(),
    ]
    caches.clear()

    @fastapi_cachekit.cache.cached(expire=60)
    async def endpoint(x: int) -> str:
        return str(x)

    kept: Callable[[int], Coroutine[Any, Any, str]] = endpoint
    assert_type(await kept(1), str)
