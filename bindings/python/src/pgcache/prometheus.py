"""Metrics for Prometheus: a collector that takes a snapshot whenever it is scraped. The package prometheus_client is needed.

    from prometheus_client import REGISTRY
    REGISTRY.register(PgcacheCollector(cache))

instrumentation/METRICS.md lists the names.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from math import inf
from typing import TYPE_CHECKING, Union

try:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
    from prometheus_client.registry import Collector
except ImportError as missing:
    raise ImportError("pgcache.prometheus needs prometheus_client: pip install 'pgcache[prometheus]'") from missing

from ._snapshot import buckets

if TYPE_CHECKING:
    from ._snapshot import Sample, Snapshot
    from .aio import AsyncCache
    from .cache import Cache

AnyCache = Union["Cache", "AsyncCache"]


def _buckets(sample: Sample) -> list[tuple[str, float]]:
    return [("+Inf" if bound == inf else str(bound), float(count)) for bound, count in buckets(sample)]


def _family(samples: list[Sample]) -> Metric:
    first = samples[0]
    names = list(first.labels)
    if first.kind == "histogram":
        histogram = HistogramMetricFamily(first.name, first.help, labels=names)
        for sample in samples:
            histogram.add_metric(list(sample.labels.values()), _buckets(sample), sample.value)
        return histogram
    family = CounterMetricFamily if first.kind == "counter" else GaugeMetricFamily
    plain = family(first.name, first.help, labels=names)
    for sample in samples:
        plain.add_metric(list(sample.labels.values()), sample.value)
    return plain


def families(snapshot: Snapshot) -> Iterator[Metric]:
    """A snapshot in prometheus_client's terms."""
    for _, samples in groupby(snapshot, key=lambda sample: sample.name):
        yield _family(list(samples))


class PgcacheCollector(Collector):
    """A collector of some caches of this process, whose figures it adds up. Asks no server. Any thread; also after a fork, where the
    child's figures begin at 0."""

    def __init__(self, *caches: AnyCache) -> None:
        if not caches:
            raise TypeError("a collector is of one cache at least")
        self._caches = caches

    def collect(self) -> Iterator[Metric]:
        """What prometheus_client asks for at each scrape."""
        total = self._caches[0].snapshot()
        for cache in self._caches[1:]:
            total.add(cache.snapshot())
        return families(total)
