"""Memory, threads, forks and ends: nothing leaks, and things may end in any order. SPDX-License-Identifier: MIT"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from conftest import LONG

import pgcache
from pgcache import _pgcache, errors

OPTIONS = (-1, "space", "span", 0, 0, ((0, "tag"), (1, b"key")))


def raw_calls(cache: pgcache.Cache) -> list[Callable[[], Any]]:
    """Each kind of argument and result of the raw layer, with what fails."""
    h = cache._handle
    raw: Any = _pgcache

    def load() -> None:
        _, _, lease = raw.load_begin(h, "load", (1000, 0, 0, 0, 0, 1000, -1, 0, 0), None)
        if lease is not None:
            raw.load_fill(lease, b"v", 0, OPTIONS)

    def failing(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
        def call() -> None:
            with pytest.raises((errors.Error, TypeError, UnicodeEncodeError, BufferError, ValueError)):
                function(*arguments)

        return call

    def request() -> None:
        _, number = raw.submit_get_many(h, ["k", "none"], OPTIONS)
        _, completion = raw.wait(h, number, 5000)
        assert [raw.completion_item(completion, index)[0] for index in range(2)] == [0, 1]
        assert (raw.completion_token(completion), raw.completion_sqlstate(completion)) == (0, "")

    snapshot = raw.stats_snapshot(h)[1]
    return [
        lambda: raw.near(h, "k", None),
        lambda: raw.near(h, bytearray(b"k"), OPTIONS),
        lambda: raw.get(h, "k", None),
        lambda: raw.get(h, memoryview(b"none"), OPTIONS),
        lambda: raw.put(h, "k", b"v", 0, 60000, OPTIONS),
        lambda: raw.peek(h, "k", None),
        lambda: raw.get_into(h, bytearray(10), "k", None),
        lambda: raw.get_many(h, ["k", b"none"], OPTIONS),
        lambda: raw.put_many(h, [("k", b"v", 60000, 0)], OPTIONS),
        lambda: raw.invalidate(h, ((0, "none"),), None),
        lambda: raw.keys(h, 10, b"", b"", None),
        lambda: raw.read_counters(h),
        lambda: raw.config_describe(0),
        lambda: raw.snapshot_label_value(snapshot, 0, 0),
        lambda: raw.config_new(),
        load,
        request,
        failing(raw.get, h, "", OPTIONS),
        failing(raw.get, h, 7, None),
        failing(raw.get, h, "\ud800", None),
        failing(raw.get, h, "k", (1,)),
        failing(raw.get, h, "k", (-1, "a\0b", None, 0, 0, ())),
        failing(raw.get, h, "k", (-1, None, None, 0, 0, ((0, 7),))),
        failing(raw.get_into, h, b"read only", "k", None),
        failing(raw.get_many, h, ["k", 7], None),
        failing(raw.get_many, h, [""], None),
        failing(raw.put_many, h, [("k", b"v", 2**70, 0)], None),
        failing(raw.keys, h, 5000, b"", b"", None),
        failing(raw.keys, h, -1, b"", b"", None),
        failing(raw.load_begin, h, "k", (1,), None),
        failing(raw.get, raw.config_new()[1], "k", None),
        failing(raw.config_set, raw.config_new()[1], "none", "1"),
    ]


def test_the_raw_layer_keeps_and_loses_no_references(plain: pgcache.Cache) -> None:
    """What is passed has as many references afterwards as before, and memory does not grow."""
    calls = raw_calls(plain)
    sentinel = [OPTIONS, OPTIONS[5], None, True, False, "k", plain._handle]
    for call in calls:
        call()
    gc.collect()
    before = [sys.getrefcount(one) for one in sentinel]
    for call in calls:
        for _ in range(50):
            call()
    gc.collect()
    after = [sys.getrefcount(one) for one in sentinel]
    assert all(abs(now - then) < 40 for now, then in zip(after, before)), (before, after)


def test_memory_does_not_grow(plain: pgcache.Cache) -> None:
    calls = raw_calls(plain)
    rounds = 2000 if LONG else 60
    big = b"v" * 1_000_000  # one of them that is lost at each turn is more than is allowed below

    def once() -> None:
        for call in calls:
            call()
        plain.put("big", big)
        assert plain.get("big", from_store=True) == big
        assert len(plain.get_many(["big", "none"], from_store=True)) == 1

    for _ in range(20):
        once()
    gc.collect()
    before = _memory()
    for _ in range(rounds):
        once()
    gc.collect()
    assert _memory() - before < 8 * 1024 * 1024


def _memory() -> int:
    with open("/proc/self/statm") as figures:
        return int(figures.read().split()[1]) * resource.getpagesize()


def test_caches_that_come_and_go(url: str, schema: str) -> None:
    def one() -> None:
        cache = pgcache.Cache(url, schema=schema, namespace="gone", janitor=60)
        cache.put("k", 1)
        observer = cache.observe()
        load = cache.load_begin("loaded")
        del cache
        gc.collect()
        observer.take()  # alive as long as anybody needs it
        del load, observer

    for _ in range(3):
        one()
    gc.collect()
    files, threads = len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
    for _ in range(20 if LONG else 8):
        one()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= files
    assert len(os.listdir("/proc/self/task")) <= threads


def test_threads_share_one(plain: pgcache.Cache) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(100):
                plain.put(f"k{turn % 10}", [number, turn])
                plain.get(f"k{turn % 7}")
                plain.get_many([f"k{n}" for n in range(10)])
                plain.increment("n")
                plain.counters()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert plain.get("n", from_store=True) == 800


def test_others_run_while_one_waits(plain: pgcache.Cache) -> None:
    with plain.load_begin("k"):
        waiting = threading.Thread(target=lambda: plain.load_begin("k", wait=0.5))
        waiting.start()
        turns = 0
        while waiting.is_alive():
            turns += 1
            time.sleep(0)
        assert turns > 10  # with the interpreter held there would be one


def test_closing_wakes_who_waits(plain: pgcache.Cache) -> None:
    outcomes: list[BaseException] = []
    load = plain.load_begin("k")

    def wait() -> None:
        try:
            plain.load_begin("k", wait=60)
        except errors.Error as failure:
            outcomes.append(failure)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.1)
    plain.close()
    thread.join(5)
    assert [type(outcome) for outcome in outcomes] == [errors.Closed]
    del load


def _in_child(work: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException as failure:
            print(repr(failure), file=sys.stderr)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a53_after_a_fork(plain: pgcache.Cache) -> None:
    plain.put("k", 1)
    asyncio.run(plain.aio.get("k", from_store=True))
    plain.get_or_load("stale", lambda: 1, ttl=0.01, stale=60)

    def work() -> None:
        assert plain.get("k") == 1
        plain.put("child", 2)
        assert asyncio.run(plain.aio.get("child", from_store=True)) == 2
        time.sleep(0.05)
        assert plain.get_or_load("stale", lambda: 2, ttl=60, stale=60) in (1, 2)
        with plain.janitor(1):
            pass
        plain.close()

    assert [_in_child(work) for _ in range(3)] == [0, 0, 0]
    assert plain.get("child") == 2
    assert asyncio.run(plain.aio.get("k", from_store=True)) == 1


SUBINTERPRETER = """
import importlib
try:
    interpreters = importlib.import_module("_xxsubinterpreters")
