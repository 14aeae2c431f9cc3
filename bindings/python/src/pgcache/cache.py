"""`Cache`: for code that waits. `AsyncCache` in aio.py is the same, line by line, for event loops.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from . import _pgcache
from ._core import Core
from ._instruments import observed
from ._janitor import Janitor
from ._load import Load
from ._loading import Loader, get_or_load
from ._options import Duration, Key, Plan, dependencies, interval_ms, milliseconds, names_of, pack, pairs_of, ttl_ms
from ._records import Cleaned, Dependents, Entry, KeyInfo, StoreStats, Swap, Usage, entry_of, key_info
from ._snapshot import Snapshot
from ._status import Status
from .cached import Cached

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from ._options import LoadOptions, Options, ReadOptions, WriteOptions
    from .aio import AsyncCache

D = TypeVar("D")
T = TypeVar("T")

PAGE = 1000
_near = _pgcache.near


class Cache(Core, Cached):
    """A cache in PostgreSQL, as this process sees it. Any number of threads may use one at once; a forked child may go on using it.

    Keys are bytes or text, values bytes or what the serializer knows. Every operation takes the keywords of `Options`: `namespace`,
    `deadline`, `span_name`; times are seconds or timedeltas. Beside what is said at it, every operation raises `InvalidArgument`,
    `TooLarge` (a key or value), `Closed`, `Timeout`, `Unavailable`, `Denied`, `SchemaError` or another `Error` of the server, writes
    `UnknownOutcome`, `ReadOnly` and `Full` as well. Ctrl-C is heard when the call that waits has ended, at its deadline at the latest.
    With the setting `on_error` at `miss`, which is this package's default, reads that the server fails find nothing instead.

    with Cache("postgresql://localhost/shop") as cache:
        cache.put("greeting", {"text": "hello"}, ttl=60)
        cache.get("greeting")
    """

    def close(self) -> None:
        """Ends all calls, which raise `Closed`, and closes the connections. May be called again. What is not closed is when it is not
        referred to any more, or at the end of the process, in any order."""
        self._shared.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, where: TracebackType | None) -> None:
        self.close()

    @property
    def aio(self) -> AsyncCache:
        """The same cache for event loops: the same connections and near cache."""
        from .aio import AsyncCache

        view = AsyncCache.__new__(AsyncCache)
        view._view(self._shared)
        return view

    def _do(self, function: Callable[..., Any], subject: Any, *arguments: Any) -> Any:
        if not self._providers:
            return function(subject, *arguments)
        with observed(self._providers, function.__name__, arguments) as note:
            note.result = function(subject, *arguments)
        return note.result

    # ---- One key -------------------------------------------------------------------------------------------------------------

    def get(self, key: Key, default: D | None = None, **options: Unpack[ReadOptions]) -> Any | D:
        """The value of a key, or the default if there is none; None may be a value: tell them apart by the default.

        Raises also `UnknownFormat`, `SerializationError` (the entry cannot be decoded)."""
        packed = pack(**options) if options else None
        if not self._providers and (packed is None or packed[3] == _pgcache.READ_NEAR):
            near = _near(self._handle, key, packed)
            if near is not None:
                return near if isinstance(near, bytes) else self._codec.decode(*near)
        found = self._do(_pgcache.get, self._handle, key, packed)[1]
        return default if found is None else self._found(found)

    def get_entry(self, key: Key, **options: Unpack[ReadOptions]) -> Entry | None:
        """The value of a key with its version, format and time to live; None if there is none. Raises as `get()`."""
        found = self._do(_pgcache.get, self._handle, key, pack(**options))[1]
        return None if found is None else entry_of(found, self._codec.decode)

    def get_into(self, key: Key, buffer: Any, **options: Unpack[ReadOptions]) -> int | None:
        """Reads the bytes of an entry, as they are stored, into a writable buffer. Gives their number, or None if there is no entry.
        If it is larger than the buffer, the buffer is unchanged."""
        status, size = self._do(_pgcache.get_into, self._handle, buffer, key, pack(**options))
        return None if status == Status.MISS else int(size)

    def exists(self, key: Key, **options: Unpack[ReadOptions]) -> bool:
        """Whether there is an entry."""
        return bool(self._do(_pgcache.exists, self._handle, key, pack(**options)) == Status.OK)

    def put(self, key: Key, value: Any, ttl: Duration | None = None, **options: Unpack[WriteOptions]) -> int:
        """Stores an entry, whether there was one or not. ttl: the setting `default_ttl_ms` if None; `NEVER`.

        Gives its version. Raises also `SerializationError`."""
        data, format = self._codec.encode(value)
        return int(self._do(_pgcache.put, self._handle, key, data, format, ttl_ms(ttl), pack(**options))[1])

    def add(self, key: Key, value: Any, ttl: Duration | None = None, **options: Unpack[WriteOptions]) -> int | None:
        """Stores an entry only if there is none. Gives its version, or None: there is one. Raises as `put()`."""
        data, format = self._codec.encode(value)
        status, version = self._do(_pgcache.add, self._handle, key, data, format, ttl_ms(ttl), pack(**options))
        return int(version) if status == Status.OK else None

    def replace(self, key: Key, value: Any, ttl: Duration | None = None, **options: Unpack[WriteOptions]) -> int | None:
        """Stores an entry only if there is one. Gives its version, or None: there is none. Raises as `put()`."""
        data, format = self._codec.encode(value)
        status, version = self._do(_pgcache.replace, self._handle, key, data, format, ttl_ms(ttl), pack(**options))
        return int(version) if status == Status.OK else None

    def compare_and_swap(self, key: Key, value: Any, expected: int, ttl: Duration | None = None, **options: Unpack[WriteOptions]) -> Swap:
        """Stores an entry only if it still has the version `expected`, which `get_entry()` gave. Raises as `put()`."""
        data, format = self._codec.encode(value)
        status, version = self._do(_pgcache.compare_and_swap, self._handle, key, data, format, ttl_ms(ttl), expected, pack(**options))
        return Swap(version, status != Status.MISS)

    def remove(self, key: Key, **options: Unpack[Options]) -> bool:
        """Removes an entry. False: there was none."""
        return bool(self._do(_pgcache.remove, self._handle, key, pack(**options)) == Status.OK)

    def touch(self, key: Key, ttl: Duration | None = None, **options: Unpack[Options]) -> int | None:
        """Gives an entry a new time to live. Gives its new version, or None: there is no entry."""
        status, version = self._do(_pgcache.touch, self._handle, key, ttl_ms(ttl), pack(**options))
        return int(version) if status == Status.OK else None

    def increment(self, key: Key, delta: int = 1, *, initial: int = 0, ttl: Duration | None = None, **options: Unpack[Options]) -> int:
        """Adds to a counter, an entry that holds an integer as JSON, and gives the sum. initial and ttl are for one that is made:
        it becomes initial + delta. Raises also `NotACounter`, `CounterOverflow`, `Unsupported` (with encryption)."""
        return int(self._do(_pgcache.increment, self._handle, key, delta, initial, ttl_ms(ttl), pack(**options))[1])

    def decrement(self, key: Key, delta: int = 1, *, initial: int = 0, ttl: Duration | None = None, **options: Unpack[Options]) -> int:
        """Takes from a counter, see `increment()`."""
        return self.increment(key, -delta, initial=initial, ttl=ttl, **options)

    # ---- Many keys -----------------------------------------------------------------------------------------------------------

    def get_many(self, keys: Iterable[Key], **options: Unpack[ReadOptions]) -> dict[Key, Any]:
        """The values of those keys that have one, a round trip for each 1,000. Raises as `get()`."""
        names = names_of(keys)
        _, items = self._do(_pgcache.get_many, self._handle, names, pack(**options))
        return {name: self._found(found) for name, (_, _, found) in zip(names, items) if found is not None}

    def put_many(
        self,
        entries: Mapping[Key, Any] | Iterable[tuple[Key, Any]],
        ttl: Duration | None = None,
        **options: Unpack[WriteOptions],
    ) -> dict[Key, int]:
        """Stores many entries, a round trip for each 1,000 and not as one; of equal keys the last counts. Gives their versions. Raises as
        `put()`: then some may be stored."""
        pairs = pairs_of(entries)
        span = ttl_ms(ttl)
        batch = [(key, data, span, format) for key, value in pairs for data, format in (self._codec.encode(value),)]
        _, items = self._do(_pgcache.put_many, self._handle, batch, pack(**options))
        return {key: version for (key, _), (_, version, _) in zip(pairs, items)}

    def remove_many(self, keys: Iterable[Key], **options: Unpack[Options]) -> int:
        """Removes many entries, a round trip for each 1,000. Gives how many there were; equal keys each count."""
        _, items = self._do(_pgcache.remove_many, self._handle, names_of(keys), pack(**options))
        return sum(status == Status.OK for status, _, _ in items)

    # ---- Loads ---------------------------------------------------------------------------------------------------------------

    def get_or_load(self, key: Key, load: Loader[T], default: D | None = None, **how: Unpack[LoadOptions]) -> T | D | None:
        """The value of a key; if there is none, what `load` gives, which is stored. One caller in all processes loads, the others wait
        for it. What comes back is what later readers get: what the serializer makes of it.

        A stale value is given at once and refreshed by a thread in the background, or stands in when the load fails or takes longer than
        `wait`. load may give `ABSENT`: then, and while that is remembered, the default is given. It has to read with statements, or in a
        transaction, begun after it was called. Raises what it raises, if nothing stands in, and that is not cached; `Busy`: somebody
        else's load took longer than `wait`; `SerializationError`. What could not be stored is given all the same."""
        return get_or_load(self, key, load, default, Plan(how))  # type: ignore[no-any-return]

    def load_begin(self, key: Key, **how: Unpack[LoadOptions]) -> Load:
        """The value of a key, or the lease to load it, to be ended by the caller. Waits for somebody else's load, up to `wait`."""
        plan = Plan(how)
        return Load(self, plan, self._do(_pgcache.load_begin, self._handle, key, plan.how, plan.options))

    def invalidate(self, *, tags: Iterable[Key] = (), keys: Iterable[Key] = (), **options: Unpack[Options]) -> None:
        """Ends all entries that depend on these tags and keys, at one moment, however many there are; in a transaction of its own: for
        the application's see `invalidation()`."""
        self._do(_pgcache.invalidate, self._handle, dependencies(tags, keys), pack(**options))

    def dependents(self, *, tags: Iterable[Key] = (), keys: Iterable[Key] = (), **options: Unpack[Options]) -> Dependents:
        """How many entries depend on tags and keys, and which tables are watched. Reads the whole table: for people and monitors."""
        _, found = self._do(_pgcache.dependents, self._handle, dependencies(tags, keys), pack(**options))
        return Dependents(**json.loads(found[0]))

    def fence(self, **options: Unpack[Options]) -> None:
        """Waits until the near cache has heard of everything that was acknowledged to anybody before. Raises also `BadSetting` (a
        connection pooler stands between)."""
        self._do(_pgcache.fence, self._handle, pack(**options))

    # ---- The cache as a whole ------------------------------------------------------------------------------------------------

    def init(self, **options: Unpack[Options]) -> bool:
        """Makes the cache's schema in the database, or brings an older one up to date. False: it was there and current. Safe from many
        processes at once, and again."""
        return bool(self._do(_pgcache.init, self._handle, pack(**options)) == Status.OK)

    def upgrade(self, **options: Unpack[Options]) -> bool:
        """Brings an existing schema up to date. False: it was current."""
        return bool(self._do(_pgcache.upgrade, self._handle, pack(**options)) == Status.OK)

    def flush(self, *, all: bool = False, **options: Unpack[Options]) -> int:
        """Removes every entry of the namespace, or of all, and gives how many. After an error some are removed."""
        scope = _pgcache.FLUSH_ALL if all else _pgcache.FLUSH_NAMESPACE
        return int(self._do(_pgcache.flush, self._handle, scope, pack(**options))[1])

    def cleanup(self, **options: Unpack[Options]) -> int:
        """Deletes expired rows of all namespaces, and gives how many; evicts what is above the limits. A janitor does it by itself."""
        return int(self._do(_pgcache.cleanup, self._handle, pack(**options))[1])

    def cleanup_some(
        self, budget: Duration, before: Cleaned | None = None, *, restart: bool = False, **options: Unpack[Options]
    ) -> Cleaned:
        """A part of a cleanup, of about `budget`: goes on with the walk over the table, or begins one. before: what the last part gave."""
        past = before or Cleaned()
        progress = int(restart), past.removed, past.evicted
        raw = self._do(_pgcache.cleanup_some, self._handle, progress, milliseconds(budget), pack(**options))[1]
        return Cleaned.of(raw)

    def janitor(self, interval: Duration) -> Janitor:
        """Starts a janitor: cleans up at once and then every interval, up to a day, in the background, one of all processes at a time.
        A cache has one already, unless made with `janitor=None`. Raises `InvalidArgument`, `Closed`, `OutOfMemory`."""
        return Janitor(_pgcache.janitor_start(self._handle, interval_ms(interval))[1])

    def set_limits(
        self,
        *,
        max_entries: int | None = None,
        max_bytes: int | None = None,
        all: bool = False,
        **options: Unpack[Options],
    ) -> None:
        """Limits how much the namespace holds, or all together; 0: no limit, None: as it is. Janitors and `cleanup()` keep the limits."""
        scope = _pgcache.LIMIT_ALL if all else _pgcache.LIMIT_NAMESPACE
        limits = (_pgcache.LIMIT_KEEP if limit is None else limit for limit in (max_entries, max_bytes))
        self._do(_pgcache.set_limits, self._handle, scope, *limits, pack(**options))

    def usage(self, **options: Unpack[Options]) -> Iterator[Usage]:
        """What each namespace holds, "" for all together first. Reads the whole table: for people and monitors."""
        after, packed = None, pack(**options)
        while True:
            _, page = self._do(_pgcache.read_usage, self._handle, PAGE, after, packed)
            yield from map(Usage.of, page)
            if len(page) < PAGE:
                return
            after = page[-1]["namespace_name"]

    def keys(self, prefix: Key = b"", after: Key = b"", **options: Unpack[Options]) -> Iterator[KeyInfo]:
        """The keys of the namespace that begin with the prefix and come after `after`, in the order of their bytes. Reads the whole table:
        for people. Raises also `Unsupported` (the setting `digests` is keyed)."""
        packed = pack(**options)
        while True:
            _, page = self._do(_pgcache.keys, self._handle, PAGE, prefix, after, packed)
            yield from map(key_info, page)
            if len(page) < PAGE:
                return
            after = page[-1][0]

    def stats(self, **options: Unpack[Options]) -> StoreStats:
        """Figures of the store. Reads the whole table: for people and monitors."""
        return StoreStats.of(self._do(_pgcache.stats, self._handle, pack(**options))[1])

    def doctor(self, **options: Unpack[Options]) -> dict[str, Any]:
        """Examines everything that the cache stands on: a dictionary with `findings`, a list, and `worst`, the gravest severity of "ok",
        "info", "warning", "error". Changes nothing."""
        report: dict[str, Any] = json.loads(self._do(_pgcache.doctor, self._handle, pack(**options))[1][0])
        return report

    def published(self, **options: Unpack[Options]) -> list[Snapshot]:
        """What the processes of this schema have published last, see the setting `publish_ms`, by their origins."""
        found: list[Snapshot] = []
        packed = pack(**options)
        while True:
            after = found[-1].origin if found else None
            _, page = self._do(_pgcache.read_published, self._handle, PAGE, after, packed)
            found += map(Snapshot, page)
            if len(page) < PAGE:
                return found


class NullCache(Cache):
    """A cache that is switched off: every read misses, every load runs, and no server is needed."""

    def __init__(self, **settings: Any) -> None:
        """settings: as of `Cache`."""
        super().__init__("null:", **settings)
