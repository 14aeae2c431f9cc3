"""What `AsyncCache` has beyond its mirror: event loops, cancellation, many at once. SPDX-License-Identifier: MIT"""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from typing import Any

import pytest
from conftest import LONG

import pgcache
from pgcache import errors


def test_a_thousand_at_once_and_no_threads(url: str, schema: str) -> None:
    async def scene() -> None:
        settings: dict[str, Any] = {"schema": schema, "namespace": "thousand", "janitor": None, "near_max_bytes": 0}
        async with pgcache.AsyncCache(url, **settings) as cache:
            before = threading.active_count()
            await asyncio.gather(*(cache.put(f"k{n}", n) for n in range(1000)))
            assert await asyncio.gather(*(cache.get(f"k{n}") for n in range(1000))) == list(range(1000))
            assert threading.active_count() == before
            assert (await cache.stats()).pool_open <= 3

    asyncio.run(scene())


def test_a_task_that_is_cancelled(aio: pgcache.AsyncCache) -> None:
    async def scene() -> None:
        for _ in range(100):
            task = asyncio.create_task(aio.get("k", from_store=True))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(_twice(aio), 0.1)
        async with await aio.load_begin("leased", wait=2) as load:
            assert load.leased  # both were given back
        assert await aio.put("k", 1) > 0
        assert await aio.get("k") == 1

    asyncio.run(scene())


async def _twice(aio: pgcache.AsyncCache) -> None:
    load = await aio.load_begin("leased")
    assert load.leased
    await aio.load_begin("leased")


def test_deadlines(aio: pgcache.AsyncCache) -> None:
    async def scene() -> None:
        async with await aio.load_begin("k"):
            began = time.monotonic()
            with pytest.raises(errors.Busy):
                await aio.get_or_load("k", lambda: 1, deadline=0.5)
            with pytest.raises(errors.Timeout):
                await aio.get("k", deadline=0)
            assert 0.05 < time.monotonic() - began < 10

    asyncio.run(scene())


def test_one_loop_after_the_other(aio: pgcache.AsyncCache) -> None:
    for number in range(3):
        assert asyncio.run(aio.put("k", number)) > 0
        assert asyncio.run(aio.get("k", from_store=True)) == number


def test_two_loops_at_once_are_refused(aio: pgcache.AsyncCache) -> None:
    async def scene() -> None:
        async with await aio.load_begin("k"):
            waiting = asyncio.create_task(aio.load_begin("k", wait=5))
            await asyncio.sleep(0.05)
            failures: list[BaseException] = []

            def elsewhere() -> None:
                try:
                    asyncio.run(aio.get("other"))
                except RuntimeError as failure:
                    failures.append(failure)

            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join()
            assert "another event loop" in str(failures[0])
        async with await waiting:
            pass

    asyncio.run(scene())


def test_a_loop_that_runs_keeps_the_cache_and_one_that_stands_still_does_not(aio: pgcache.AsyncCache) -> None:
    first = asyncio.new_event_loop()
    first.run_until_complete(aio.put("k", 1))
    thread = threading.Thread(target=first.run_forever)
    thread.start()
    while not first.is_running():
        time.sleep(0.001)
    with pytest.raises(RuntimeError, match="another event loop"):
        asyncio.run(aio.get("k", from_store=True))
    first.call_soon_threadsafe(first.stop)
    thread.join()
    assert asyncio.run(aio.get("k", from_store=True)) == 1
    first.close()


def test_hits_go_on_beside_loads_and_writes_of_other_keys(aio: pgcache.AsyncCache) -> None:
    async def scene() -> None:
        await aio.put("k", 1)
        while aio.peek("k") is None:
            await aio.get("k")
        async with await aio.load_begin("held"):
            waiting = asyncio.create_task(aio.load_begin("held", wait=60))
            write = asyncio.create_task(aio.put("other", 1))
            await asyncio.sleep(0)
            before = aio.counters()["near_hits"]
            assert await aio.get("k") == 1
            assert aio.counters()["near_hits"] == before + 1
            assert not write.done()  # nothing has let it run
            await write
        async with await waiting:
            pass

    asyncio.run(scene())


