"""Spans and metrics for OpenTelemetry. The package opentelemetry-api is needed, and some SDK to see them.

    cache = Cache(..., providers=[OpenTelemetryProvider()])
    PgcacheMetrics(cache)

A span for each operation of a cache, in the trace that is under way:

    name        the `span_name` of the call, or "pgcache get" and so on; kind CLIENT
    attributes  db.system.name "postgresql"; db.operation.name; db.operation.batch.size of several keys; pgcache.namespace, if the call
                names one; cache.key, a list; cache.hit of reads; cache.item_size in bytes, of what was read or written; error.type of what
                failed, whose status is ERROR

Keys are part of spans: `OpenTelemetryProvider(keys=False)` leaves them out.

Metrics are those of instrumentation/METRICS.md, pulled from snapshots whenever they are collected. OpenTelemetry's API for Python takes no
histogram that was counted elsewhere: of each there are sums with _bucket (attribute `le`), _count and _sum behind its name, so that
Prometheus gets what it has of histograms, by the same names.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, Union

try:
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter_provider
    from opentelemetry.trace import SpanKind, Status, StatusCode, TracerProvider, get_tracer_provider
except ImportError as missing:
    raise ImportError("pgcache.opentelemetry needs OpenTelemetry: pip install 'pgcache[opentelemetry]'") from missing

from ._snapshot import buckets

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from ._instruments import Operation, Outcome
    from ._options import Key
    from ._snapshot import Sample, Snapshot
    from .aio import AsyncCache
    from .cache import Cache

AnyCache = Union["Cache", "AsyncCache"]

__all__ = ["OpenTelemetryProvider", "PgcacheMetrics"]

_READS = frozenset(("get", "get_into", "get_many", "exists", "load_begin"))


def _text(key: Key) -> str:
    return key if isinstance(key, str) else key.decode("utf-8", "backslashreplace")


class OpenTelemetryProvider:
    """A provider that opens a span of OpenTelemetry for each operation. Any thread or task."""

    def __init__(self, tracer_provider: TracerProvider | None = None, *, keys: bool = True) -> None:
        """tracer_provider: the global one if None. keys: whether spans have them."""
        self._tracer = (tracer_provider or get_tracer_provider()).get_tracer("pgcache")
        self._keys = keys

    def begin(self, operation: Operation) -> tuple[Span, bool]:
        """Opens the span."""
        attributes: dict[str, Any] = {"db.system.name": "postgresql", "db.operation.name": operation.name}
        if operation.namespace is not None:
            attributes["pgcache.namespace"] = operation.namespace
        if len(operation.keys) > 1:
            attributes["db.operation.batch.size"] = len(operation.keys)
        if self._keys and operation.keys:
            attributes["cache.key"] = [_text(key) for key in operation.keys]
        name = operation.span_name or f"pgcache {operation.name}"
        return self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes), operation.name in _READS

    def end(self, begun: tuple[Span, bool], outcome: Outcome) -> None:
        """Says how it went, and closes the span."""
        span, reads = begun
        if reads:
            found = outcome.outcome in ("hit", "stale") or (outcome.outcome == "ok" and bool(outcome.bytes))
            span.set_attribute("cache.hit", found)
        if outcome.bytes is not None:
            span.set_attribute("cache.item_size", outcome.bytes)
        if outcome.error is not None:
            span.set_attribute("error.type", outcome.outcome)
        if isinstance(outcome.error, Exception):  # a task that was cancelled is no error
            span.set_status(Status(StatusCode.ERROR, str(outcome.error)))
        span.end()


class PgcacheMetrics:
    """Instruments for all that is measured of some caches of this process, whose figures are added up. Asks no server. They live as long
    as the meter provider does; a cache that was closed is left out."""

    def __init__(self, *caches: AnyCache, meter_provider: MeterProvider | None = None) -> None:
        """meter_provider: the global one if None."""
        if not caches:
            raise TypeError("metrics are of one cache at least")
        self._caches = caches
        self._taking = threading.Lock()
        self._taken_at = -_TOGETHER_SECONDS
        self._families: dict[str, list[Sample]] = {}
        self._meter = (meter_provider or get_meter_provider()).get_meter("pgcache")
        known = dict(_WITH_USE)
        known.update((sample.name, (sample.kind, sample.unit, sample.help)) for sample in self._snapshot() or ())
        for name, (kind, unit, text) in known.items():
            self._register(name, kind, {"seconds": "s", "bytes": "By"}.get(unit, ""), text)

    def _register(self, name: str, kind: str, unit: str, text: str) -> None:
        if kind == "gauge":
            self._meter.create_observable_gauge(name, [partial(self._observe, name, _values)], unit, text)
        elif kind == "counter":
            self._meter.create_observable_counter(name, [partial(self._observe, name, _values)], unit, text)
        else:
            for suffix, part in (("_bucket", _buckets), ("_count", _counts), ("_sum", _values)):
                # A counter would become _bucket_total there, and one with a unit _sum_seconds_total.
                self._meter.create_observable_up_down_counter(name + suffix, [partial(self._observe, name, part)], "", text)

    def _observe(self, name: str, part: Callable[[Sample], Iterator[Observation]], options: CallbackOptions) -> list[Observation]:
        with self._taking:
            if time.monotonic() - self._taken_at >= _TOGETHER_SECONDS:
                snapshot = self._snapshot() or ()
                self._families = {of: list(samples) for of, samples in groupby(snapshot, key=lambda sample: sample.name)}
                self._taken_at = time.monotonic()
            return [observation for sample in self._families.get(name, ()) for observation in part(sample)]

    def _snapshot(self) -> Snapshot | None:
        total: Snapshot | None = None
        for cache in self._caches:
            if cache.closed:
                continue
            if total is None:
                total = cache.snapshot()
            else:
                total.add(cache.snapshot())
        return total


_TOGETHER_SECONDS = 0.05  # one collection asks for each instrument by itself: all get the same snapshot

_WITH_USE = {
    "pgcache_operation_duration_seconds": ("histogram", "seconds", "How long calls and requests took, from begin to end."),
    "pgcache_hits_total": ("counter", "", "Keys that were looked for and found; stale values count, too."),
    "pgcache_misses_total": ("counter", "", "Keys that were looked for and not found."),
    "pgcache_item_size_bytes": ("histogram", "bytes", "Sizes of values read from the store or written to it, as stored."),
    "pgcache_flushed_entries": ("histogram", "", "Entries that a flush removed."),
    "pgcache_cleanup_deleted_entries": ("histogram", "", "Expired entries that a cleanup, or a walk of a janitor, deleted."),
    "pgcache_near_flushes_total": ("counter", "", "How often the near cache dropped everything, by reason."),
}
"""Metrics that a snapshot has when there is something to tell, so that a new cache's may lack them."""


def _values(sample: Sample) -> Iterator[Observation]:
    yield Observation(sample.value, sample.labels)


def _counts(sample: Sample) -> Iterator[Observation]:
    yield Observation(sample.count, sample.labels)


def _buckets(sample: Sample) -> Iterator[Observation]:
    for bound, count in buckets(sample):
        yield Observation(count, {**sample.labels, "le": "+Inf" if bound == math.inf else str(bound)})
