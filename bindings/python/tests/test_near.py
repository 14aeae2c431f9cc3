"""The near cache, and what of it belongs to the binding: hits that neither wait nor let go of the interpreter.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

import pgcache
from pgcache import _pgcache, errors


def test_a30_others_hear_of_a_write(make: Callable[..., Any]) -> None:
    a, b = make(), make()
    a.put("k", 1)
    assert b.get("k") == 1
    until = time.monotonic() + 5
    while b.peek("k") is None:
        assert time.monotonic() < until
        b.get("k")
    took = []
    for number in range(2, 8):
        a.put("k", number)
        assert a.get("k") == number
        began = time.monotonic()
        while b.get("k") != number:
            assert time.monotonic() - began < 2  # the bound, whatever the machine is busy with
        took.append(time.monotonic() - began)
    assert min(took) < 0.2
    a.put("k", 1)
    b.fence()
    assert b.get("k") == 1


def warm(cache: pgcache.Cache, key: str) -> None:
    until = time.monotonic() + 5
    while cache.peek(key) is None:
        assert time.monotonic() < until
        cache.get(key)


def test_a30_peek(plain: pgcache.Cache) -> None:
    assert plain.peek("k") is None
    version = plain.put("k", {"a": 1}, ttl=60)
    warm(plain, "k")
    entry = plain.peek("k")
    assert entry is not None
    assert (entry.value, entry.version) == ({"a": 1}, version)
    assert plain.peek("k", namespace="elsewhere") is None


def test_a30_the_raw_hit(plain: pgcache.Cache) -> None:
    handle = plain._handle
    plain.put("bytes", b"\0value")
    plain.put("json", [1])
    warm(plain, "bytes")
    warm(plain, "json")
    assert _pgcache.near(handle, b"bytes", None) == b"\0value"
    assert _pgcache.near(handle, bytearray(b"bytes"), None) == b"\0value"
    assert _pgcache.near(handle, "json", None) == (b"[1]", 1)
    assert _pgcache.near(handle, "none", None) is None
    assert _pgcache.near(handle, "bytes", (-1, "elsewhere", None, 0, 0, ())) is None
    for arguments, failure in (
        ((handle, "", None), errors.InvalidArgument),
        ((handle, b"k" * 5000, None), errors.TooLarge),
        ((handle, "k", (-1, None, None, 1, 0, ())), errors.InvalidArgument),
        ((handle, 7, None), TypeError),
        ((handle, "k", 7), TypeError),
        ((None, "k", None), TypeError),
        ((handle, "k"), TypeError),
    ):
        with pytest.raises(failure):
            _pgcache.near(*arguments)  # type: ignore[arg-type]


def test_a30_what_is_cached_cannot_be_changed(plain: pgcache.Cache) -> None:
    plain.put("k", {"a": []})
    warm(plain, "k")
    plain.get("k")["a"].append("mine")
    assert plain.get("k") == {"a": []}


def test_a_read_keeps_behind_a_write_that_is_under_way(aio: pgcache.AsyncCache) -> None:
    async def scene() -> None:
        await aio.put("k", 0)
        for number in range(1, 200):
            write = asyncio.ensure_future(aio.put("k", number))
            await asyncio.sleep(0)
            assert await aio.get("k") == number
            await write

    asyncio.run(scene())


def test_hits_are_counted_once(plain: pgcache.Cache) -> None:
    plain.put("k", b"v")
    warm(plain, "k")
    before = plain.counters()["near_hits"]
    for _ in range(100):
        plain.get("k")
    assert plain.counters()["near_hits"] - before == 100
