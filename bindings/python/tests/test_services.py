"""Janitors, the null cache, settings, errors and serializers. SPDX-License-Identifier: MIT"""

from __future__ import annotations

import json
import math
import pickle
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

import pgcache
from pgcache import Status, errors
from pgcache.serializers import Json, MessagePack, OrJson, SignedPickle

# ---- Janitors ----------------------------------------------------------------------------------------------------------------


def test_a50_a_janitor_walks_at_once_and_every_interval(own: Any) -> None:
    own.put_many({"a": 1, "b": 2}, ttl=0.01)
    time.sleep(0.05)
    with own.janitor(0.2) as janitor:
        until = time.monotonic() + 5
        while own.stats().expired:
            assert time.monotonic() < until
            time.sleep(0.01)
        own.put("c", 1, ttl=0.01)
        time.sleep(0.05)
        while own.stats().expired:
            assert time.monotonic() < until
            time.sleep(0.01)
        assert janitor.stop() is True
        assert janitor.stop(timeout=0) is True
    own.put("d", 1, ttl=0.01)
    time.sleep(0.5)
    assert own.stats().expired == 1


def test_a50_a_janitor_survives_failures(make: Callable[..., Any]) -> None:
    cache = make(schema="python_nobody")
    with cache.janitor(0.01) as janitor:
        until = time.monotonic() + 5
        while cache.counters()["cleanup_failures"] < 2:
            assert time.monotonic() < until
            time.sleep(0.01)
        assert janitor.stop() is True


@pytest.mark.parametrize("interval", [0, -1, math.nan, math.inf, 86401, 1e300, timedelta(days=2)])
def test_a50_a_bad_interval(cache: Any, make: Callable[..., Any], interval: Any) -> None:
    with pytest.raises(errors.InvalidArgument):
        cache.janitor(interval)
    if interval != 0:
        with pytest.raises(errors.InvalidArgument):
            make(janitor=interval)


def test_a50_a_cache_has_a_janitor(url: str, own: Any) -> None:
    own.put("a", 1, ttl=0.01)
    time.sleep(0.05)
    with pgcache.Cache(url, schema=own.setting("schema")) as cache:  # every 60 s, and so at once
        until = time.monotonic() + 5
        while cache.stats().expired:
            assert time.monotonic() < until
            time.sleep(0.01)
        with pytest.raises(errors.InvalidArgument):
            cache.janitor(1).stop(timeout=-1)


# ---- The null cache ------------------------------------------------------------------------------------------------------------


def test_a51_the_null_cache(make: Callable[..., Any]) -> None:
    cache = make("null:")
    calls = []
    assert cache.put("k", 1) == 0
    assert cache.get("k", "none") == "none"
    assert cache.get_many(["k"]) == {}
    assert [cache.get_or_load("k", lambda: calls.append(1) or "loaded") for _ in range(2)] == ["loaded"] * 2
    assert len(calls) == 2
    assert cache.remove("k") is False
    assert cache.exists("k") is False
    assert cache.flush() == cache.cleanup() == 0
    assert cache.stats().entries == 0
    with cache.load_begin("k") as load:
        assert load.leased
        load.fill(1)


def test_a51_a_null_cache_needs_nothing() -> None:
    with pgcache.NullCache(namespace="n") as cache:
        assert cache.get("k") is None
        assert cache.setting("namespace") == "n"


# ---- Settings ----------------------------------------------------------------------------------------------------------------


def test_settings_by_keyword_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCACHE_URL", "null:")
    monkeypatch.setenv("PGCACHE_NAMESPACE", "from-environment")
    monkeypatch.setenv("PGCACHE_ON_ERROR", "error")
    with pgcache.Cache(default_ttl_ms=timedelta(seconds=5), prepared=False, pool_max=3) as cache:
        assert [cache.setting(name) for name in ("namespace", "on_error", "default_ttl_ms", "prepared", "pool_max")] == [
            "from-environment", "error", "5000", "off", "3",
        ]  # fmt: skip
    with pgcache.Cache("null:", environment=False, namespace=None) as cache:
        assert cache.setting("namespace") == "default"
        assert cache.setting("on_error") == "miss"
    with pgcache.Cache(namespace="given") as cache:
        assert cache.setting("namespace") == "given"


