"""What calls take beside keys and values: spans of time, namespaces, dependencies; packed for the raw layer.

Everything is checked by the library; here is only said what a number of seconds is in milliseconds.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypedDict, Union

from . import _pgcache

if TYPE_CHECKING:
    from ._pgcache import RawDependencies, RawOptions, RawPlan

Duration = Union[int, float, timedelta]
"""A span of time: seconds, or a timedelta."""

Key = Union[str, bytes]
"""A key or tag: bytes, or text that stands for its bytes in UTF-8."""

NEVER = math.inf
"""A time to live without end."""

_FAR = 2**62  # milliseconds: the library shortens what is too long


class Options(TypedDict, total=False):
    """What every operation takes."""

    namespace: str | None
    """The part of the cache that the key lives in; the setting `namespace` if not given."""
    deadline: Duration | None
    """How long the whole call may take; the setting `timeout_ms` if not given; 0: do not wait for the server at all."""
    span_name: str | None
    """What the caller is doing, in his own words: measurements, spans and events carry it. Up to 64 bytes."""


class ReadOptions(Options, total=False):
    """What reads take."""

    from_store: bool
    """True: ask PostgreSQL, whatever the near cache holds."""


class WriteOptions(Options, total=False):
    """What writes of an entry take."""

    tags: Iterable[Key]
    """Tags that the entry depends on: invalidating one of them ends it. With `keys` up to 16."""
    keys: Iterable[Key]
    """Keys that the entry depends on, beside its own."""


class KeepOptions(TypedDict, total=False):
    """How what was loaded is kept, beside its `ttl`."""

    stale: Duration
    """For so long after its time to live it is given at once, while one caller refreshes it. 0 if not given."""
    fail_safe: Duration
    """For so long after that it stands in when a load fails or is late. 0 if not given."""
    throttle: Duration
    """After a load that failed: how long something stale stands in before anybody tries again. 1 s if not given."""
    absent_ttl: Duration
    """How long is remembered that there is no value. 0: not at all."""
    lease: Duration
    """How long the load may take before somebody else may: up to an hour. 10 s if not given."""
    wait: Duration | None
    """How long to wait for somebody else's load, or for one's own while something stale may stand in; until the deadline if not given."""
    jitter_percent: int
    """`ttl` is shortened by up to so many percent at random: 0 to 50."""
    early_percent: int
    """Refresh before the end, the more probably the nearer it is: 100 is usual, 0 is off."""


class LoadOptions(WriteOptions, KeepOptions, total=False):
    """How an entry is to be loaded and kept."""

    ttl: Duration | None
    """How long it is fresh; the setting `default_ttl_ms` if not given."""


class CachedOptions(KeepOptions, total=False):
    """How results of a function are kept, beside what `cached()` names."""

    deadline: Duration | None
    """How long the cache may take at each step; the setting `timeout_ms` if not given."""
    span_name: str | None
    """What the function is for, for measurements."""


def milliseconds(span: Duration) -> int:
    """A span of time for the library; what is no number becomes 0, which it refuses where it has to be positive."""
    seconds = span.total_seconds() if isinstance(span, timedelta) else float(span)
    if math.isnan(seconds):
        return 0
    exact = seconds * 1000
    if abs(exact) >= _FAR:
        return _FAR if exact > 0 else -_FAR
    return max(1, round(exact)) if exact > 0 else min(-2, round(exact)) if exact < 0 else 0


def ttl_ms(ttl: Duration | None) -> int:
    """A time to live."""
    if ttl is None:
        return _pgcache.TTL_DEFAULT
    if ttl == NEVER:
        return _pgcache.TTL_NEVER
    return milliseconds(ttl)


def deadline_ms(deadline: Duration | None) -> int:
    """A deadline, or how long to wait."""
    return _pgcache.DEADLINE_DEFAULT if deadline is None else milliseconds(deadline)


def interval_ms(interval: Duration) -> int:
    """An interval of a janitor: 0, which the library refuses, for what is not finite or out of range."""
    span = milliseconds(interval)
    return span if 0 < span <= _pgcache.JANITOR_INTERVAL_MAX else 0


def seconds_of(ttl_milliseconds: int) -> float:
    """A time to live from the library."""
    return NEVER if ttl_milliseconds == _pgcache.TTL_NEVER else ttl_milliseconds / 1000


def dependencies(tags: Iterable[Key] = (), keys: Iterable[Key] = ()) -> RawDependencies:
    """Tags and keys that an entry depends on, or that are to be invalidated."""
    if isinstance(tags, (str, bytes)) or isinstance(keys, (str, bytes)):
        raise TypeError("tags and keys are sequences of names; for a single one write [name]")
    if not tags and not keys:
        return ()
    return tuple([(_pgcache.DEPENDS_ON_TAG, tag) for tag in tags] + [(_pgcache.DEPENDS_ON_KEY, key) for key in keys])


def names_of(keys: Iterable[Key]) -> list[Key]:
    """Many keys."""
    if isinstance(keys, (str, bytes)):
        raise TypeError("keys are a sequence of keys; for a single one write [key]")
    return list(keys)


def pairs_of(entries: Mapping[Key, Any] | Iterable[tuple[Key, Any]]) -> list[tuple[Key, Any]]:
    """Keys and values of a mapping or of pairs."""
    pairs: Iterable[Any] = entries.items() if isinstance(entries, Mapping) else entries
    return list(pairs)


def pack(
    namespace: str | None = None,
    deadline: Duration | None = None,
    span_name: str | None = None,
    from_store: bool = False,
    tags: Iterable[Key] = (),
    keys: Iterable[Key] = (),
) -> RawOptions:
    """The options of one call."""
    mode = _pgcache.READ_STORE if from_store else _pgcache.READ_NEAR
    return deadline_ms(deadline), namespace, span_name, mode, 0, dependencies(tags, keys)


def pack_plan(
    ttl: Duration | None = None,
    stale: Duration = 0,
    fail_safe: Duration = 0,
    throttle: Duration = 1,
    absent_ttl: Duration = 0,
    lease: Duration = 10,
    wait: Duration | None = None,
    jitter_percent: int = 0,
    early_percent: int = 0,
) -> RawPlan:
    """How an entry is to be loaded."""
    return (
        ttl_ms(ttl), milliseconds(stale), milliseconds(fail_safe), milliseconds(throttle), ttl_ms(absent_ttl),
        milliseconds(lease), deadline_ms(wait), jitter_percent, early_percent,
    )  # fmt: skip


_OF_CALLS = ("namespace", "deadline", "span_name")
_OF_WRITES = ("tags", "keys")


class Plan:
    """The options of a load, packed when they are needed: a hit in the near cache needs few of them."""

    def __init__(self, given: LoadOptions) -> None:
        self._given: dict[str, Any] = {**given}
        calls = {name: self._given[name] for name in _OF_CALLS if name in given}
        self.options: RawOptions | None = pack(**calls) if calls else None
        """To begin it."""
        self.early = given.get("early_percent", 0) != 0

    @cached_property
    def how(self) -> RawPlan:
        """How the entry is loaded and kept."""
        return pack_plan(**{name: self._given[name] for name in self._given if name not in _OF_CALLS + _OF_WRITES})

    @cached_property
    def ending(self) -> RawOptions | None:
        """The options of storing what was loaded."""
        given = {name: self._given[name] for name in _OF_CALLS + _OF_WRITES if name in self._given}
        return pack(**given) if given else None

    @property
    def fail_safe(self) -> bool:
        """Whether something stale may stand in when a load takes long."""
        return self.how[2] != 0

    @property
    def at_once(self) -> RawPlan:
        """The same without waiting for anybody."""
        return (*self.how[:6], 0, *self.how[7:])

    def ending_with(self, tags: Iterable[Key], keys: Iterable[Key]) -> RawOptions | None:
        """The options of storing with other dependencies, if there are any."""
        if not tags and not keys:
            return self.ending
        calls = {name: self._given[name] for name in _OF_CALLS if name in self._given}
        return pack(**calls, tags=tags, keys=keys)
