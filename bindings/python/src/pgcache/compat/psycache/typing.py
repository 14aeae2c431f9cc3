"""What psycache.typing names: what a pool lends, and what instrumentations are told. SPDX-License-Identifier: MIT"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from psycopg import AsyncConnection, Connection

__all__ = [
    "AsyncCachePool", "CacheCleanupSpan", "CacheFlushSpan", "CacheGetSpan", "CacheInstrumentation", "CachePool", "CachePutSpan",
    "CacheRemoveSpan",
]  # fmt: skip


class CachePool(Protocol):
    """What lends connections: one is enough, to see where it leads to."""

    def connect(self) -> AbstractContextManager[Connection[Any]]:
        """Lends a connection for a block."""
        ...


class AsyncCachePool(Protocol):
    """The same for event loops."""

    def connect(self) -> AbstractAsyncContextManager[AsyncConnection[Any]]:
        """Lends a connection for a block."""
        ...


class CacheGetSpan(Protocol):
    """A read under way."""

    def record_cache_hit(self, item_size: int) -> None:
        """There was a value, of so many bytes."""

    def record_cache_miss(self) -> None:
        """There was none."""


class CachePutSpan(Protocol):
    """A write under way."""

    def record_put(self, item_size: int) -> None:
        """So many bytes are stored."""


class CacheRemoveSpan(Protocol):
    """A removal under way."""

    def record_removed(self) -> None:
        """There is no entry any more."""


class CacheFlushSpan(Protocol):
    """A flush under way."""

    def record_flush(self, num_flushed: int) -> None:
        """So many entries are gone."""


class CacheCleanupSpan(Protocol):
    """A cleanup under way."""

    def record_cleanup(self, num_deleted: int) -> None:
        """So many expired entries are gone."""


class CacheInstrumentation(Protocol):
    """What is told of each operation: it opens a span around it, in which is recorded how it went. Nothing is recorded of what failed."""

    def start_cache_get_span(self, key: str, name: str | None) -> AbstractContextManager[CacheGetSpan]:
        """A read begins; name: its `span_name`."""
        ...

    def start_cache_put_span(self, key: str, name: str | None) -> AbstractContextManager[CachePutSpan]:
        """A write begins; name: its `span_name`."""
        ...

    def start_cache_remove_span(self, key: str) -> AbstractContextManager[CacheRemoveSpan]:
        """A removal begins."""
        ...

    def start_cache_flush_span(self) -> AbstractContextManager[CacheFlushSpan]:
        """A flush begins."""
        ...

    def start_cache_cleanup_span(self) -> AbstractContextManager[CacheCleanupSpan]:
        """A cleanup begins."""
        ...