except ImportError:
    interpreters = importlib.import_module("_interpreters")
import pgcache
interpreters.run_string(interpreters.create(), '''
try:
    import pgcache
except ImportError as failure:
    print(failure, flush=True)
''')
try:
    pgcache.NullCache().put("", 1)
except pgcache.errors.InvalidArgument:
    print("and goes on there")
"""


def test_a_subinterpreter_is_told_and_harms_nobody() -> None:
    ended = subprocess.run([sys.executable, "-c", SUBINTERPRETER], capture_output=True, text=True, timeout=30)
    assert ended.returncode == 0, ended.stderr
    assert "main interpreter" in ended.stdout or "subinterpreters" in ended.stdout  # newer ones refuse by themselves
    assert ended.stdout.endswith("and goes on there\n")


ENDS = {
    "nothing is closed": "",
    "closed": "cache.close()",
    "a load is kept": "load = cache.load_begin('end')",
    "a load outlives": "load = cache.load_begin('end2'); cache.close(); del cache",
    "cycles": "class A: pass\na = A(); a.a = a; a.cache = cache; a.observer = cache.observe()",
    "atexit": "import atexit; atexit.register(cache.close); atexit.register(lambda: cache.get('k'))",
    "a daemon waits": (
        "import threading\nload = cache.load_begin('end3')\n"
        "threading.Thread(target=lambda: cache.load_begin('end3', wait=60), daemon=True).start()\nimport time; time.sleep(0.1)"
    ),
    "a daemon reads": (
        "import threading\ndef read():\n  while True: cache.get('k')\n"
        "for _ in range(3): threading.Thread(target=read, daemon=True).start()\nimport time; time.sleep(0.1)"
    ),
    "a refresh is under way": (
        "import time\ncache.get_or_load('end4', lambda: 1, ttl=0.01, stale=60); time.sleep(0.05)\n"
        "cache.get_or_load('end4', lambda: time.sleep(0.2), ttl=0.01, stale=60)"
    ),
    "a loop is left": (
        "import asyncio\nloop = asyncio.new_event_loop()\naio = cache.aio\nloop.run_until_complete(aio.get('k', from_store=True))\n"
        "loop.close()"
    ),
    "modules are gone": "import sys, builtins\nbuiltins.kept = cache\nbuiltins.observer = cache.observe()",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_the_interpreter_ends(url: str, schema: str, end: str) -> None:
    program = (
        textwrap.dedent(
            f"""
            import pgcache
            cache = pgcache.Cache({url!r}, schema={schema!r}, namespace="ends", janitor=60)
            cache.put("k", 1)
            cache.get("k")
            """
        )
        + end
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stderr) == (0, "")
