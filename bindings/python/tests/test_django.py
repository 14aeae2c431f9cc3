"""The backend for Django: what it has beside what Django's own tests of backends ask for. SPDX-License-Identifier: MIT"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import django
import pytest
from django.conf import settings
from django.core.cache import caches
from django.db import connections, transaction
from django.test import override_settings
from psycopg.conninfo import conninfo_to_dict

import pgcache
from pgcache import errors
from pgcache.django import PgcacheBackend

BACKEND = "pgcache.django.PgcacheBackend"


def configured() -> None:
    """Django is configured once for a process; caches are by each test."""
    if settings.configured:
        return
    there = conninfo_to_dict(os.environ["PGCACHE_TEST_URL"])
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": there["dbname"],
        "USER": there["user"],
        "HOST": there["host"],
        "PORT": there["port"],
    }
    settings.configure(SECRET_KEY="of the tests", DATABASES={"default": database}, USE_TZ=True)
    django.setup()


@pytest.fixture
def backend(url: str, schema: str, plain: pgcache.Cache, django_suite: Any) -> Iterator[Any]:
    """The backend, in the namespace of `plain`. Django's own tests run meanwhile: see test_suite_of_django.py."""
    configured()
    options = {"schema": schema, "namespace": plain.setting("namespace"), "janitor": None, "on_error": "error"}
    given = {"BACKEND": BACKEND, "LOCATION": url, "OPTIONS": options}
    with override_settings(CACHES={"default": given, "other": {**given, "KEY_PREFIX": "other"}}):
        yield caches["default"]
    connections.close_all()


def test_values_come_back_as_the_types_they_are(backend: Any) -> None:
    values = [1, True, 1.5, 2**70, b"b", bytearray(b"b"), "t", (1, (2,)), {1: {2, 3}}, None, memoryview]
    backend.set_many({str(number): value for number, value in enumerate(values)})
    found = [backend.get(str(number)) for number in range(len(values))]
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]
    assert backend.pgcache.get(backend.make_key("0")) == 1


def test_counters_are_added_to_by_many_at_once(backend: Any) -> None:
    backend.set("n", 0)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: caches["default"].incr("n"), range(80)))
    assert (backend.get("n"), backend.decr("n", 5)) == (80, 75)
    backend.set("n", 2**63 - 1)
    with pytest.raises(OverflowError):
        backend.incr("n")
    backend.set("n", 1.5)
    with pytest.raises(TypeError):
        backend.incr("n")


def test_get_or_set_computes_once(backend: Any) -> None:
    calls: list[int] = []

    def slow() -> int:
        calls.append(1)
        time.sleep(0.1)
        return len(calls)

    with ThreadPoolExecutor(10) as threads:
        assert set(threads.map(lambda _: caches["default"].get_or_set("k", slow, 60), range(10))) == {1}
    assert backend.get_or_set("zero", slow, 0) == 2
    assert backend.get("zero") is None
    with pytest.raises(LookupError):
        backend.get_or_set("raises", lambda: [][1])
    assert backend.get("raises") is None


def test_invalidation_in_the_transaction_of_django(backend: Any, plain: pgcache.Cache) -> None:
    """What another handle's near cache holds ends with the commit, and with nothing else."""
    key = backend.make_key("k")

    def near() -> bool:
        plain.fence()
        return plain.get(key) is not None

    backend.set("k", b"v", 60, tags=["orders"])
    assert near()
    assert plain.peek(key) is not None
    with transaction.atomic():
        backend.invalidate(["orders"])
        transaction.set_rollback(True)
    assert near()
    with transaction.atomic():
        savepoint = transaction.savepoint()
        backend.invalidate(["orders"])
        transaction.savepoint_rollback(savepoint)
    assert near()
    with transaction.atomic():
        backend.invalidate(["orders"])
        assert near()
    assert not near()
    assert backend.get_or_set("k", b"new", 60, tags=["orders"]) == b"new"
    assert near()
    backend.set_many({"k": b"many"}, 60, tags=["orders"])
    backend.invalidate(["orders"])  # outside of a transaction: at once
    assert not near()


def test_what_another_secret_key_signed_is_a_miss(backend: Any, url: str, schema: str, plain: pgcache.Cache) -> None:
    backend.set_many({"k": "old", "n": 1})
    # OPTIONS are others, so that the cache is another.
    options = {"schema": schema, "namespace": plain.setting("namespace"), "janitor": None, "timeout_ms": 4999}
    given = {"default": {"BACKEND": BACKEND, "LOCATION": url, "OPTIONS": options}}
    with override_settings(SECRET_KEY="another", CACHES=given):
        other = caches["default"]
        assert other.get("k", "none") == "none"
        assert other.get_many(["k", "n"]) == {"n": 1}
        assert other.get_or_set("k", "new", 60) == "new"
        assert other.get("k") == "new"
    given["default"]["OPTIONS"] = {**options, "timeout_ms": 4998}
    with override_settings(SECRET_KEY="third", SECRET_KEY_FALLBACKS=["another"], CACHES=given):
        assert caches["default"].get("k") == "new"


def test_serializers_by_name(backend: Any, url: str, schema: str, plain: pgcache.Cache) -> None:
    options = {"schema": schema, "namespace": plain.setting("namespace"), "janitor": None, "serializer": "pgcache.serializers.Json"}
    with override_settings(CACHES={"default": {"BACKEND": BACKEND, "LOCATION": url, "OPTIONS": options}}):
        caches["default"].set("k", {"a": [1, 2]})
        assert plain.get(caches["default"].make_key("k")) == {"a": [1, 2]}


def test_backends_that_are_configured_alike_share_a_cache(backend: Any) -> None:
    assert isinstance(backend, PgcacheBackend)
    seen: list[Any] = []
    thread = threading.Thread(target=lambda: seen.append(caches["default"]))
    thread.start()
    thread.join()
    assert seen[0] is not backend
    assert seen[0].pgcache is backend.pgcache is caches["other"].pgcache
    assert isinstance(seen[0].pgcache, pgcache.Cache)


def test_the_face_for_event_loops(backend: Any) -> None:
    async def scene() -> None:
        await backend.aset("k", "v", tags=["orders"])
        assert await backend.aget("k") == "v"
        assert await backend.aadd("k", "w") is False
        assert await backend.aset_many({"a": 1, "b": 2}) == []
        assert await backend.aget_many(["a", "b", "c"]) == {"a": 1, "b": 2}
        assert sorted(await asyncio.gather(*(backend.aincr("a") for _ in range(10)))) == [*range(2, 12)]
        assert await backend.adecr("a") == 10
        assert await backend.aget_or_set("c", lambda: 3) == 3
        assert (await backend.ahas_key("c"), await backend.atouch("c", 5), await backend.adelete("c")) == (True, True, True)
        await backend.adelete_many(["a", "b"])
        assert await backend.aget_many(["a", "b", "c"]) == {}
        await backend.aclear()
        assert await backend.aget("k") is None

    asyncio.run(scene())


def test_a72_the_cache_is_down() -> None:
    configured()
    given = {"default": {"BACKEND": BACKEND, "LOCATION": "host=/nonexistent dbname=x", "OPTIONS": {"timeout_ms": 200, "janitor": None}}}
    with override_settings(CACHES=given):
        down = caches["default"]
        assert down.get("k", "none") == "none"
        assert down.get_many(["k"]) == {}
        assert down.get_or_set("k", lambda: "computed", 60) == "computed"
        with pytest.raises(errors.Unavailable):
            down.set("k", 1)
