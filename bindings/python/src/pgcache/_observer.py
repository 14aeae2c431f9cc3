"""A queue of what happens to a cache: operations, slow ones, changes of state, words for a log. SPDX-License-Identifier: MIT"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from types import TracebackType
from typing import TYPE_CHECKING, Any

from . import _pgcache
from ._options import Duration, deadline_ms
from ._status import Status
from .errors import Closed

if TYPE_CHECKING:
    from ._pgcache import Owned

_GLANCE_MS = 200  # a signal's handler runs between two waits
_PAUSE_SECONDS = 0.05  # there is no descriptor for events


class EventKind(enum.IntEnum):
    """What happened."""

    OPERATION = 1
    SLOW = 2
    STATE = 3
    LOG = 4
    OTHER = -1

    @classmethod
    def _missing_(cls, value: object) -> EventKind:
        """A newer library may have more."""
        return cls.OTHER


class Level(enum.IntEnum):
    """How grave an event is."""

    DEBUG = 1
    INFO = 2
    WARNING = 3
    ERROR = 4

    @classmethod
    def _missing_(cls, value: object) -> Level:
        """A newer library may have more."""
        return cls.ERROR


@dataclass(frozen=True)
class Event:
    """Something that happened to a cache. What is not known is "", 0 or None.

    operation   "get", "put" and so on; of a state what it is of: "breaker", "listener", "janitor"
    outcome     "hit", "miss", "ok", "timeout" and so on; of a state: "open", "connected", "walked" and so on
    source      "near" or "store"
    message     of an error, or of a log
    key         of an operation on one key, for those who asked for keys
    key_count   how many keys it was on
    bytes       of the values that were read or written, as stored; None: not known
    number      of many keys the hits; of flush and cleanup how many were removed
    began       when it began, by this process's clock
    duration    in seconds
    """

    kind: EventKind
    level: Level
    operation: str
    outcome: str
    source: str
    namespace: str
    span_name: str
    message: str
    sqlstate: str
    status: Status
    key: bytes | None
    key_count: int
    bytes: int | None
    number: int
    began: datetime
    duration: float

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Event:
        """From the raw layer's."""
        return cls(
            EventKind(raw["kind"]),
            Level(raw["level"]),
            raw["operation"],
            raw["outcome"],
            raw["source"],
            raw["namespace_name"],
            raw["span_name"],
            raw["message"],
            raw["sqlstate"],
            Status(raw["status"]),
            raw["key"],
            raw["key_count"],
            raw["bytes"] if raw["bytes"] >= 0 else None,
            raw["number"],
            datetime.fromtimestamp(raw["began_us"] / 1_000_000, timezone.utc),
            raw["duration_ns"] / 1_000_000_000,
        )


class Observer:
    """Events of a cache, from now on, until it is closed; what does not fit its room is counted in `dropped`.

    Iterating gives events as they come, and ends when the cache is closed; `for` in a thread, `async for` in a task. Any thread."""

    def __init__(self, raw: Owned) -> None:
        self._raw: Owned | None = raw

    def take(self, wait: Duration = 0) -> Event | None:
        """The oldest event, or None if there is none within `wait`. Raises `Closed` when there is none and the cache was closed."""
        raw = self._raw
        if raw is None:
            raise Closed("the observer was closed")
        _, event = _pgcache.observer_next(raw, max(0, deadline_ms(wait)))
        return None if event is None else Event.of(event)

    @property
    def dropped(self) -> int:
        """How many events did not fit."""
        return 0 if self._raw is None else _pgcache.observer_dropped(self._raw)

    def __iter__(self) -> Iterator[Event]:
        while True:
            try:
                event = self.take(_GLANCE_MS / 1000)
            except Closed:
                return
            if event is not None:
                yield event

    async def __aiter__(self) -> AsyncIterator[Event]:
        while True:
            try:
                event = self.take()
            except Closed:
                return
            if event is not None:
                yield event
            else:
                await asyncio.sleep(_PAUSE_SECONDS)

    def close(self) -> None:
        """Ends it. May be called again."""
        self._raw = None  # freed as soon as nobody waits in it

    def __enter__(self) -> Observer:
        return self

    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, where: TracebackType | None) -> None:
        self.close()


def observe(handle: Owned, *, operations: bool, slow: bool, states: bool, log: bool, keys: bool, level: Level, room: int) -> Observer:
    """See `Cache.observe()`."""
    what = (
        operations * _pgcache.OBSERVE_OPERATIONS
        | slow * _pgcache.OBSERVE_SLOW
        | states * _pgcache.OBSERVE_STATES
        | log * _pgcache.OBSERVE_LOG
        | keys * _pgcache.OBSERVE_KEYS
    )
    _, raw = _pgcache.observe(handle, what, level, room)
    return Observer(raw)
