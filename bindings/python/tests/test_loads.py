"""Loads, tags, invalidation. Each with `Cache` and `AsyncCache`, where not said otherwise. SPDX-License-Identifier: MIT"""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from conftest import LONG

import pgcache
from pgcache import ABSENT, Status, errors
from pgcache._workers import Workers


class Loader:
    """A load that counts."""

    def __init__(self, value: Any = "loaded", pause: float = 0) -> None:
        self.value, self.pause, self.calls = value, pause, 0

    def __call__(self) -> Any:
        self.calls += 1
        time.sleep(self.pause)
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value


def eventually(true: Callable[[], Any], seconds: float = 5) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_get_or_load(cache: Any) -> None:
    load = Loader({"n": (1, 2)})
    assert cache.get_or_load("k", load, ttl=60) == {"n": [1, 2]}  # as all later readers get it
    assert cache.get_or_load("k", load, ttl=60) == {"n": [1, 2]}
    assert load.calls == 1
    assert cache.get("k", from_store=True) == {"n": [1, 2]}
    assert 50 < cache.get_entry("k").ttl <= 60


def test_a_loaded_none_is_a_value_and_absence_none(cache: Any) -> None:
    none, absent = Loader(None), Loader(ABSENT)
    missing = object()
    assert cache.get_or_load("none", none, missing, ttl=60) is None
    assert cache.get_or_load("none", none, missing, ttl=60) is None
    assert none.calls == 1
    assert cache.get_or_load("absent", absent, missing, absent_ttl=60) is missing
    assert cache.get_or_load("absent", absent, missing, absent_ttl=60) is missing
    assert absent.calls == 1
    assert cache.get("absent", missing) is missing
    assert cache.get_or_load("forgotten", absent, missing) is missing
    assert cache.get_or_load("forgotten", absent, missing) is missing
    assert absent.calls == 3


