"""Entries: storage, expiry, conditions, many keys. Each with `Cache` and `AsyncCache`. SPDX-License-Identifier: MIT"""

from __future__ import annotations

import math
import threading
import time
from datetime import timedelta
from typing import Any

import pytest

import pgcache
from pgcache import errors


def test_a01_put_and_get(cache: Any) -> None:
    assert cache.get("k") is None
    assert cache.get("k", "default") == "default"
    assert cache.put("k", {"a": [1, 2.5, None, "ü"]}, ttl=60) > 0
    assert cache.get("k") == {"a": [1, 2.5, None, "ü"]}
    assert cache.get("k", from_store=True) == {"a": [1, 2.5, None, "ü"]}
    assert cache.get("other") is None
    assert cache.get(b"k") == {"a": [1, 2.5, None, "ü"]}  # text stands for its bytes


@pytest.mark.parametrize("value", [b"", b"\0\xff bytes", bytearray(b"array"), memoryview(b"view")])
def test_a01_bytes_come_back_as_bytes(cache: Any, value: Any) -> None:
    cache.put("k", value, ttl=60)
    assert cache.get("k", from_store=True) == bytes(value)
    assert isinstance(cache.get("k"), bytes)
    assert cache.get_entry("k").format == 0


def test_a01_entry_tells_version_format_and_ttl(cache: Any) -> None:
    assert cache.get_entry("k") is None
    version = cache.put("k", "text", ttl=timedelta(minutes=1))
    entry = cache.get_entry("k")
    assert (entry.value, entry.version, entry.format, entry.stale) == ("text", version, 1, False)
    assert 50 < entry.ttl <= 60
    cache.put("k", 1, ttl=pgcache.NEVER)
    assert cache.get_entry("k").ttl == math.inf


def test_a01_get_into(cache: Any) -> None:
    room = bytearray(4)
    assert cache.get_into("k", room) is None
    cache.put("k", b"abc", ttl=60)
    assert cache.get_into("k", room) == 3
    assert room == b"abc\0"
    cache.put("k", b"too long", ttl=60)
    assert cache.get_into("k", room) == 8
    assert room == b"abc\0"


def test_a02_the_second_put_wins(cache: Any) -> None:
    first = cache.put("k", 1, ttl=10)
    assert cache.put("k", 2, ttl=100) > first
    assert cache.get("k", from_store=True) == 2
    assert cache.get_entry("k", from_store=True).ttl > 90


def test_a03_remove(cache: Any) -> None:
    assert cache.remove("k") is False
    cache.put("k", 1)
    assert cache.remove("k") is True
    assert cache.get("k") is None
    assert cache.remove("k") is False


def test_a05_cleanup(own: Any) -> None:
    own.put("short", 1, ttl=0.05)
    own.put("one", 1, ttl=60)
    own.put("two", 2, ttl=60)
    time.sleep(0.1)
    assert own.cleanup() == 1
    assert own.get_many(["short", "one", "two"]) == {"one": 1, "two": 2}


def test_a05_cleanup_in_parts(own: Any) -> None:
    own.put_many({f"k{n}": n for n in range(50)}, ttl=0.05)
    time.sleep(0.1)
    done = own.cleanup_some(0.001, restart=True)
    while not done.finished:
        done = own.cleanup_some(0.001, done)
    assert done.removed == 50
    assert not done.busy


def test_a06_flush(own: Any) -> None:
    own.put_many({"a": 1, "b": 2})
    own.put("c", 3, namespace="other")
    own.put("d", 4, namespace="other")
    assert own.flush(namespace="other") == 2
    assert own.get("a") == 1
    assert own.get("c", namespace="other") is None
    own.put_many({"c": 1, "d": 2}, namespace="other")
    assert own.flush(all=True) == 4
    assert own.stats().entries == 0


def test_a07_ttl(cache: Any) -> None:
    cache.put("k", 1, ttl=0.5)
    assert cache.get("k") == 1
    assert cache.exists("k") is True
    time.sleep(0.7)
    assert cache.get("k") is None
    assert cache.exists("k") is False


@pytest.mark.parametrize("ttl", [0, -1, -0.0001, math.nan, -math.inf, timedelta(0)])
def test_a09_a_ttl_that_is_none(cache: Any, ttl: Any) -> None:
    with pytest.raises(errors.InvalidArgument) as failure:
        cache.put("k", 1, ttl=ttl)
    assert isinstance(failure.value, ValueError)
    assert failure.value.status is pgcache.Status.INVALID
    assert cache.get("k") is None


