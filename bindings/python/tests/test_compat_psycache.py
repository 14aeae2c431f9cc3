"""pgcache.compat.psycache: what psycache's own tests show of it, with its pools, services, metrics and spans.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any

import prometheus_client
import prometheus_client.parser
import psycopg
import psycopg_pool
import pytest
import sentry_sdk
import sqlalchemy
from sentry_sdk.transport import Transport
from sqlalchemy.ext.asyncio import create_async_engine

import pgcache
from pgcache.compat import psycache
from pgcache.compat.psycache import AsyncPostgresCache, PostgresCache
from pgcache.compat.psycache.__main__ import main
from pgcache.compat.psycache.instrumentation import NoopAnySpan
from pgcache.compat.psycache.instrumentation.prometheus import PrometheusInstrumentation
from pgcache.compat.psycache.instrumentation.sentry import SentryInstrumentation
from pgcache.compat.psycache.psycopg_pool import AsyncPsycopgCachePool, PsycopgCachePool
from pgcache.compat.psycache.sqlalchemy import AsyncSQLAlchemyCachePool, SQLAlchemyCachePool

INSTRUMENTATIONS = [(), (SentryInstrumentation(), PrometheusInstrumentation())]


@pytest.fixture(autouse=True)
def database(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The schema that the environment names, with nothing in it."""
    monkeypatch.setenv("PGCACHE_SCHEMA", "python_psycache")
    with psycopg.connect(url) as connection:
        psycache.init_db(connection)
    with pgcache.Cache(url, janitor=None) as cache:
        cache.flush(all=True)
        cache.cleanup()
    yield
    psycache.close()


class Pool:
    """What psycache asks of a pool, and no more."""

    def __init__(self, url: str) -> None:
        self.url, self.lent = url, 0

    @contextmanager
    def connect(self) -> Iterator[psycopg.Connection[Any]]:
        self.lent += 1
        with psycopg.connect(self.url, autocommit=True) as connection:
            yield connection


class AsyncPool(Pool):
    @asynccontextmanager
    async def connect(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:  # type: ignore[override]
        self.lent += 1
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            yield connection


class Waiting:
    """An AsyncPostgresCache with the face of its mirror, in a loop of its own."""

    def __init__(self, inner: AsyncPostgresCache, loop: asyncio.AbstractEventLoop) -> None:
        self._inner, self._loop = inner, loop

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._inner, name)
        return lambda *args, **kwargs: self._loop.run_until_complete(method(*args, **kwargs))


@pytest.fixture(params=["sync", "async"])
def make(request: pytest.FixtureRequest, url: str) -> Iterator[Callable[..., Any]]:
    loop = asyncio.new_event_loop()

    def make_one(**given: Any) -> Any:
        if request.param == "sync":
            return PostgresCache(Pool(url), **given)
        return Waiting(AsyncPostgresCache(AsyncPool(url), **given), loop)

    yield make_one
    psycache.close()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


@pytest.fixture(params=INSTRUMENTATIONS, ids=["none", "both"])
def cache(request: pytest.FixtureRequest, make: Callable[..., Any]) -> Any:
    return make(instrumentations=request.param)


# ---- Values -------------------------------------------------------------------------------------------------------------------------


def test_a01_get_and_put(cache: Any) -> None:
    assert cache.get_raw("k") is None
    cache.put_raw("k", {"foo": "bar"}, ttl=10)
    assert cache.get_raw("k") == {"foo": "bar"}
    assert cache.get_raw("other") is None


def test_a02_the_second_value_and_the_later_expiry_win(cache: Any, url: str) -> None:
    cache.put_raw("k", {"foo": "first"}, ttl=10)
    cache.put_raw("k", {"foo": "second"}, ttl=100)
    assert cache.get_raw("k") == {"foo": "second"}
    with pgcache.Cache(url, janitor=None) as seen:
        entry = seen.get_entry("k")
    assert entry is not None
    assert (entry.value, entry.format) == ({"foo": "second"}, 1)  # whoever reads JSON reads it
    assert 90 < entry.ttl <= 100


def test_a03_remove(cache: Any) -> None:
    cache.put_raw("k", {"foo": "bar"}, ttl=timedelta(seconds=10))
    cache.remove("k")
    assert cache.get_raw("k") is None
    cache.remove("k")