def _herd(url: str, schema: str, namespace: str, callers: int, ran: Any, gate: Any) -> None:
    def load() -> str:
        with ran.get_lock():
            ran.value += 1
        time.sleep(0.2)
        return "loaded"

    with pgcache.Cache(url, schema=schema, namespace=namespace, janitor=None, on_error="error", pool_max=3) as cache:
        gate.wait()
        results: list[Any] = []
        threads = [threading.Thread(target=lambda: results.append(cache.get_or_load("herd", load, deadline=60))) for _ in range(callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == ["loaded"] * callers, results


def test_a40_a_herd_loads_once(url: str, schema: str) -> None:
    processes, callers = (20, 50) if LONG else (3, 20)
    context = multiprocessing.get_context("spawn")
    ran, gate = context.Value("i", 0), context.Barrier(processes)
    herd = [context.Process(target=_herd, args=(url, schema, "herd", callers, ran, gate)) for _ in range(processes)]
    for process in herd:
        process.start()
    for process in herd:
        process.join()
    assert [process.exitcode for process in herd] == [0] * processes
    assert ran.value == 1


def test_a40_a_thousand_tasks_load_once(aio: pgcache.AsyncCache) -> None:
    ran = 0

    async def load() -> str:
        nonlocal ran
        ran += 1
        await asyncio.sleep(0.1)
        return "loaded"

    async def herd() -> None:
        assert await asyncio.gather(*(aio.get_or_load("k", load, deadline=60) for _ in range(1000))) == ["loaded"] * 1000

    asyncio.run(herd())
    assert ran == 1


def test_a41_a_load_that_fails(cache: Any) -> None:
    failing, load = Loader(LookupError("mine")), Loader()
    with pytest.raises(LookupError, match="mine"):
        cache.get_or_load("k", failing)
    assert cache.get("k") is None
    assert cache.get_or_load("k", load) == "loaded"


def test_a41_a_load_that_fails_while_the_cache_is_closed(cache: Any) -> None:
    """Neither waits for a server nor for room: the failure is the load's own."""

    def fail() -> None:
        getattr(cache, "_inner", cache)._shared.close()
        raise LookupError("mine")

    load = cache.load_begin("by hand")
    with pytest.raises(LookupError, match="mine"):
        cache.get_or_load("k", fail)
    with pytest.raises(errors.Closed):
        load.fail()


def test_a41_who_waits_tries_again(plain: pgcache.Cache) -> None:
    failing, load = Loader(LookupError("mine"), pause=0.2), Loader("second")
    results: list[Any] = []

    def first() -> None:
        try:
            plain.get_or_load("k", failing)
        except LookupError as failure:
            results.append(failure)

    thread = threading.Thread(target=first)
    thread.start()
    eventually(lambda: failing.calls)
    assert plain.get_or_load("k", load) == "second"
    thread.join()
    assert [type(result) for result in results] == [LookupError]


def test_a43_loads_that_use_the_cache(make: Callable[..., Any]) -> None:
    cache = make(pool_max=1)
    inner = make(pool_max=1) if not isinstance(cache, pgcache.Cache) else cache
    plain = inner if isinstance(inner, pgcache.Cache) else inner.sync

    def outer() -> int:
        return int(plain.get_or_load("inner", lambda: 20, deadline=5)) + 1

    assert cache.get_or_load("outer", outer, deadline=5) == 21


def test_a45_stale_while_it_is_refreshed(cache: Any) -> None:
    how = {"ttl": 0.05, "stale": 60}
    cache.get_or_load("k", Loader("old"), **how)
    time.sleep(0.1)
    load = Loader("new")
    assert cache.get_or_load("k", load, **how) == "old"
    eventually(lambda: cache.get_or_load("k", Loader("newer"), ttl=60, stale=60) in ("new", "newer"))


def test_a45_fail_safe_and_throttle(cache: Any) -> None:
    how = {"ttl": 0.05, "fail_safe": 60, "throttle": 60}
    cache.get_or_load("k", Loader("old"), **how)
    time.sleep(0.1)
    failing = Loader(LookupError("mine"))
    assert cache.get_or_load("k", failing, **how) == "old"
    assert failing.calls == 1
    assert cache.get_or_load("k", failing, **how) == "old"  # nobody tries before throttle is over
    assert failing.calls == 1


def test_a45_a_load_that_is_late(cache: Any) -> None:
    how = {"ttl": 0.05, "fail_safe": 60, "wait": 0.1}
    cache.get_or_load("k", Loader("old"), **how)
    time.sleep(0.1)

    def slow() -> str:
        time.sleep(3)
        return "new"

    async def slow_in_loop() -> str:
        await asyncio.sleep(3)
        return "new"

    is_async = hasattr(cache, "_loop")
    began = time.monotonic()
    assert cache.get_or_load("k", slow_in_loop if is_async else slow, **how) == "old"
    assert time.monotonic() - began < 2.9
    if is_async:
        cache._loop.run_until_complete(asyncio.sleep(3.5))
    eventually(lambda: cache.counters()["load_fills"] == 2)


def test_a45_early_refresh(plain: pgcache.Cache) -> None:
    load = Loader("old", pause=0.2)
    plain.get_or_load("k", load, ttl=2, early_percent=1000)
    again = Loader("new")
    until = time.monotonic() + 2
    while again.calls == 0 and time.monotonic() < until:
        plain.get_or_load("k", again, ttl=2, early_percent=1000)
        time.sleep(0.01)
    assert again.calls >= 1
    eventually(lambda: plain.get("k") == "new")


def test_a45_busy(plain: pgcache.Cache) -> None:
    with plain.load_begin("k") as load:
        assert load.status is Status.LEASE
        with pytest.raises(errors.Busy):
            plain.get_or_load("k", Loader(), wait=0.05)
        with pytest.raises(errors.Busy):
            plain.get_or_load("k", Loader(), deadline=0.5)


def test_a46_an_invalidation_refuses_the_fill(cache: Any) -> None:
    with cache.load_begin("k", tags=["t"]) as load:
        assert load.leased
        cache.invalidate(tags=["t"])
        assert load.fill("old", tags=["t"]) is None
        assert not load.leased
    assert cache.get("k") is None
    load = Loader()

    def invalidated() -> str:
        cache_of_its_own.invalidate(keys=["k"])
        return "once"

    cache_of_its_own = getattr(cache, "sync", cache) if hasattr(cache, "_loop") else cache
    assert cache.get_or_load("k", invalidated) == "once"  # for this caller alone
    assert cache.get("k", from_store=True) is None


def test_loads_by_hand(cache: Any) -> None:
    with cache.load_begin("k", ttl=0.05, fail_safe=60) as load:
        assert (load.status, load.leased, load.entry) == (Status.LEASE, True, None)
        assert load.extend(20) is True
        version = load.fill({"n": 1})
        assert version > 0
        with pytest.raises(errors.InvalidArgument):
            load.fill(2)
    fresh = cache.load_begin("k", ttl=0.05, fail_safe=60)
    if fresh.status is Status.OK:
        assert (fresh.leased, fresh.entry.value) == (False, {"n": 1})
    else:
        fresh.abandon()
    time.sleep(0.1)
    load = cache.load_begin("k", ttl=0.05, fail_safe=60)
    assert load.status is Status.LEASE
    stale = load.fail()
    assert (stale.value, stale.stale) == ({"n": 1}, True)
    with cache.load_begin("other", absent_ttl=60) as load:
        assert load.fill_absent() is True
    assert cache.load_begin("other").status is Status.MISS
    load = cache.load_begin("third")
    assert cache.load_begin("third", wait=0).status is Status.BUSY
    load.abandon()
    load.abandon()
    with cache.load_begin("third", wait=0) as load:
        assert load.leased  # and is given back at the end
        assert load.fail() is None
    assert cache.load_begin("third", wait=0).leased


def test_a_load_that_is_let_go(cache: Any) -> None:
    load = cache.load_begin("k")
    assert load.leased
    del load
    with cache.load_begin("k", wait=2) as load:
        assert load.leased


def test_what_is_loaded_and_cannot_be_stored_is_given(make: Callable[..., Any]) -> None:
    cache = make(max_value_bytes=100)
    assert cache.get_or_load("k", Loader("v" * 200)) == "v" * 200
    assert cache.get("k") is None
    with pytest.raises(errors.SerializationError):
        cache.get_or_load("k", Loader(object()))
    with pytest.raises(errors.InvalidArgument):
        cache.get_or_load("k", Loader(), tags=[""])
    assert cache.get_or_load("k", Loader(), wait=0) == "loaded"  # neither kept the lease


def test_tags_and_keys(cache: Any) -> None:
    cache.put("a", 1, tags=["t", b"\0tag"])
    cache.put("b", 2, keys=["a"])
    cache.get_or_load("c", Loader(3), tags=["t"])
    dependents = cache.dependents(tags=["t", "none"], keys=["a"])
    assert dependents.entries[:2] == [2, 0]
    assert dependents.tagged >= 3
    assert dependents.watched == []
    cache.invalidate(tags=["t"])
    cache.fence()
    assert cache.get_many(["a", "b", "c"]) == {"b": 2}
    cache.invalidate(keys=["a"])
    assert cache.get("b", from_store=True) is None
    with pytest.raises(TypeError):
        cache.invalidate(tags="t")
    with pytest.raises(errors.TooLarge):
        cache.invalidate(tags=["t" * 256])


def test_invalidation_in_the_applications_transaction(plain: pgcache.Cache, url: str) -> None:
    plain.put("k", 1, tags=["orders"])
    invalidation = plain.invalidation(tags=["orders"], keys=[b"other"])
    with psycopg.connect(url) as connection:
        connection.execute(invalidation.sql, invalidation.arguments)
        connection.rollback()
        plain.fence()
        assert plain.get("k") == 1
        connection.execute(invalidation.sql, invalidation.arguments)
        connection.commit()
    plain.fence()
    assert plain.get("k") is None
    assert invalidation.numbered.count("$") == 3
    with pytest.raises(errors.InvalidArgument):
        plain.invalidation(tags=[b"\xff"])
    with pytest.raises(errors.InvalidArgument):
        plain.invalidation(tags=["orders"], namespace="")
    assert invalidation.sql.startswith('SELECT "python_tests".invalidate(')


def test_a_cancelled_task_gives_its_lease_back(aio: pgcache.AsyncCache) -> None:
    async def scene() -> None:
        began = asyncio.Event()

        async def load() -> str:
            began.set()
            await asyncio.sleep(60)
            return "never"

        task = asyncio.create_task(aio.get_or_load("k", load))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await aio.get_or_load("k", lambda: "second", wait=2) == "second"

    asyncio.run(scene())


def test_a_refresh_outlives_the_task_that_began_it(aio: pgcache.AsyncCache) -> None:
    async def scene() -> None:
        await aio.get_or_load("k", lambda: "old", ttl=0.05, stale=60)
        await asyncio.sleep(0.1)

        async def load() -> str:
            await asyncio.sleep(0.1)
            return "new"

        task = asyncio.create_task(aio.get_or_load("k", load, ttl=60, stale=60))
        assert await task == "old"
        until = time.monotonic() + 10
        while await aio.get("k", from_store=True) != "new":
            assert time.monotonic() < until
            await asyncio.sleep(0.01)

    asyncio.run(scene())


def test_a45_a_first_load_asks_once(make: Callable[..., Any]) -> None:
    class Names:
        def __init__(self) -> None:
            self.names: list[str] = []

        def begin(self, operation: pgcache.Operation) -> None:
            self.names.append(operation.name)

        def end(self, begun: None, outcome: pgcache.Outcome) -> None:
            pass

    names = Names()
    cache = make(providers=[names])
    assert cache.get_or_load("k", Loader(), fail_safe=60) == "loaded"
    assert names.names == ["load_begin", "load_fill"]
    assert sum(sample.value for sample in cache.snapshot() if sample.name == "pgcache_misses_total") == 1


def test_a45_loads_in_the_background_that_need_others(url: str, schema: str) -> None:
    with pgcache.Cache(url, schema=schema, namespace="nested", janitor=None, load_threads=1) as cache:
        how: dict[str, Any] = {"fail_safe": 60, "wait": 30, "lease": 60}
        assert cache.get_or_load("outer", lambda: cache.get_or_load("inner", lambda: 20, **how) + 1, **how) == 21


def test_a45_what_waits_for_a_thread_ends_with_the_cache(url: str, schema: str) -> None:
    end, outcomes = threading.Event(), list[Any]()
    cache = pgcache.Cache(url, schema=schema, namespace="ends-waiting", janitor=None, load_threads=1)

    def load(key: str) -> None:
        try:
            outcomes.append(cache.get_or_load(key, lambda: end.wait(30), fail_safe=60, wait=60))
        except errors.Closed as failure:
            outcomes.append(failure)

    threads = [threading.Thread(target=load, args=(key,)) for key in ("a", "b")]
    for thread in threads:
        thread.start()
    eventually(lambda: cache.counters()["loads"] == 2)
    time.sleep(0.1)
    cache.close()
    eventually(lambda: len(outcomes) == 1)
    assert isinstance(outcomes[0], errors.Closed)
    end.set()
    for thread in threads:
        thread.join()
    assert outcomes[1] is True


def test_jobs_in_the_background_are_bounded() -> None:
    workers, end = Workers(2), threading.Event()
    jobs = [workers.submit(end.wait, 30) for _ in range(35)]
    assert [job is None for job in jobs] == [False] * 34 + [True]
    end.set()
    eventually(lambda: all(job.done() for job in jobs if job is not None))
    job = workers.submit(lambda: workers.submit(int))
    assert job is not None
    assert job.result(30) is None  # a thread of theirs does it itself
    workers.close()
    assert workers.submit(int) is None
