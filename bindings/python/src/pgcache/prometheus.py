"""Metrics for Prometheus: a collector that takes a snapshot whenever it is scraped. The package prometheus_client is needed.

    from prometheus_client import REGISTRY
    REGISTRY.register(PgcacheCollector(cache))

instrumentation/METRICS.md lists the names.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Union

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from ._snapshot import Sample, Snapshot
    from .aio import AsyncCache
    from .cache import Cache

AnyCache = Union["Cache", "AsyncCache"]

_BOUNDS = {
    "seconds": (
        1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1, 2.5,
        5, 10,
    ),
    "bytes": tuple(64 * 4**power for power in range(10)),
    "": (
        0, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000,
    ),
}  # fmt: skip
"""The buckets of histograms, by unit: those of libpgcache-prometheus."""


def _buckets(sample: Sample) -> list[tuple[str, float]]:
    bounds = _BOUNDS.get(sample.unit, _BOUNDS[""])
    counts = [(str(float(bound)), float(sample.count_to(bound))) for bound in bounds]
    return [*counts, ("+Inf", float(sample.count))]


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