def test_settings_that_are_refused() -> None:
    with pytest.raises(errors.BadSetting, match="pool_max") as failure:
        pgcache.Cache("null:", pool_maxx=1)
    assert isinstance(failure.value, ValueError)
    with pytest.raises(errors.BadSetting, match="1000"):
        pgcache.Cache("null:", pool_max=0)
    with pytest.raises(errors.BadSetting):
        pgcache.Cache("null:", pool_max=1.5)  # type: ignore[arg-type]
    with pytest.raises(errors.BadSetting, match="url"):
        pgcache.Cache(environment=False)
    with pytest.raises(errors.BadSetting) as failure:
        pgcache.Cache("postgresql://user:secret@[broken")
    assert "secret" not in str(failure.value)


def test_settings_are_listed() -> None:
    found = {setting.name: setting for setting in pgcache.settings()}
    assert found["pool_max"].environment == "PGCACHE_POOL_MAX"
    assert found["pool_max"].default_value == "10"
    assert len(found) > 30


def test_init_sql() -> None:
    text = pgcache.init_sql(schema="shop_cache")
    assert "CREATE SCHEMA" in text
    assert "shop_cache" in text
    with pytest.raises(errors.BadSetting):
        pgcache.init_sql(schema="no schema")


# ---- Errors ------------------------------------------------------------------------------------------------------------------


def test_each_status_has_its_exception() -> None:
    for status in Status:
        assert status.text
        if status < 0:
            failure = errors.make(status, "words", "42P01")
            assert (failure.status, failure.sqlstate, str(failure)) == (status, "42P01", "words")
            assert type(failure) is not errors.Error
            again = pickle.loads(pickle.dumps(failure))
            assert (type(again), again.status, str(again)) == (type(failure), status, "words")
    assert errors.make(-99, "newer").status is Status.SERVER_ERROR
    assert Status(99) is Status.MISS


def test_errors_of_the_server(make: Callable[..., Any]) -> None:
    cache = make("host=/nonexistent dbname=x password=secret", schema="s", timeout_ms=300)
    # A request waits for a connection until its deadline.
    with pytest.raises((errors.Unavailable, errors.Timeout)) as failure:
        cache.put("secret-key", 1)
    assert isinstance(failure.value, OSError)
    assert "secret" not in str(failure.value)
    forgiving = make("host=/nonexistent dbname=x", on_error="miss", timeout_ms=300)
    assert forgiving.get("k", 7) == 7
    assert forgiving.get_many(["k"]) == {}
    assert forgiving.exists("k") is False
    assert forgiving.counters()["reads_failed"] == 3
    with pytest.raises((errors.Unavailable, errors.Timeout)):
        forgiving.put("k", 1)


def test_sqlstate(make: Callable[..., Any], url: str) -> None:
    with pytest.raises(errors.Denied) as failure:
        make(url.replace("dbname=postgres", "dbname=none")).get("k")
    assert failure.value.sqlstate == "3D000"


def test_a_closed_cache(make: Callable[..., Any]) -> None:
    cache = make()
    cache.put("k", 1)
    assert not cache.closed
    cache.close()
    cache.close()
    assert cache.closed
    for call in (cache.get, cache.peek, lambda key: cache.put(key, 1), lambda key: cache.get_or_load(key, int)):
        with pytest.raises(errors.Closed):
            call("k")


# ---- Serializers ---------------------------------------------------------------------------------------------------------------

DOCUMENT = {"text": "ü\0", "list": [1, -(2**63), 1.5, True, None], "nested": {"a": {}}}


@pytest.mark.parametrize(("serializer", "format"), [(Json(), 1), (OrJson(), 1), (MessagePack(), 2)])
def test_serializers(make: Callable[..., Any], serializer: Any, format: int) -> None:
    cache = make(serializer=serializer)
    cache.put("k", DOCUMENT)
    assert cache.get("k") == DOCUMENT
    assert cache.get_entry("k").format == format
    assert make().get("k") == DOCUMENT  # any cache reads it
    cache.put("k", b"bytes")
    assert cache.get("k") == b"bytes"


def test_json_is_exact(cache: Any) -> None:
    for number in (2**53 + 1, 2**64, -(10**100), 0.1):
        cache.put("k", number)
        assert cache.get("k") == number
    assert Json().dumps("ü") == '"ü"'.encode()


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, {"a": [-math.inf]}, {1: "a", "1": "b"}, [{"a": ({None: 1},)}], object(), {1, 2}, "\ud800", {"a": b"bytes"}],
)
def test_what_json_cannot(cache: Any, value: Any) -> None:
    with pytest.raises(errors.SerializationError) as failure:
        cache.put("k", value)
    assert isinstance(failure.value, ValueError)
    assert cache.get("k") is None


@pytest.mark.parametrize("text", [b"{", b"1e400", b"[-1e400]", b"NaN", b"[1,Infinity]", b"\xff", b""])
def test_what_is_no_json(cache: Any, text: bytes) -> None:
    cache.put("k", pgcache.Encoded(text, 1))
    with pytest.raises(errors.SerializationError, match="format 1"):
        cache.get("k")


