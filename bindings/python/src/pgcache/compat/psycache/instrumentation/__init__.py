"""psycache.instrumentation over pgcache. SPDX-License-Identifier: MIT"""

from __future__ import annotations

__all__ = ["NoopAnySpan"]


class NoopAnySpan:
    """A span of any kind that records nothing, for instrumentations that leave something out."""

    def record_cache_hit(self, item_size: int) -> None:
        """Does nothing."""

    def record_cache_miss(self) -> None:
        """Does nothing."""

    def record_put(self, item_size: int) -> None:
        """Does nothing."""

    def record_removed(self) -> None:
        """Does nothing."""

    def record_cleanup(self, num_deleted: int) -> None:
        """Does nothing."""

    def record_flush(self, num_flushed: int) -> None:
        """Does nothing."""