def test_a_lease_is_let_go_where_there_is_no_room_for_requests(url: str, schema: str) -> None:
    async def scene() -> None:
        settings: dict[str, Any] = {"schema": schema, "namespace": "room", "janitor": None, "async_requests_max": 1}
        async with pgcache.AsyncCache(url, **settings) as cache, pgcache.AsyncCache(url, **{**settings, "async_requests_max": 9}) as other:
            load = await cache.load_begin("k")
            assert load.leased
            held = await other.load_begin("held")
            waiting = asyncio.create_task(cache.load_begin("held", wait=60))  # takes all the room
            await asyncio.sleep(0.05)
            with pytest.raises(errors.QueueFull):
                await cache.get("k", from_store=True)
            del load
            async with await other.load_begin("k", wait=5) as again:
                assert again.leased
            await held.abandon()
            async with await waiting:
                pass

    asyncio.run(scene())


def test_a_caller_that_is_cancelled_hears_nothing_of_a_load_that_fails(aio: pgcache.AsyncCache) -> None:
    complaints: list[Any] = []

    async def scene() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
        began, end = asyncio.Event(), asyncio.Event()

        async def fail() -> None:
            began.set()
            await end.wait()
            raise LookupError("mine")

        task = asyncio.create_task(aio.get_or_load("k", fail, fail_safe=60, wait=60))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        end.set()
        while aio._requests._tasks:
            await asyncio.sleep(0.005)
        assert aio.counters()["load_failures"] == 1
        gc.collect()

    asyncio.run(scene())
    assert complaints == []


def test_both_views_of_one_handle(url: str, schema: str) -> None:
    async def scene() -> None:
        async with pgcache.AsyncCache(url, schema=schema, namespace="views", janitor=None) as cache:
            await cache.put("k", 1)
            assert cache.sync.get("k") == 1
            assert await cache.sync.aio.get("k", from_store=True) == 1
            first, second = cache.sync.aio, cache.sync.aio
            assert await asyncio.gather(first.get("k", from_store=True), second.get("k", from_store=True)) == [1, 1]

    asyncio.run(scene())


def test_closing_ends_what_waits(url: str, schema: str) -> None:
    async def scene() -> None:
        cache = pgcache.AsyncCache(url, schema=schema, namespace="closing", janitor=None)
        load = await cache.load_begin("k")
        assert load.leased
        waiting = asyncio.create_task(cache.load_begin("k", wait=60))
        await asyncio.sleep(0.05)
        await cache.close()
        with pytest.raises((errors.Closed, errors.Cancelled)):
            await waiting
        with pytest.raises(errors.Closed):
            await cache.get("k")

    asyncio.run(scene())


def test_a_queue_that_is_full(url: str, schema: str) -> None:
    async def scene() -> None:
        settings: dict[str, Any] = {"schema": schema, "janitor": None, "async_requests_max": 10, "near_max_bytes": 0}
        async with pgcache.AsyncCache(url, **settings) as cache:
            results = await asyncio.gather(*(cache.get(f"k{n}") for n in range(50)), return_exceptions=True)
            assert any(isinstance(result, errors.QueueFull) for result in results)
            assert await cache.get("k") is None

    asyncio.run(scene())


def test_a_cache_that_is_let_go_takes_its_descriptor_along(url: str, schema: str) -> None:
    async def scene() -> None:
        for _ in range(20 if LONG else 8):
            cache = pgcache.AsyncCache(url, schema=schema, namespace="gone", janitor=None)
            await cache.exists("k")
            del cache
            gc.collect()
            await asyncio.sleep(0)
        assert len(os.listdir("/proc/self/fd")) < before + 5

    before = len(os.listdir("/proc/self/fd"))
    asyncio.run(scene())


def test_iterating(aio: pgcache.AsyncCache) -> None:
    async def scene() -> None:
        await aio.put_many({f"k{n}": n for n in range(10)})
        assert [key.key async for key in aio.keys("k")] == [b"k%d" % n for n in range(10)]
        assert "" in {usage.namespace async for usage in aio.usage()}

    asyncio.run(scene())
