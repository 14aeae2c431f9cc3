"""Snapshots, Prometheus, Sentry, providers and observers. SPDX-License-Identifier: MIT"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import prometheus_client
import prometheus_client.parser
import pytest
import sentry_sdk
from sentry_sdk.transport import Transport

import pgcache
from pgcache import EventKind, Level, Operation, Outcome, errors
from pgcache.prometheus import PgcacheCollector
from pgcache.sentry import SentryProvider


def samples(cache: Any, name: str, **labels: str) -> list[pgcache.Sample]:
    return [one for one in cache.snapshot() if one.name == name and labels.items() <= one.labels.items()]


def test_a60_snapshots(cache: Any) -> None:
    cache.put("k", b"v" * 100, span_name="writing")
    cache.get("k", from_store=True, span_name="reading")
    cache.get("none", span_name="reading")
    snapshot = cache.snapshot()
    assert len(snapshot) == len(list(snapshot)) > 30
    assert str(os.getpid()) in snapshot.origin
    assert abs(snapshot.taken_at.timestamp() - time.time()) < 10
    (hits,) = samples(cache, "pgcache_hits_total", span_name="reading", source="store")
    assert (hits.value, hits.kind, hits.unit) == (1, "counter", "")
    assert sum(one.value for one in samples(cache, "pgcache_misses_total", span_name="reading")) == 1
    (sizes,) = samples(cache, "pgcache_item_size_bytes", operation="put", span_name="writing")
    assert (sizes.kind, sizes.unit, sizes.count, sizes.value) == ("histogram", "bytes", 1, 100)
    assert (sizes.count_to(64), sizes.count_to(256)) == (0, 1)
    assert sizes.percentile(50) == pytest.approx(100, rel=1 / 16)
    snapshot.add(cache.snapshot())
    assert sum(one.value for one in snapshot if one.name == "pgcache_handles") == 2


def test_a60_what_python_asks_for_is_counted_once(cache: Any) -> None:
    cache.put("k", 1)
    for _ in range(5):
        cache.get("k", from_store=True)
        cache.get("none")
    assert sum(one.value for one in samples(cache, "pgcache_hits_total")) == 5
    assert sum(one.value for one in samples(cache, "pgcache_misses_total")) == 5


def test_a60_prometheus(plain: pgcache.Cache, cache: Any) -> None:
    registry = prometheus_client.CollectorRegistry()
    registry.register(PgcacheCollector(plain, getattr(cache, "_inner", cache)))
    plain.put("k", 1, span_name='odd "name"\n')
    cache.put("k", 1)
    text = prometheus_client.generate_latest(registry).decode()
    families = {family.name: family for family in prometheus_client.parser.text_string_to_metric_families(text)}
    sizes = families["pgcache_item_size_bytes"]
    assert sizes.type == "histogram"
    counts = [one for one in sizes.samples if one.name.endswith("_count")]
    assert sorted(one.labels["span_name"] for one in counts) == ["", 'odd "name"\n']
    buckets = [one for one in sizes.samples if one.name.endswith("_bucket") and one.labels["span_name"] == ""]
    assert [one.labels["le"] for one in buckets[:2]] == ["64.0", "256.0"]
    assert buckets[-1].labels["le"] == "+Inf"
    assert families["pgcache_handles"].samples[0].value == 2
    assert families["pgcache_loads"].type == "counter"
    assert {one.name for one in families["pgcache_hits"].samples} <= {"pgcache_hits_total"}
    with pytest.raises(TypeError):
        PgcacheCollector()


class Kept(Transport):
    def __init__(self) -> None:
        super().__init__()
        self.spans: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Any) -> None:
        for item in envelope.items:
            if item.headers.get("type") == "transaction":
                self.spans += item.payload.json["spans"]


# [A61]: Sentry's spans, as psycache's.


@pytest.fixture
def sentry() -> Iterator[Callable[[Callable[[], None]], list[dict[str, Any]]]]:
    kept = Kept()
    sentry_sdk.init(
        dsn="http://public@localhost/1", transport=kept, traces_sample_rate=1.0, default_integrations=False,
        auto_enabling_integrations=False,
    )  # fmt: skip

    def spans(work: Callable[[], None]) -> list[dict[str, Any]]:
        kept.spans.clear()
        with sentry_sdk.start_transaction(name="test"):
            work()
        sentry_sdk.flush()
        return kept.spans

    yield spans
    sentry_sdk.get_client().close()


def test_a61_sentry_spans(make: Callable[..., Any], sentry: Any) -> None:
    cache = make(providers=[SentryProvider()])

    def work() -> None:
        cache.put("k", b"v" * 10, span_name="my put")
        cache.get("k", span_name="my get")
        cache.get("none")
        cache.remove("k")
        cache.flush()
        cache.get_many(["a", b"b"])
        cache.get_or_load("load", lambda: b"loaded")

    found = [(span["op"], span["description"], span["data"]) for span in sentry(work)]
    facts = [(op, name, {key: value for key, value in data.items() if key.startswith("cache.")}) for op, name, data in found]
    assert facts == [
        ("cache.put", "my put", {"cache.key": ["k"], "cache.success": True, "cache.item_size": 10}),
        ("cache.get", "my get", {"cache.key": ["k"], "cache.hit": True, "cache.item_size": 10}),
        ("cache.get", "pgcache get", {"cache.key": ["none"], "cache.hit": False}),
        ("cache.remove", "pgcache remove", {"cache.key": ["k"], "cache.success": True}),
        ("cache.flush", "pgcache flush", {"cache.success": True}),
        ("cache.get", "pgcache get", {"cache.key": ["a", "b"], "cache.hit": False, "cache.item_size": 0}),
        ("cache.get", "pgcache get", {"cache.key": ["load"], "cache.hit": False}),
        ("cache.put", "pgcache put", {"cache.success": True, "cache.item_size": 6}),
    ]


def test_a61_sentry_without_keys_and_with_failures(make: Callable[..., Any], sentry: Any) -> None:
    cache = make(providers=[SentryProvider(keys=False)], max_value_bytes=10)

    def work() -> None:
        with pytest.raises(errors.TooLarge):
            cache.put("secret", b"v" * 11)

    (span,) = sentry(work)
    assert span["data"]["cache.success"] is False
    assert span["status"] == "internal_error"
    assert "secret" not in repr(span)


class Notes:
    def __init__(self) -> None:
        self.notes: list[tuple[str, Any, str, str, int | None]] = []

    def begin(self, operation: Operation) -> Operation:
        return operation

    def end(self, begun: Operation, outcome: Outcome) -> None:
        self.notes.append((begun.name, tuple(begun.keys), begun.span_name, outcome.outcome, outcome.bytes))


def test_providers(make: Callable[..., Any]) -> None:
    notes = Notes()
    assert isinstance(notes, pgcache.Provider)
    cache = make(providers=[notes])
    cache.put("k", b"123", span_name="words")
    cache.get("k")
    cache.get("none")
    cache.exists("k")
    cache.put_many({"a": b"1", "b": b"22"})
    cache.get_many(["a", "b", "c"])
    with pytest.raises(errors.TooLarge):
        cache.get(b"k" * 5000)
    cache.flush()
    expected = [
        ("put", ("k",), "words", "ok", 3),
        ("get", ("k",), "", "hit", 3),
        ("get", ("none",), "", "miss", None),
        ("exists", ("k",), "", "hit", None),
        ("put_many", ("a", "b"), "", "ok", 3),
        ("get_many", ("a", "b", "c"), "", "ok", 3),
        ("get", (b"k" * 5000,), "", "too_large", None),
        ("flush", (), "", "ok", None),
    ]
    assert notes.notes == expected


def test_what_a_newer_library_may_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (EventKind(99), Level(99)) == (EventKind.OTHER, Level.ERROR)
    with pgcache.NullCache() as cache:
        known = len(list(cache.snapshot()))
        monkeypatch.delitem(pgcache._snapshot._kinds, pgcache._pgcache.HISTOGRAM)
        assert 0 < len(list(cache.snapshot())) <= known
        monkeypatch.delitem(pgcache._snapshot._kinds, pgcache._pgcache.GAUGE)
        assert len(list(cache.snapshot())) < known


def test_providers_that_began_end() -> None:
    class Failing(Notes):
        def begin(self, operation: Operation) -> Operation:
            raise LookupError("mine")

    first, last = Notes(), Notes()
    with pgcache.Cache("null:", providers=[first, Failing(), last], janitor=None) as cache, pytest.raises(LookupError):
        cache.get("k")
    assert first.notes == [("get", ("k",), "", "LookupError", None)]
    assert last.notes == []


def test_observers(plain: pgcache.Cache) -> None:
    with plain.observe(operations=True, states=False, keys=True, level=Level.ERROR) as observer:
        plain.put("k", b"123", span_name="words")
        event = observer.take(5)
        assert event is not None
        assert (event.kind, event.operation, event.outcome, event.source) == (EventKind.OPERATION, "put", "ok", "store")
        assert (event.key, event.key_count, event.bytes, event.span_name) == (b"k", 1, 3, "words")
        assert 0 < event.duration < 10
        assert abs(event.began.timestamp() - time.time()) < 10
        assert observer.dropped == 0
    with pytest.raises(errors.Closed):
        observer.take()
    with plain.observe(operations=True, states=False, room=1) as observer:
        plain.put("k", 1)
        plain.put("k", 2)
        assert observer.dropped == 1
    kept = [plain.observe() for _ in range(8)]
    with pytest.raises(errors.QueueFull):
        plain.observe()
    for observer in kept:
        observer.close()


def test_observers_are_iterated_until_the_cache_is_closed(plain: pgcache.Cache) -> None:
    observer = plain.observe(operations=True, states=False)
    seen: list[str] = []
    thread = threading.Thread(target=lambda: seen.extend(event.operation for event in observer))
    thread.start()
    plain.put("k", 1)
    plain.remove("k")
    until = time.monotonic() + 10
    while len(seen) < 2:
        assert time.monotonic() < until
        time.sleep(0.005)
    plain.close()
    thread.join(5)
    assert not thread.is_alive()
    assert seen[:2] == ["put", "remove"]


def test_observers_in_an_event_loop(aio: pgcache.AsyncCache) -> None:
    async def scene() -> None:
        with aio.observe(operations=True, states=False) as observer:
            await aio.put("k", 1)
            async for event in observer:
                assert event.operation == "put"
                break
            await aio.close()
            assert [event.operation async for event in observer if event.kind is EventKind.OPERATION] == []

    asyncio.run(scene())


def test_slow_operations(make: Callable[..., Any]) -> None:
    cache = make(slow_ms=1)
    with cache.observe() as observer:
        with cache.load_begin("k"):
            cache.load_begin("k", wait=0.05)
        events = [observer.take(1), observer.take(1)]
    kinds = {event.kind for event in events if event is not None}
    assert EventKind.SLOW in kinds


def test_published(make: Callable[..., Any], own: Any) -> None:
    cache = make(schema=own.setting("schema"), publish_ms=1000)
    cache.put("k", 1)
    until = time.monotonic() + 5
    while not (found := cache.published()):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert found[0].origin == cache.snapshot().origin