def test_a04_a_schema_is_isolated(make: Callable[..., Any], url: str) -> None:
    with psycopg.connect(url) as connection:
        psycache.init_db(connection, schema="some_schema")
    cache, other = make(), make(schema="some_schema")
    cache.put_raw("k", {"schema": False}, ttl=10)
    other.put_raw("k", {"schema": True}, ttl=10)
    assert (cache.get_raw("k"), other.get_raw("k")) == ({"schema": False}, {"schema": True})
    assert other.flush() == 1
    assert cache.get_raw("k") == {"schema": False}


def test_a04_a_table_is_isolated(make: Callable[..., Any], url: str) -> None:
    with psycopg.connect(url) as connection:
        psycache.init_db(connection, "app_cache.sessions")
    caches = [make(), make(table="psycache"), make(table="sessions"), make(table="app_cache.sessions")]
    for number, cache in enumerate(caches):
        cache.put_raw("k", {"number": number}, ttl=10)
    assert [cache.get_raw("k")["number"] for cache in caches] == [1, 1, 2, 3]
    assert caches[2].flush() == 1
    assert [cache.get_raw("k") is None for cache in caches] == [False, False, True, False]
    with pgcache.Cache(url, namespace="app_cache.sessions", janitor=None) as seen:
        assert seen.get("k") == {"number": 3}