@pytest.mark.parametrize("value", [math.nan, {"a": [(math.inf,)]}, [None, -math.inf]])
def test_what_orjson_would_write_as_null(make: Callable[..., Any], value: Any) -> None:
    cache = make(serializer=OrJson())
    with pytest.raises(errors.SerializationError):
        cache.put("k", value)
    cache.put("k", [None, 1.5])
    assert cache.get("k") == [None, 1.5]


class Stubborn:
    def __reduce__(self) -> Any:
        raise LookupError("secret")


def test_what_a_value_raises_is_no_reason_to_keep_a_lease(make: Callable[..., Any]) -> None:
    cache = make(serializer=SignedPickle(KEY))
    with pytest.raises(errors.SerializationError, match="LookupError") as failure:
        cache.get_or_load("k", Stubborn)
    assert "secret" not in str(failure.value)
    assert cache.get_or_load("k", lambda: 1, wait=0) == 1


def test_deep_json_is_an_error_and_no_crash(cache: Any) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(errors.SerializationError):
        cache.put("k", deep)
    cache.put("k", pgcache.Encoded(b"[" * 100_000 + b"]" * 100_000, 1))
    with pytest.raises(errors.SerializationError):
        cache.get("k")


def test_an_unknown_format(cache: Any) -> None:
    cache.put("k", pgcache.Encoded(b"?", 77))
    with pytest.raises(errors.UnknownFormat, match="77") as failure:
        cache.get("k")
    assert failure.value.format == 77


def test_a_serializer_of_one_s_own(make: Callable[..., Any]) -> None:
    class Upper:
        format = 100

        def dumps(self, value: Any) -> bytes:
            return str(value).upper().encode()

        def loads(self, data: bytes) -> Any:
            return data.decode().lower()

    make(serializer=Upper()).put("k", "Text")
    assert make(readers=[Upper()]).get("k") == "text"
    assert make(readers=[Upper()]).put("k", 1) > 0
    with pytest.raises(errors.UnknownFormat):
        make(serializer=Upper()).put("k", "Text") and make().get("k")


KEY, OTHER = b"k" * 32, b"o" * 32


def test_signed_pickles(make: Callable[..., Any]) -> None:
    signed = make(serializer=SignedPickle(KEY))
    moment = datetime(2026, 1, 1, tzinfo=timezone.utc)
    signed.put("k", (moment, {1: {2}}))
    assert signed.get("k") == (moment, {1: {2}})
    assert signed.get_entry("k").format == 3
    with pytest.raises(errors.UnknownFormat, match="3"):
        make().get("k")  # never without being told
    with pytest.raises(errors.SerializationError, match="signed"):
        make(serializer=SignedPickle(OTHER)).get("k")
    assert make(serializer=SignedPickle(OTHER, older=[KEY])).get("k") == (moment, {1: {2}})


class Planted:
    def __reduce__(self) -> Any:
        return (print, ("code was run",))


@pytest.mark.parametrize("data", [pickle.dumps(Planted()), b"\0" * 32 + pickle.dumps(Planted()), b"", b"short"])
def test_a_planted_pickle_is_not_run(make: Callable[..., Any], capsys: pytest.CaptureFixture[str], data: bytes) -> None:
    cache = make(serializer=SignedPickle(KEY))
    cache.put("k", pgcache.Encoded(data, 3))
    with pytest.raises(errors.SerializationError, match="signed"):
        cache.get("k")
    assert capsys.readouterr().out == ""


def test_a_short_key_for_pickles() -> None:
    with pytest.raises(errors.SerializationError, match="32 bytes"):
        SignedPickle(b"short")
    with pytest.raises(errors.SerializationError, match="32 bytes"):
        SignedPickle(KEY, older=[b"short"])


@pytest.mark.parametrize(("key", "older"), [(32, ()), ("k" * 32, ()), ([0] * 32, ()), (KEY, KEY), (KEY, "k" * 32), (KEY, [32])])
def test_a_key_for_pickles_that_somebody_could_guess(key: Any, older: Any) -> None:
    with pytest.raises(TypeError):
        SignedPickle(key, older=older)


def test_what_other_languages_read(plain: pgcache.Cache) -> None:
    plain.put("k", {"a": "ü"})
    status, value = pgcache._pgcache.get(plain._handle, "k", None)
    assert (status, value[0] if value else None, value[1] if value else None) == (0, '{"a":"ü"}'.encode(), 1)
    assert json.loads('{"a":"ü"}') == plain.get("k")
