"""psycache's spans for Sentry under their own names. The package sentry-sdk is needed.

    op      cache.get, cache.put, cache.remove, cache.flush
    name    the `span_name` of the call, or "psycache get" and so on
    data    cache.key, a list; cache.hit of reads; cache.item_size in bytes; cache.success; cache.num_flushed

Keys are sent to Sentry, as psycache does it; `pgcache.sentry.SentryProvider(keys=False)` can leave them out.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

try:
    import sentry_sdk
except ImportError as missing:
    raise ImportError("psycache's spans need sentry-sdk: pip install 'pgcache[sentry]'") from missing

from . import NoopAnySpan

if TYPE_CHECKING:
    from ..typing import CacheCleanupSpan, CacheFlushSpan, CacheGetSpan, CachePutSpan, CacheRemoveSpan

__all__ = ["SentryInstrumentation"]


class _Span(NoopAnySpan):
    def __init__(self, span: Any) -> None:
        self._span = span

    def _tell(self, **facts: object) -> None:
        for name, fact in facts.items():
            self._span.set_data(f"cache.{name}", fact)

    def record_cache_hit(self, item_size: int) -> None:
        self._tell(hit=True, item_size=item_size, success=True)

    def record_cache_miss(self) -> None:
        self._tell(hit=False, success=True)

    def record_put(self, item_size: int) -> None:
        self._tell(item_size=item_size, success=True)

    def record_removed(self) -> None:
        self._tell(success=True)

    def record_flush(self, num_flushed: int) -> None:
        self._tell(num_flushed=num_flushed)


@contextmanager
def _open(operation: str, key: str | None = None, name: str | None = None) -> Iterator[_Span]:
    with sentry_sdk.start_span(op=f"cache.{operation}", name=name or f"psycache {operation}") as span:
        if key is not None:
            span.set_data("cache.key", [key])
        yield _Span(span)


class SentryInstrumentation:
    """Opens a span of Sentry around each of psycache's operations but cleanups."""

    @contextmanager
    def start_cache_get_span(self, key: str, name: str | None) -> Iterator[CacheGetSpan]:
        """Around a read."""
        with _open("get", key, name) as span:
            yield span

    @contextmanager
    def start_cache_put_span(self, key: str, name: str | None) -> Iterator[CachePutSpan]:
        """Around a write."""
        with _open("put", key, name) as span:
            yield span

    @contextmanager
    def start_cache_remove_span(self, key: str) -> Iterator[CacheRemoveSpan]:
        """Around a removal."""
        with _open("remove", key) as span:
            yield span

    @contextmanager
    def start_cache_flush_span(self) -> Iterator[CacheFlushSpan]:
        """Around a flush."""
        with _open("flush") as span:
            yield span

    @contextmanager
    def start_cache_cleanup_span(self) -> Iterator[CacheCleanupSpan]:
        """Around a cleanup: no span."""
        yield NoopAnySpan()