@pytest.mark.parametrize(("given", "why"), [
    ({"table": ""}, "empty"), ({"table": "a..b"}, "empty"), ({"table": ".a"}, "empty"), ({"table": "a", "schema": "b"}, "one of them"),
])  # fmt: skip
def test_a21_bad_tables_are_refused(make: Callable[..., Any], url: str, given: dict[str, str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        make(**given)
    with psycopg.connect(url) as connection, pytest.raises(ValueError, match=why):
        psycache.init_db(connection, **given)


def test_a21_an_empty_schema_is_refused(make: Callable[..., Any], url: str) -> None:
    with pytest.raises(ValueError, match="schema must not be empty"):
        make(schema="")
    with psycopg.connect(url) as connection, pytest.raises(ValueError, match="schema must not be empty"):
        psycache.init_db(connection, schema="")


def test_values_that_psycache_cannot_keep(cache: Any) -> None:
    cache.put_raw("k", {"z": "\0", "a": [1, 2.5, None], "ä": 10**30}, ttl=1.5)
    assert list(cache.get_raw("k")) == ["z", "a", "ä"]
    with pytest.raises(ValueError, match="JSON"):
        cache.put_raw("k", {"nan": math.nan}, ttl=10)
    cache.put_raw("k", {1: "as text"}, ttl=10)
    assert cache.get_raw("k") == {"1": "as text"}


def test_a_span_name_may_be_long(cache: Any) -> None:
    cache.put_raw("k", {"foo": "bar"}, ttl=10, span_name="ü" * 100)
    assert cache.get_raw("k", span_name="ü" * 100) == {"foo": "bar"}


# ---- Cleaning up --------------------------------------------------------------------------------------------------------------------


def test_a05_cleanup(cache: Any) -> None:
    for ttl in [-1, 0, timedelta(microseconds=5)] * 10:
        cache.put_raw("gone", {"foo": "bar"}, ttl=ttl)
        assert cache.get_raw("gone") is None
    cache.put_raw("alive", {"foo": "bar"}, ttl=10)
    cache.put_raw("alive too", {"foo": "bar"}, ttl=timedelta(days=1))
    time.sleep(0.1)  # nobody else cleans up
    assert cache.cleanup_expired() == 1
    assert cache.get_raw("gone") is None
    assert cache.get_raw("alive") == cache.get_raw("alive too") == {"foo": "bar"}


def test_a06_flush(cache: Any) -> None:
    for key in "abcd":
        cache.put_raw(key, {"foo": "bar"}, ttl=10)
    assert cache.flush() == 4
    assert [cache.get_raw(key) for key in "abcd"] == [None] * 4
    assert cache.flush() == 0


@pytest.mark.parametrize("interval", [0.0005, timedelta(microseconds=5)])
def test_a50_a_cleanup_thread(url: str, interval: Any) -> None:
    cache = PostgresCache(Pool(url))
    cache.put_raw("alive", {"v": 2}, ttl=300)
    with cache.start_cleanup_thread(interval) as service:
        for _ in range(2):  # at once, and again
            cache.put_raw("gone", {"v": 1}, ttl=-1)
            until = time.monotonic() + 10
            with pgcache.Cache(url, janitor=None) as seen:
                while seen.stats().expired:
                    assert time.monotonic() < until
                    time.sleep(0.001)
        assert service.stop() is True
    assert service.stop(timeout=None) is True
    assert cache.get_raw("alive") == {"v": 2}


@pytest.mark.parametrize("interval", [0.0, -1.0, math.nan, math.inf, threading.TIMEOUT_MAX + 1, timedelta.max])
def test_a50_bad_intervals(url: str, interval: Any) -> None:
    with pytest.raises(ValueError, match="interval"):
        PostgresCache(Pool(url)).start_cleanup_thread(interval)

    async def scene() -> None:
        cache = AsyncPostgresCache(AsyncPool(url))
        if interval in (threading.TIMEOUT_MAX + 1, timedelta.max):  # a loop has no such limit
            assert await cache.start_cleanup_task(interval).stop() is True
        else:
            with pytest.raises(ValueError, match="interval"):
                cache.start_cleanup_task(interval)

    asyncio.run(scene())


def test_a50_a_cleanup_thread_survives_failures(url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, failed = PostgresCache(Pool(url)), threading.Semaphore(0)

    def fail() -> int:
        failed.release()
        raise RuntimeError("boom")

    monkeypatch.setattr(cache, "cleanup_expired", fail)
    with cache.start_cleanup_thread(0.0005):
        assert all(failed.acquire(timeout=10) for _ in range(3))
    assert "boom" in caplog.text


@pytest.mark.parametrize("timeout", [-1.0, math.nan, threading.TIMEOUT_MAX + 1, timedelta.max])
def test_a50_bad_timeouts(url: str, timeout: Any) -> None:
    with PostgresCache(Pool(url)).start_cleanup_thread(60) as service, pytest.raises(ValueError, match="timeout"):
        service.stop(timeout)

    async def scene() -> None:
        async with AsyncPostgresCache(AsyncPool(url)).start_cleanup_task(60) as service:
            if timeout in (-1.0, math.nan):
                with pytest.raises(ValueError, match="timeout"):
                    await service.stop(timeout)

    asyncio.run(scene())


def test_a50_a_stop_says_whether_it_stopped(url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, began, end = PostgresCache(Pool(url)), threading.Event(), threading.Event()

    def block() -> int:
        began.set()
        end.wait(30)
        return 0

    monkeypatch.setattr(cache, "cleanup_expired", block)
    service = cache.start_cleanup_thread(60)
    assert began.wait(10)
    with caplog.at_level(logging.WARNING):
        assert service.stop(timeout=0.0) is False
    assert "did not stop within timeout=0.0" in caplog.text
    end.set()
    assert service.stop() is True


def test_a50_a_cleanup_task(url: str, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        cache = AsyncPostgresCache(AsyncPool(url))
        await cache.put_raw("alive", {"v": 2}, ttl=300)
        began, end, runs = asyncio.Event(), asyncio.Event(), [cache.cleanup_expired]

        async def fail_then_block() -> int:
            if len(runs) < 3:
                runs.append(fail_then_block)
                raise RuntimeError("boom")
            began.set()
            await end.wait()
            return await runs[0]()

        cache.cleanup_expired = fail_then_block  # type: ignore[method-assign]
        async with cache.start_cleanup_task(0.0005) as service:
            await asyncio.wait_for(began.wait(), 10)
            with caplog.at_level(logging.WARNING):
                assert await service.stop(timeout=0.0) is False
            await cache.put_raw("gone", {"v": 1}, ttl=-1)
            end.set()
        assert await service.stop(timeout=None) is True
        assert await runs[0]() == 0  # it had gone
        assert await cache.get_raw("alive") == {"v": 2}

    asyncio.run(scene())
    assert caplog.text.count("boom") >= 2
    assert "Cleanup task did not stop within timeout=0.0" in caplog.text


# ---- Pools --------------------------------------------------------------------------------------------------------------------------


def whole(cache: PostgresCache) -> None:
    assert cache.get_raw("k") is None
    cache.put_raw("k", {"foo": "bar"}, ttl=10)
    assert cache.get_raw("k") == {"foo": "bar"}
    cache.remove("k")
    assert cache.get_raw("k") is None
    cache.put_raw("gone", {"v": 1}, ttl=-1)
    assert cache.cleanup_expired() == 1
    cache.put_raw("here", {"v": 2}, ttl=10)
    assert cache.flush() == 1


async def whole_async(cache: AsyncPostgresCache) -> None:
    assert await cache.get_raw("k") is None
    await cache.put_raw("k", {"foo": "bar"}, ttl=10)
    assert await cache.get_raw("k") == {"foo": "bar"}
    await cache.remove("k")
    assert await cache.get_raw("k") is None
    await cache.put_raw("gone", {"v": 1}, ttl=-1)
    assert await cache.cleanup_expired() == 1
    await cache.put_raw("here", {"v": 2}, ttl=10)
    assert await cache.flush() == 1


def test_pools_of_psycopg(url: str) -> None:
    with psycopg_pool.ConnectionPool(url, min_size=1) as pool:
        whole(PostgresCache(PsycopgCachePool(pool)))

    async def scene() -> None:
        async with psycopg_pool.AsyncConnectionPool(url, min_size=1, open=False) as pool:
            await whole_async(AsyncPostgresCache(AsyncPsycopgCachePool(pool)))

    asyncio.run(scene())


def test_engines_of_sqlalchemy(engine_url: Any) -> None:
    engine = sqlalchemy.create_engine(engine_url("psycopg"))
    whole(PostgresCache(SQLAlchemyCachePool(engine)))
    engine.dispose()

    async def scene() -> None:
        engine = create_async_engine(engine_url("psycopg"))
        await whole_async(AsyncPostgresCache(AsyncSQLAlchemyCachePool(engine)))
        await engine.dispose()

    asyncio.run(scene())


def test_a_pool_that_lends_what_sqlalchemy_does(engine_url: Any) -> None:
    engine = sqlalchemy.create_engine(engine_url("psycopg"))

    class Wrapped:
        @contextmanager
        def connect(self) -> Iterator[Any]:
            with engine.connect() as connection:
                yield connection.connection

    whole(PostgresCache(Wrapped()))
    engine.dispose()


@pytest.mark.parametrize("before", [False, True])
def test_a52_a_borrowed_connection_is_returned_as_it_came(url: str, before: bool) -> None:
    with psycopg_pool.ConnectionPool(url, min_size=1, max_size=1, kwargs={"autocommit": before}) as pool:
        adapter = PsycopgCachePool(pool)
        with adapter.connect() as connection:
            assert connection.autocommit is True
        with pytest.raises(RuntimeError), adapter.connect():
            raise RuntimeError
        with pool.connection() as connection:
            assert connection.autocommit is before

    async def scene() -> None:
        kwargs = {"autocommit": before}
        async with psycopg_pool.AsyncConnectionPool(url, min_size=1, max_size=1, kwargs=kwargs, open=False) as pool:
            adapter = AsyncPsycopgCachePool(pool)
            async with adapter.connect() as connection:
                assert connection.autocommit is True
            with pytest.raises(RuntimeError):
                async with adapter.connect():
                    raise RuntimeError
            async with pool.connection() as connection:
                assert connection.autocommit is before

    asyncio.run(scene())


def connections(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()").fetchone()
    assert row is not None
    return int(row[0])


def test_a_pool_is_asked_once_and_caches_share_their_connections(url: str) -> None:
    pool, before = Pool(url), connections(url)
    cache = PostgresCache(pool)
    cache.put_raw("k", {"foo": "bar"}, ttl=10)
    for _ in range(50):  # as one that is made for each request
        cache.get_raw("k")
        assert PostgresCache(Pool(url)).get_raw("k") == {"foo": "bar"}
    assert pool.lent == 1
    assert connections(url) - before < 8
    psycache.close()
    until = time.monotonic() + 10
    while connections(url) > before:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert cache.get_raw("k") == {"foo": "bar"}


def test_an_async_cache_goes_on_in_another_loop(url: str) -> None:
    cache = AsyncPostgresCache(AsyncPool(url))
    for number in range(3):
        asyncio.run(cache.put_raw("k", {"number": number}, ttl=10))
        assert asyncio.run(cache.get_raw("k")) == {"number": number}
    assert len(psycache._of_loops) == 1  # those of loops that have ended are closed


def test_loops_of_several_threads(url: str) -> None:
    cache, found = AsyncPostgresCache(AsyncPool(url)), list[Any]()
    barrier = threading.Barrier(3)

    async def scene() -> None:
        barrier.wait(10)
        await cache.put_raw("k", {"foo": "bar"}, ttl=10)
        barrier.wait(10)
        found.append(await cache.get_raw("k"))

    threads = [threading.Thread(target=asyncio.run, args=(scene(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [{"foo": "bar"}] * 3


def test_a53_a_fork_while_another_thread_opens_a_cache(url: str) -> None:
    cache = PostgresCache(Pool(url))
    with psycache._opening.lock:
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            os._exit(0 if cache.get_raw("k") is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a72_without_a_server_reads_miss_and_writes_tell(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    cache = PostgresCache(Pool(url))
    monkeypatch.setenv("PGCACHE_SCHEMA", "python_nobody")
    assert cache.get_raw("k") is None
    with pytest.raises(pgcache.errors.SchemaMissing):
        cache.put_raw("k", {}, ttl=10)
    psycache.close()
    monkeypatch.setenv("PGCACHE_ON_ERROR", "error")
    with pytest.raises(pgcache.errors.SchemaMissing):
        cache.get_raw("k")


# ---- Metrics and spans ----------------------------------------------------------------------------------------------------------------


def figure(name: str, **labels: str) -> float:
    return prometheus_client.REGISTRY.get_sample_value(name, labels) or 0.0


def test_a60_psycaches_metrics_by_their_names(make: Callable[..., Any]) -> None:
    cache = make(instrumentations=(PrometheusInstrumentation(),))
    mine = {"span_name": "mine"}
    names: dict[str, dict[str, str]] = {
        "psycache_hits_total": mine, "psycache_misses_total": mine, "psycache_get_duration_seconds_count": mine,
        "psycache_put_duration_seconds_count": mine, "psycache_item_size_bytes_count": mine, "psycache_item_size_bytes_sum": mine,
        "psycache_remove_duration_seconds_count": {}, "psycache_flush_duration_seconds_count": {}, "psycache_flushed_entries_sum": {},
    }  # fmt: skip
    before = {name: figure(name, **labels) for name, labels in names.items()}
    unnamed = figure("psycache_misses_total", span_name="")
    cache.put_raw("k", {"a": 1}, ttl=10, span_name="mine")
    for _ in range(3):
        cache.get_raw("k", span_name="mine")
    cache.get_raw("none", span_name="mine")
    cache.get_raw("none")
    cache.remove("k")
    cache.put_raw("gone", {"a": 1}, ttl=-1, span_name="other")
    began = time.time()
    cache.cleanup_expired()
    cache.put_raw("x", {"a": 1}, ttl=10, span_name="other")
    cache.flush()
    assert {name: figure(name, **labels) - before[name] for name, labels in names.items()} == {
        "psycache_hits_total": 3, "psycache_misses_total": 1, "psycache_get_duration_seconds_count": 4,
        "psycache_put_duration_seconds_count": 1, "psycache_item_size_bytes_count": 4, "psycache_item_size_bytes_sum": 4 * len('{"a":1}'),
        "psycache_remove_duration_seconds_count": 1, "psycache_flush_duration_seconds_count": 1, "psycache_flushed_entries_sum": 1,
    }  # fmt: skip
    assert figure("psycache_misses_total", span_name="") - unnamed == 1
    assert figure("psycache_cleanup_deleted_entries") == 1
    assert began <= figure("psycache_cleanup_last_run_timestamp_seconds") <= time.time()
    assert figure("psycache_item_size_bytes_bucket", span_name="mine", le="1.048576e+06") > 0
    assert figure("psycache_flushed_entries_bucket", le="1000.0") > 0
    text = prometheus_client.generate_latest().decode()
    kinds = {family.name: family.type for family in prometheus_client.parser.text_string_to_metric_families(text)}
    told = {name.removeprefix("psycache_"): kind for name, kind in kinds.items() if name.startswith("psycache_")}
    assert {name: kind for name, kind in told.items() if not name.endswith("_created")} == {
        "hits": "counter", "misses": "counter", "get_duration_seconds": "histogram", "put_duration_seconds": "histogram",
        "remove_duration_seconds": "histogram", "flush_duration_seconds": "histogram", "item_size_bytes": "histogram",
        "flushed_entries": "histogram", "cleanup_last_run_timestamp_seconds": "gauge", "cleanup_deleted_entries": "gauge",
    }  # fmt: skip


class Kept(Transport):
    def __init__(self) -> None:
        super().__init__()
        self.spans: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Any) -> None:
        for item in envelope.items:
            if item.headers.get("type") == "transaction":
                self.spans += item.payload.json["spans"]


def test_a61_psycaches_spans(make: Callable[..., Any]) -> None:
    cache, kept = make(instrumentations=(SentryInstrumentation(),)), Kept()
    sentry_sdk.init(
        dsn="http://public@localhost/1", transport=kept, traces_sample_rate=1.0, default_integrations=False,
        auto_enabling_integrations=False,
    )  # fmt: skip
    with sentry_sdk.start_transaction(name="test"):
        cache.put_raw("k", {"a": 1}, ttl=10, span_name="my put")
        cache.get_raw("k", span_name="my get")
        cache.get_raw("none")
        cache.remove("k")
        cache.put_raw("k", {}, ttl=10)
        cache.cleanup_expired()
        cache.flush()
    sentry_sdk.flush()
    sentry_sdk.get_client().close()
    found = [(span["op"], span["description"], span["data"]) for span in kept.spans]
    facts = [(op, name, {key: value for key, value in data.items() if key.startswith("cache.")}) for op, name, data in found]
    assert facts == [
        ("cache.put", "my put", {"cache.key": ["k"], "cache.item_size": 7, "cache.success": True}),
        ("cache.get", "my get", {"cache.key": ["k"], "cache.hit": True, "cache.item_size": 7, "cache.success": True}),
        ("cache.get", "psycache get", {"cache.key": ["none"], "cache.hit": False, "cache.success": True}),
        ("cache.remove", "psycache remove", {"cache.key": ["k"], "cache.success": True}),
        ("cache.put", "psycache put", {"cache.key": ["k"], "cache.item_size": 2, "cache.success": True}),
        ("cache.flush", "psycache flush", {"cache.num_flushed": 1}),
    ]


def test_instrumentations_of_ones_own(make: Callable[..., Any]) -> None:
    told: list[Any] = []

    class Mine:
        def __getattr__(self, name: str) -> Any:
            @contextmanager
            def start(*given: Any) -> Iterator[Any]:
                told.append((name, *given))
                try:
                    yield Span()
                finally:
                    told.append("end")

            return start

    class Span(NoopAnySpan):
        def record_cache_hit(self, item_size: int) -> None:
            told.append(item_size)

    cache = make(instrumentations=(Mine(), Mine()))
    cache.put_raw("k", {"a": 1}, ttl=10)
    cache.get_raw("k", "words")
    put = [("start_cache_put_span", "k", None)] * 2 + ["end"] * 2
    assert told == put + [("start_cache_get_span", "k", "words")] * 2 + [7, 7, "end", "end"]
    told.clear()
    with pytest.raises(TypeError):
        cache.put_raw("k", {"a": object()}, ttl=10)
    assert told == put
    for record in ("cache_miss", "removed"):
        getattr(NoopAnySpan(), f"record_{record}")()
    for record in ("put", "cleanup", "flush", "cache_hit"):
        getattr(NoopAnySpan(), f"record_{record}")(1)


# ---- The command ----------------------------------------------------------------------------------------------------------------------


def test_a20_init_db(url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PGCACHE_SCHEMA", "python_psycache_made")
    for options in ([], [], ["--schema", "app_cache"], ["--table", "app_cache.psycache"]):
        assert main(["init-db", *options, url]) == 0
    with pgcache.Cache(url, janitor=None, on_error="error") as cache:
        assert cache.get("k") is None
    assert main(["init-db"]) == 0
    assert "CREATE SCHEMA" in capsys.readouterr().out


def test_a22_init_db_tells_what_failed(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init-db", "postgresql://nope:s3cret@127.0.0.1:1/nope"]) == 1
    assert main(["init-db", "--schema", "", url]) == 1
    assert main(["init-db", "--table", "a.", url]) == 1
    told = capsys.readouterr().err
    assert told.count("init-db failed") == 3
    assert "schema must not be empty" in told
    assert "the table's name must not be empty" in told
    assert "s3cret" not in told
    with pytest.raises(SystemExit):
        main([])


def test_the_command_by_its_module() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "pgcache.compat.psycache", "init-db", "--help"], capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "--schema" in ended.stdout
    assert "--table" in ended.stdout