def test_a09_a_long_ttl_is_shortened_and_a_short_one_is_not_nothing(cache: Any) -> None:
    cache.put("k", 1, ttl=1e300)
    assert cache.get_entry("k").ttl == pytest.approx(3650 * 86400, abs=10)
    cache.put("k", 1, ttl=1e-9)
    time.sleep(0.02)
    assert cache.get("k") is None


def test_a11_empty_values_and_none_are_hits(cache: Any) -> None:
    missing = object()
    cache.put("none", None)
    cache.put("empty", b"")
    cache.put("text", "")
    assert cache.get("none", missing) is None
    assert cache.get("none", missing, from_store=True) is None
    assert cache.get("empty", missing) == b""
    assert cache.get("text", missing) == ""
    assert cache.get("other", missing) is missing
    assert cache.get_many(["none", "empty", "other"]) == {"none": None, "empty": b""}


def test_a12_keys_are_any_bytes(cache: Any) -> None:
    keys = [b"\0", b"\xff\xfe", b"a\0b", b"a", "ü", b"k" * 4096, b"\x1f"]
    for number, key in enumerate(keys):
        cache.put(key, number)
    assert [cache.get(key, from_store=True) for key in keys] == list(range(len(keys)))
    assert cache.get("ü".encode()) == 4


@pytest.mark.parametrize(("key", "failure"), [("", errors.InvalidArgument), (b"k" * 4097, errors.TooLarge)])
def test_a13_bad_keys(cache: Any, key: Any, failure: type[errors.Error]) -> None:
    for call in (cache.get, cache.exists, cache.remove, lambda key: cache.put(key, 1), lambda key: cache.get_many([key])):
        with pytest.raises(failure) as told:
            call(key)
        assert "kkk" not in str(told.value)


def test_a13_a_value_that_is_too_large(make: Any) -> None:
    cache = make(max_value_bytes=1000)
    with pytest.raises(errors.TooLarge, match="1000") as failure:
        cache.put("k", b"v" * 1001)
    assert failure.value.status is pgcache.Status.TOO_LARGE
    assert "vvv" not in str(failure.value)
    assert cache.get("k") is None


@pytest.mark.parametrize("key", [1, None, 1.5, ["k"]])
def test_a13_what_is_no_key(cache: Any, key: Any) -> None:
    with pytest.raises(TypeError):
        cache.get(key)
    with pytest.raises(TypeError):
        cache.put_many([(key, 1)])


def test_a14_exists_and_touch(cache: Any) -> None:
    assert cache.touch("k", 10) is None
    version = cache.put("k", 1, ttl=10)
    assert cache.touch("k", 100) > version
    assert cache.get_entry("k", from_store=True).ttl > 90


def test_a14_add_and_replace(cache: Any) -> None:
    assert cache.replace("k", 0) is None
    version = cache.add("k", 1, ttl=0.1)
    assert version > 0
    assert cache.add("k", 2) is None
    assert cache.get("k") == 1
    assert cache.replace("k", 3, ttl=0.1) > version
    assert cache.get("k") == 3
    time.sleep(0.15)
    assert cache.replace("k", 4) is None
    assert cache.add("k", 5) > version


def test_a14_compare_and_swap(cache: Any) -> None:
    missing = cache.compare_and_swap("k", 1, 7)
    assert not missing
    assert not missing.exists
    version = cache.put("k", 1)
    swap = cache.compare_and_swap("k", 2, version)
    assert swap
    assert swap.version > version
    other = cache.compare_and_swap("k", 3, version)
    assert not other
    assert other.exists
    assert cache.get("k") == 2


def test_a14_counters(cache: Any) -> None:
    assert cache.increment("n", 5, initial=10, ttl=60) == 15
    assert cache.decrement("n", 20) == -5
    assert cache.get("n") == -5
    assert 50 < cache.get_entry("n").ttl <= 60
    cache.put("n", 2**63 - 1)
    assert cache.get("n", from_store=True) == 2**63 - 1
    with pytest.raises(errors.CounterOverflow) as failure:
        cache.increment("n")
    assert isinstance(failure.value, OverflowError)
    with pytest.raises(errors.InvalidArgument, match="64 bits"):
        cache.increment("n", 2**63)
    cache.put("n", "text")
    with pytest.raises(errors.NotACounter):
        cache.increment("n")


