"""psycache's metrics under their own names, so that dashboards and alerts go on. The package prometheus_client is needed. They are of
psycache's operations alone; pgcache.prometheus tells all of the cache, and both may be used together.

They are in prometheus_client's own registry, where psycache has them, too: a process imports one or the other.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

try:
    from prometheus_client import Counter, Gauge, Histogram
except ImportError as missing:
    raise ImportError("psycache's metrics need prometheus_client: pip install 'pgcache[prometheus]'") from missing

from . import NoopAnySpan

if TYPE_CHECKING:
    from ..typing import CacheCleanupSpan, CacheFlushSpan, CacheGetSpan, CachePutSpan, CacheRemoveSpan

__all__ = ["PrometheusInstrumentation"]

_NAMED = ("span_name",)

_hits = Counter("psycache_hits_total", "Reads that found a value", _NAMED)
_misses = Counter("psycache_misses_total", "Reads that found none", _NAMED)
_get_seconds = Histogram("psycache_get_duration_seconds", "How long reads took", _NAMED)
_put_seconds = Histogram("psycache_put_duration_seconds", "How long writes took", _NAMED)
_remove_seconds = Histogram("psycache_remove_duration_seconds", "How long removals took")
_flush_seconds = Histogram("psycache_flush_duration_seconds", "How long flushes took")
_bytes = Histogram("psycache_item_size_bytes", "Sizes of what was read and written", _NAMED, buckets=[64 * 4**power for power in range(8)])
_flushed = Histogram("psycache_flushed_entries", "Entries that a flush removed", buckets=[0, 1, 5, 10, 25, 50, 100, 250, 500, 1000])
_cleaned_at = Gauge("psycache_cleanup_last_run_timestamp_seconds", "When the last cleanup ended")
_cleaned = Gauge("psycache_cleanup_deleted_entries", "Expired entries that the last cleanup deleted")


class _Span(NoopAnySpan):
    def __init__(self, span_name: str = "") -> None:
        self._span_name = span_name

    def record_cache_hit(self, item_size: int) -> None:
        _hits.labels(self._span_name).inc()
        _bytes.labels(self._span_name).observe(item_size)

    def record_cache_miss(self) -> None:
        _misses.labels(self._span_name).inc()

    def record_put(self, item_size: int) -> None:
        _bytes.labels(self._span_name).observe(item_size)

    def record_cleanup(self, num_deleted: int) -> None:
        _cleaned_at.set_to_current_time()
        _cleaned.set(num_deleted)

    def record_flush(self, num_flushed: int) -> None:
        _flushed.observe(num_flushed)


class PrometheusInstrumentation:
    """Counts and measures psycache's operations."""

    @contextmanager
    def start_cache_get_span(self, key: str, name: str | None) -> Iterator[CacheGetSpan]:
        """Around a read."""
        with _get_seconds.labels(name or "").time():
            yield _Span(name or "")

    @contextmanager
    def start_cache_put_span(self, key: str, name: str | None) -> Iterator[CachePutSpan]:
        """Around a write."""
        with _put_seconds.labels(name or "").time():
            yield _Span(name or "")

    @contextmanager
    def start_cache_remove_span(self, key: str) -> Iterator[CacheRemoveSpan]:
        """Around a removal."""
        with _remove_seconds.time():
            yield _Span()

    @contextmanager
    def start_cache_flush_span(self) -> Iterator[CacheFlushSpan]:
        """Around a flush."""
        with _flush_seconds.time():
            yield _Span()

    @contextmanager
    def start_cache_cleanup_span(self) -> Iterator[CacheCleanupSpan]:
        """Around a cleanup."""
        yield _Span()
