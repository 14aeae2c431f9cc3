"""pgcache.compat.postgres_cache: what postgres-cache's own tests and its page promise. SPDX-License-Identifier: MIT"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest

import pgcache
from pgcache import errors
from pgcache.compat import postgres_cache
from pgcache.compat.postgres_cache import Cache, CacheSettings, JsonSerializer, NullCache, PostgresCache


@pytest.fixture
def settings(url: str, monkeypatch: pytest.MonkeyPatch) -> CacheSettings:
    """Of the schema that the environment names, with nothing in it."""
    monkeypatch.setenv("PGCACHE_SCHEMA", "python_postgres_cache")
    settings = CacheSettings(dsn=url)
    postgres_cache.init_postgres_cache_db_sync(settings)
    with pgcache.Cache(url, janitor=None) as cache:
        cache.flush(all=True)
    return settings


@pytest.fixture
def run(settings: CacheSettings) -> Callable[..., Any]:
    """Runs a scene with a cache that is connected."""

    def run_scene(scene: Callable[[PostgresCache], Awaitable[Any]], **changes: Any) -> Any:
        async def with_cache() -> Any:
            async with PostgresCache(dataclasses.replace(settings, **changes)) as cache:
                return await scene(cache)

        return asyncio.run(with_cache())

    return run_scene


def test_a01_set_and_get(run: Callable[..., Any]) -> None:
    async def scene(cache: PostgresCache) -> None:
        value = {"value": [1, None]}
        await cache.set("alpha", value, ttl_seconds=10)
        found = await cache.get("alpha")
        assert found == value
        found["value"].append(2)  # nobody else's
        assert await cache.get("alpha") == value
        assert await cache.get("other") is None

    run(scene)


def test_a07_expiry(run: Callable[..., Any]) -> None:
    async def scene(cache: PostgresCache) -> None:
        await cache.set("ephemeral", "data", ttl_seconds=0.5)
        assert await cache.get("ephemeral") == "data"
        await asyncio.sleep(0.7)
        assert await cache.get("ephemeral") is None

    run(scene)


def test_times_to_live(run: Callable[..., Any], url: str) -> None:
    async def scene(cache: PostgresCache) -> list[float]:
        await cache.set("default", 1)
        await cache.set("never", 1, ttl_seconds=0)
        await cache.delete("loaded")
        await cache.get_or_set("loaded", lambda: 1, ttl_seconds=0)
        with pgcache.Cache(url, janitor=None) as seen:
            return [entry.ttl for key in ("default", "never", "loaded") if (entry := seen.get_entry(key)) is not None]

    assert run(scene, default_ttl_seconds=60) == [pytest.approx(60, abs=5), pgcache.NEVER, pytest.approx(60, abs=5)]
    assert run(scene, default_ttl_seconds=0) == [pgcache.NEVER] * 3


def test_a03_invalidate_and_delete(run: Callable[..., Any]) -> None:
    async def scene(cache: PostgresCache) -> None:
        for end in (cache.invalidate, cache.delete):
            await cache.set("victim", 42, ttl_seconds=5)
            await end("victim")
            assert await cache.get("victim") is None
            await end("victim")

    run(scene)


def test_a30_others_hear_of_changes(run: Callable[..., Any], settings: CacheSettings) -> None:
    async def scene(writer: PostgresCache) -> None:
        async with PostgresCache(settings) as reader:
            for end in (writer.delete, None):
                await writer.set("shared", {"step": 1}, ttl_seconds=5)
                assert await reader.get("shared") == {"step": 1}
                await (writer.set("shared", {"step": 2}, ttl_seconds=5) if end is None else end("shared"))
                await asyncio.sleep(0.2)
                assert await reader.get("shared") == (None if end else {"step": 2})

    run(scene)


def test_a40_one_loader_runs(run: Callable[..., Any], settings: CacheSettings) -> None:
    async def scene(cache: PostgresCache) -> None:
        runs: list[int] = []

        async def loader() -> int:
            await asyncio.sleep(0.05)
            runs.append(1)
            return len(runs)

        async with PostgresCache(settings) as other:
            found = await asyncio.gather(*(one.get_or_set("heavy", loader, ttl_seconds=10) for one in [cache, other] * 20))
        assert set(found) == set(runs) == {1}
        assert len(runs) == 1

    run(scene)


def test_a11_none_is_a_value(run: Callable[..., Any]) -> None:
    async def scene(cache: PostgresCache) -> None:
        runs: list[int] = []
        for _ in range(3):
            assert await cache.get_or_set("none", lambda: runs.append(1)) is None
        assert runs == [1]

    run(scene)


def test_a41_a_loader_that_fails(run: Callable[..., Any]) -> None:
    async def scene(cache: PostgresCache) -> None:
        with pytest.raises(ZeroDivisionError):
            await cache.get_or_set("k", lambda: 1 // 0)
        assert await cache.get_or_set("k", lambda: (1, 2)) == [1, 2]

    run(scene)


def test_a43_loaders_hold_no_connection(run: Callable[..., Any]) -> None:
    async def scene(cache: PostgresCache) -> None:
        async def loader(key: str) -> Any:
            await asyncio.sleep(0.05)
            return await cache.get_or_set(f"inner {key}", lambda: key)

        keys = [str(number) for number in range(20)]
        found = await asyncio.wait_for(asyncio.gather(*(cache.get_or_set(key, lambda key=key: loader(key)) for key in keys)), 10)
        assert found == keys

    run(scene, max_pool_size=1)


def test_a44_a_loader_that_takes_too_long(run: Callable[..., Any]) -> None:
    async def scene(cache: PostgresCache) -> None:
        began = asyncio.Event()

        async def loader() -> str:
            began.set()
            await asyncio.sleep(1)
            return "slow"

        slow = asyncio.create_task(cache.get_or_set("k", loader))
        await began.wait()
        with pytest.raises(TimeoutError):
            await cache.get_or_set("k", loader)
        assert await slow == "slow"

    run(scene, lock_timeout_seconds=0.2)


def test_a44_waiting_is_not_bounded_by_the_deadline_of_calls(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCACHE_TIMEOUT_MS", "200")

    async def scene(cache: PostgresCache) -> None:
        async def loader() -> str:
            await asyncio.sleep(0.6)
            return "slow"

        assert set(await asyncio.gather(*(cache.get_or_set("k", loader) for _ in range(3)))) == {"slow"}

    run(scene)


def test_a05_cleanup(run: Callable[..., Any]) -> None:
    async def scene(cache: PostgresCache) -> None:
        await cache.set("gone", 1, ttl_seconds=0.001)
        await cache.set("alive", 1, ttl_seconds=10)
        await asyncio.sleep(0.01)
        assert await cache.cleanup_expired() == 1
        assert await cache.get("alive") == 1

    run(scene)


def test_a04_prefixes_are_isolated(run: Callable[..., Any], url: str) -> None:
    async def put(cache: PostgresCache) -> None:
        await cache.set("k", cache.settings.schema_prefix)

    async def get(cache: PostgresCache) -> Any:
        return await cache.get("k")

    run(put)
    run(put, schema_prefix="marketing_")
    assert (run(get), run(get, schema_prefix="marketing_"), run(get, schema_prefix="other_")) == ("", "marketing_", None)
    with pgcache.Cache(url, namespace="marketing_", janitor=None) as cache:
        assert cache.get("k") == "marketing_"


@pytest.mark.parametrize("changes", [{"disable_notiffy": True}, {"local_max_entries": 0}])
def test_a31_without_a_local_cache_nobody_listens(run: Callable[..., Any], url: str, changes: dict[str, Any]) -> None:
    def listeners() -> int:
        with psycopg.connect(url) as connection:
            asked = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND query ILIKE 'LISTEN%'"
            row = connection.execute(asked).fetchone()
        return int(row[0]) if row else 0

    async def scene(cache: PostgresCache) -> int:
        before = listeners()
        await cache.set("alpha", {"value": 1}, ttl_seconds=5)
        assert await cache.get("alpha") == {"value": 1}
        assert cache._cache.peek("alpha") is None
        assert cache._cache.setting("near_max_bytes") == "0"
        return listeners() - before

    assert run(scene, **changes) == 0

    async def near(cache: PostgresCache) -> None:
        await cache.set("alpha", {"value": 1}, ttl_seconds=5)
        await cache.get("alpha")
        until = asyncio.get_running_loop().time() + 5
        while cache._cache.peek("alpha") is None:
            assert asyncio.get_running_loop().time() < until
            await asyncio.sleep(0.01)
            await cache.get("alpha")

    run(near)


def test_settings(url: str) -> None:
    with pytest.raises(ValueError, match="dsn"):
        CacheSettings(dsn="")
    for prefix in ("a-b", 'a"', "ä", "a b"):
        with pytest.raises(ValueError, match="schema_prefix"):
            CacheSettings(dsn=url, schema_prefix=prefix)
    known = [(field.name, field.default) for field in dataclasses.fields(CacheSettings) if field.name != "dsn"]
    assert known == [
        ("notify_channel", "cache_events"), ("disable_notiffy", False), ("schema_prefix", ""), ("min_pool_size", 1), ("max_pool_size", 10),
        ("local_max_entries", 4096), ("default_ttl_seconds", 300.0), ("notification_queue_size", 2048), ("lock_timeout_seconds", 5.0),
        ("fetch_timeout_seconds", 2.0), ("cleanup_batch_size", 500),
    ]  # fmt: skip


def test_serializers(settings: CacheSettings, url: str) -> None:
    class Upper:
        def dumps(self, value: Any) -> bytes:
            return str(value).upper().encode()

        def loads(self, data: bytes) -> Any:
            return data.decode()

    async def scene(serializer: Any, value: Any) -> Any:
        async with PostgresCache(settings, serializer) as cache:
            await cache.set("k", value)
            return await cache.get("k")

    assert asyncio.run(scene(Upper(), "text")) == "TEXT"
    with pgcache.Cache(url, janitor=None) as cache:
        with pytest.raises(errors.UnknownFormat):
            cache.get("k")
        assert asyncio.run(scene(None, {1: "ä"})) == {"1": "ä"}
        assert cache.get("k", from_store=True) == {"1": "ä"}
    assert json.loads(JsonSerializer().dumps("ä")) == JsonSerializer().loads(b'"\xc3\xa4"') == "ä"
    with pytest.raises(errors.SerializationError):
        asyncio.run(scene(None, float("nan")))


def test_connect_and_close(settings: CacheSettings) -> None:
    async def scene() -> None:
        cache = PostgresCache(settings)
        for use in (cache.get("k"), cache.set("k", 1), cache.delete("k"), cache.get_or_set("k", int), cache.cleanup_expired()):
            with pytest.raises(RuntimeError, match="not connected"):
                await use
        for _ in range(2):
            await cache.connect()
            await cache.connect()
            assert await cache.get("k") is None
            await cache.close()
            await cache.close()

    asyncio.run(scene())


def test_a24_too_many_connections(settings: CacheSettings, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS python_few")
        connection.execute("CREATE ROLE python_few LOGIN CONNECTION LIMIT 0")
        few = dataclasses.replace(settings, dsn=psycopg.conninfo.make_conninfo(url, user="python_few"))
        with pytest.raises(RuntimeError, match="disable_notiffy") as told:
            asyncio.run(PostgresCache(few).connect())
        assert isinstance(told.value.__cause__, errors.TooManyConnections)
        connection.execute("DROP ROLE python_few")


def test_a20_the_schema(settings: CacheSettings, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS python_migrated CASCADE")
    monkeypatch.setenv("PGCACHE_SCHEMA", "python_migrated")

    async def scene() -> None:
        with pytest.raises(errors.SchemaMissing):
            await PostgresCache(settings).connect()
        assert await postgres_cache.schema_version(settings) == 0
        assert not await postgres_cache.schema_is_current(settings)
        await asyncio.gather(*(PostgresCache.init_db(settings) for _ in range(8)))
        version = await postgres_cache.apply_migrations(settings, upto_version=1)
        assert version == await postgres_cache.schema_version(settings) >= 1
        assert await postgres_cache.schema_is_current(settings)

    asyncio.run(scene())
    assert postgres_cache.apply_migrations_sync(settings) == postgres_cache.schema_version_sync(settings)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE python_migrated.cache SET schema_version = 0")
    assert not postgres_cache.schema_is_current_sync(settings)


def test_a51_the_null_cache() -> None:
    async def scene() -> None:
        async with NullCache() as cache:
            runs: list[int] = []

            async def loader() -> int:
                runs.append(1)
                return len(runs)

            await cache.set("k", "value")
            assert await cache.get("k") is None
            assert [await cache.get_or_set("k", loader) for _ in range(2)] == [1, 2]
            assert await cache.get_or_set("k", lambda: 3) == 3
            await cache.delete("k")
            await cache.invalidate("k")
            assert await cache.cleanup_expired() == 0
            await cache.connect()
            await cache.close()

    asyncio.run(scene())


def test_both_are_caches() -> None:
    names = [name for name in vars(Cache) if not name.startswith("_") or name in ("__aenter__", "__aexit__")]
    assert len(names) == 10
    for cls in (PostgresCache, NullCache):
        assert all(callable(getattr(cls, name)) for name in names)
