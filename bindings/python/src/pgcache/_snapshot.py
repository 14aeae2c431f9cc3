"""What a cache has measured, see instrumentation/METRICS.md for the names. SPDX-License-Identifier: MIT"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal

from . import _pgcache

if TYPE_CHECKING:
    from ._pgcache import Owned

Kind = Literal["counter", "gauge", "histogram"]
_kinds: dict[int, Kind] = {
    _pgcache.COUNTER: "counter",
    _pgcache.GAUGE: "gauge",
    _pgcache.HISTOGRAM: "histogram",
}


@dataclass(frozen=True)
class Sample:
    """One figure of a snapshot; good until something is added to that.

    name    in the form of Prometheus: pgcache_ first, the unit last, and _total for counters
    help    what it means
    unit    "seconds", "bytes" or ""
    kind    "counter", "gauge" or "histogram"
    labels  names and values
    value   of a counter or gauge; of a histogram the sum of its values
    count   how many values a histogram has
    """

    name: str
    help: str
    unit: str
    kind: Kind
    labels: dict[str, str]
    value: float
    count: int
    _snapshot: Owned
    _index: int

    def count_to(self, bound: float) -> int:
        """How many of a histogram's values are at most the bound, in its unit; known to within a sixteenth of the bound."""
        return _pgcache.snapshot_count_to(self._snapshot, self._index, bound)

    def percentile(self, percent: float) -> float:
        """The value that so many percent (0 to 100) of a histogram's values do not exceed; NaN if it has none."""
        return _pgcache.snapshot_percentile(self._snapshot, self._index, percent)


_BOUNDS = {
    "seconds": (
        1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5,
        5.0, 10.0,
    ),
    "bytes": tuple(64.0 * 4**power for power in range(10)),
    "": (
        0.0, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0, 25000.0, 50000.0, 100000.0, 250000.0,
        500000.0, 1000000.0,
    ),
}  # fmt: skip
"""The buckets of histograms, by unit: those of libpgcache-prometheus."""


def buckets(sample: Sample) -> list[tuple[float, int]]:
    """The bounds of a histogram, infinity last, and how many of its values are at most each."""
    bounds = _BOUNDS.get(sample.unit, _BOUNDS[""])
    return [*((bound, sample.count_to(bound)) for bound in bounds), (math.inf, sample.count)]


class Snapshot:
    """All that was measured of a cache at one moment; iterating gives its samples, those of one name together.

    Several threads may read one; nobody else may use it while something is added."""

    def __init__(self, raw: Owned) -> None:
        self._raw = raw

    @property
    def taken_at(self) -> datetime:
        """When it was taken, by this process's clock; of one that was published by the server's."""
        return datetime.fromtimestamp(_pgcache.snapshot_taken_at(self._raw) / 1000, timezone.utc)

    @property
    def origin(self) -> str:
        """Whose it is: "host/process/handle"."""
        return _pgcache.snapshot_origin(self._raw)

    def add(self, other: Snapshot) -> None:
        """Adds what another one has: counters, histograms and gauges add up. For several caches or processes."""
        _pgcache.snapshot_add(self._raw, other._raw)

    def __len__(self) -> int:
        return _pgcache.snapshot_size(self._raw)

    def __iter__(self) -> Iterator[Sample]:
        raw = self._raw
        for index in range(len(self)):
            kind = _kinds.get(_pgcache.snapshot_kind(raw, index))
            if kind is None:  # of a newer library
                continue
            labels = {
                _pgcache.snapshot_label_name(raw, index, label): _pgcache.snapshot_label_value(raw, index, label)
                for label in range(_pgcache.snapshot_labels(raw, index))
            }
            yield Sample(
                _pgcache.snapshot_name(raw, index),
                _pgcache.snapshot_help(raw, index),
                _pgcache.snapshot_unit(raw, index),
                kind,
                labels,
                _pgcache.snapshot_value(raw, index),
                _pgcache.snapshot_count(raw, index),
                raw,
                index,
            )