def test_a15_many_keys(cache: Any) -> None:
    entries = {f"k{n}": n for n in range(1000)}
    versions = cache.put_many(entries, ttl=60)
    assert len(versions) == 1000
    assert min(versions.values()) > 0
    assert cache.get_many([*entries, "k0", "none"], from_store=True) == entries
    assert cache.remove_many(["k0", "k1", "none"]) == 2
    assert cache.get_many(["k0", "k1", "k2"]) == {"k2": 2}
    assert cache.get_many([]) == {}
    for many in (cache.get_many, cache.remove_many):
        with pytest.raises(TypeError, match="sequence"):
            many("k2")
    assert cache.put_many({}) == {}
    assert cache.put_many([("twice", 1), ("twice", 2)])["twice"] > 0
    assert cache.get("twice") == 2


def test_a15_a_round_trip_for_a_thousand(plain: pgcache.Cache) -> None:
    names = [f"k{n}" for n in range(1000)]
    plain.put_many(dict.fromkeys(names, 0))
    with plain.observe(operations=True, states=False) as events:
        plain.get_many(names, from_store=True)
        event = events.take(1)
    assert event is not None
    assert (event.operation, event.key_count, event.number) == ("get_many", 1000, 1000)


def test_a15_writers_of_overlapping_sets(plain: pgcache.Cache) -> None:
    names = [f"k{n}" for n in range(200)]
    failures: list[BaseException] = []

    def write(number: int) -> None:
        order = names[number * 10 :] + names[: number * 10]
        try:
            for _ in range(5):
                plain.put_many({name: number for name in (order if number % 2 else reversed(order))})
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(plain.get_many(names, from_store=True)) == 200


def test_namespaces_are_apart(cache: Any) -> None:
    cache.put("k", 1, namespace="one")
    cache.put("k", 2, namespace="two")
    assert cache.get("k") is None
    assert cache.get("k", namespace="one") == 1
    assert cache.get("k", namespace="two", from_store=True) == 2
    with pytest.raises(errors.InvalidArgument):
        cache.get("k", namespace="with space")
    with pytest.raises(errors.InvalidArgument, match="NUL"):
        cache.get("k", namespace="a\0b")


def test_deadlines(make: Any) -> None:
    cache = make(near_max_bytes=0)
    cache.put("k", 1)
    with pytest.raises(errors.Timeout) as failure:
        cache.get("k", deadline=0)
    assert isinstance(failure.value, TimeoutError)
    with pytest.raises(errors.InvalidArgument):
        cache.get("k", deadline=-0.001)
    assert cache.get("k", deadline=5) == 1


def test_options_that_there_are_not(cache: Any) -> None:
    with pytest.raises(TypeError, match="name_space"):
        cache.get("k", name_space="x")


def test_keys_and_usage(own: Any) -> None:
    own.put_many({"a1": 1, "a2": b"22", "b": 3}, ttl=60)
    assert [info.key for info in own.keys("a")] == [b"a1", b"a2"]
    assert [info.key for info in own.keys(after="a1")] == [b"a2", b"b"]
    assert [info.format for info in own.keys()] == [1, 0, 1]
    own.set_limits(max_entries=10)
    own.set_limits(max_bytes=10**6, all=True)
    usage = {one.namespace: one for one in own.usage()}
    assert usage[""].entries == usage[own.setting("namespace")].entries == 3
    assert usage[own.setting("namespace")].max_entries == 10
    assert (usage[""].max_entries, usage[""].max_bytes) == (0, 10**6)


def test_keys_in_pages(own: Any) -> None:
    own.put_many({f"{n:04}": None for n in range(2001)})
    assert [int(info.key) for info in own.keys()] == list(range(2001))


def test_limits_are_kept(own: Any) -> None:
    own.set_limits(max_entries=5)
    own.put_many({f"k{n}": n for n in range(20)})
    own.cleanup()
    assert own.stats().entries == 5


def test_stats_doctor_and_init(own: Any) -> None:
    own.put("k", 1)
    stats = own.stats()
    assert (stats.entries, stats.expired, stats.logged) == (1, 0, False)
    assert stats.server_version >= 150000
    report = own.doctor()
    assert report["worst"] in ("ok", "info", "warning", "error")
    assert {"severity", "check", "finding", "evidence", "remedy"} <= report["findings"][0].keys()
    assert own.init() is False
    assert own.upgrade() is False


def test_a_missing_schema(make: Any) -> None:
    cache = make(schema="python_never")
    with pytest.raises(errors.SchemaMissing, match="init") as failure:
        cache.get("k")
    assert isinstance(failure.value, errors.SchemaError)
    assert failure.value.status is pgcache.Status.SCHEMA_MISSING
    with pytest.raises(errors.SchemaMissing):
        cache.upgrade()
