"""What operations give, as objects with names. SPDX-License-Identifier: MIT"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from ._options import seconds_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._pgcache import RawValue


@dataclass(frozen=True)
class Entry:
    """What a read found.

    value    the value
    version  its version: every write gives a new, higher one
    format   the number that says how it is encoded; see `pgcache.serializers`
    ttl      how long it still lived when it was read, in seconds; `NEVER` if it does not expire
    stale    True: past the end of its freshness; loads alone give such values
    """

    value: Any
    version: int
    format: int
    ttl: float
    stale: bool


@dataclass(frozen=True)
class KeyInfo:
    """What `keys()` tells of an entry. key: its bytes; version, format and ttl (seconds) as in `Entry`."""

    key: bytes
    version: int
    format: int
    ttl: float


@dataclass(frozen=True)
class Swap:
    """What `compare_and_swap()` did; true if it did. version: the new one, or 0; exists: whether there is an entry."""

    version: int
    exists: bool

    def __bool__(self) -> bool:
        return self.version > 0


@dataclass(frozen=True)
class Cleaned:
    """What a part of a cleanup did, see `cleanup_some()`.

    removed, evicted     expired rows deleted, and entries evicted to keep the limits; added up over the parts
    finished             True: the walk has come to its end
    busy                 True: another janitor is at work, and nothing was done
    evicting             True: what had expired is gone, and the walk has begun again to evict
    blocks_done, blocks  how much of the table the walk has seen, and how much there is
    """

    removed: int = 0
    evicted: int = 0
    finished: bool = False
    busy: bool = False
    evicting: bool = False
    blocks_done: int = 0
    blocks: int = 0

    @classmethod
    def of(cls, raw: dict[str, int]) -> Cleaned:
        """From the raw layer's."""
        return cls(
            raw["removed"],
            raw["evicted"],
            bool(raw["finished"]),
            bool(raw["busy"]),
            bool(raw["evicting"]),
            raw["blocks_done"],
            raw["blocks"],
        )


@dataclass(frozen=True)
class Usage:
    """What a namespace holds; namespace "" is all together. Limits are 0 where there is none.

    entries, bytes          entries that have not expired, and their keys and values as stored
    expired                 rows that have expired and wait for cleanup
    max_entries, max_bytes  the limits
    """

    namespace: str
    entries: int
    bytes: int
    expired: int
    max_entries: int
    max_bytes: int

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Usage:
        """From the raw layer's."""
        return cls(raw["namespace_name"], *(raw[field.name] for field in fields(cls)[1:]))


@dataclass(frozen=True)
class StoreStats:
    """Figures of the store, counted now.

    entries, expired           entries that have not expired, of all namespaces, and rows that wait for cleanup
    value_bytes                the values' bytes of both, as stored
    relation_bytes             the table on disk, with its index and out-of-line values
    schema_version, epoch      of the schema; the epoch is raised when the server lost the unlogged tables
    logged                     True if the table is logged
    pool_open, pool_idle       connections that this cache has open, and of these those not in use
    server_version             as PostgreSQL's server_version_num
    """

    entries: int
    expired: int
    value_bytes: int
    relation_bytes: int
    schema_version: int
    epoch: int
    logged: bool
    pool_open: int
    pool_idle: int
    server_version: int

    @classmethod
    def of(cls, raw: dict[str, int]) -> StoreStats:
        """From the raw layer's."""
        figures: dict[str, Any] = {**raw, "logged": bool(raw["logged"])}
        return cls(**figures)


@dataclass(frozen=True)
class Dependents:
    """What `dependents()` tells.

    entries  for each tag, then for each key that was asked for, how many entries depend on it
    tagged   how many depend on anything beside their own key
    watched  for each tag of each watched table a dictionary with `table`, `namespace` and `tag`
    """

    entries: list[int]
    tagged: int
    watched: list[dict[str, str]]


@dataclass(frozen=True)
class Setting:
    """One setting of the library: what `pgcache.settings()` lists."""

    name: str
    default_value: str
    allowed: str
    environment: str
    description: str


def entry_of(raw: RawValue, decode: Callable[[bytes, int], Any]) -> Entry:
    """An entry from the raw layer's value."""
    data, format, version, ttl, stale = raw
    return Entry(decode(data, format), version, format, seconds_of(ttl), stale)


def key_info(raw: RawValue) -> KeyInfo:
    """A key from the raw layer's."""
    key, format, version, ttl, _ = raw
    return KeyInfo(key, version, format, seconds_of(ttl))
