"""Spans for Sentry: each get, put, remove and flush of a cache, in the words of Sentry's own caches module. The package sentry-sdk is
needed.

    cache = Cache(..., providers=[SentryProvider()])

    op      cache.get, cache.put, cache.remove, cache.flush
    name    the `span_name` of the call, or "pgcache get" and so on
    data    cache.key, a list; cache.hit of reads; cache.item_size in bytes, of what was read or written; cache.success of the rest

Keys are sent to Sentry: `SentryProvider(keys=False)` leaves them out.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

try:
    import sentry_sdk
except ImportError as missing:
    raise ImportError("pgcache.sentry needs sentry-sdk: pip install 'pgcache[sentry]'") from missing

if TYPE_CHECKING:
    from ._instruments import Operation, Outcome
    from ._options import Key

_OPS = {
    "get": "cache.get",
    "get_into": "cache.get",
    "get_many": "cache.get",
    "exists": "cache.get",
    "load_begin": "cache.get",
    "put": "cache.put",
    "add": "cache.put",
    "replace": "cache.put",
    "compare_and_swap": "cache.put",
    "put_many": "cache.put",
    "load_fill": "cache.put",
    "touch": "cache.put",
    "increment": "cache.put",
    "remove": "cache.remove",
    "remove_many": "cache.remove",
    "invalidate": "cache.remove",
    "flush": "cache.flush",
}


def _text(key: Key) -> str:
    return key if isinstance(key, str) else key.decode("utf-8", "backslashreplace")


class SentryProvider:
    """A provider that opens a span of Sentry for each operation, in the transaction that is under way. Any thread or task."""

    def __init__(self, *, keys: bool = True) -> None:
        self._keys = keys

    def begin(self, operation: Operation) -> Any:
        """Opens the span."""
        op = _OPS.get(operation.name)
        if op is None:
            return None
        name = operation.span_name or f"pgcache {op.removeprefix('cache.')}"
        span = sentry_sdk.start_span(op=op, name=name)
        span.__enter__()
        if self._keys and operation.keys:
            span.set_data("cache.key", [_text(key) for key in operation.keys])
        return span

    def end(self, begun: Any, outcome: Outcome) -> None:
        """Says how it went, and closes the span."""
        if begun is None:
            return
        if begun.op == "cache.get":
            found = outcome.outcome in ("hit", "stale") or (outcome.outcome == "ok" and bool(outcome.bytes))
            begun.set_data("cache.hit", found)
        else:
            begun.set_data("cache.success", outcome.outcome == "ok")
        if outcome.bytes is not None:
            begun.set_data("cache.item_size", outcome.bytes)
        failure = outcome.error
        begun.__exit__(type(failure) if failure is not None else None, failure, None)
