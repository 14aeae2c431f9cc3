"""`AsyncCache`: `Cache`, line by line, for event loops. No threads: requests go out at once, and their completions come through a
descriptor that the loop watches. Docstrings are those of `Cache`.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from . import _pgcache, _requests
from ._core import Core, Shared
from ._instruments import observed
from ._janitor import AsyncJanitor
from ._load import AsyncLoad
from ._loading import get_or_load_async
from ._options import Duration, Key, Plan, dependencies, interval_ms, milliseconds, names_of, pack, pairs_of, ttl_ms
from ._records import Cleaned, Dependents, Entry, KeyInfo, StoreStats, Swap, Usage, entry_of, key_info
from ._snapshot import Snapshot
from ._status import Status
from .cache import PAGE, Cache
from .cached import Cached

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from ._loading import Absent
    from ._options import LoadOptions, Options, ReadOptions, WriteOptions
    from ._pgcache import Owned

D = TypeVar("D")
T = TypeVar("T")

_near = _pgcache.near
# What a read in the same loop may come in before: what changes no entry, and what changes another one. All else keeps it behind.
_READS = frozenset((
    _pgcache.submit_get, _pgcache.submit_exists, _pgcache.submit_get_many, _pgcache.submit_load_begin, _pgcache.submit_load_extend,
    _pgcache.submit_load_abandon, _pgcache.submit_cleanup, _pgcache.submit_cleanup_some, _pgcache.submit_set_limits, _pgcache.submit_stats,
    _pgcache.submit_read_usage, _pgcache.submit_keys, _pgcache.submit_doctor,
))  # fmt: skip
_KEYED = frozenset((
    _pgcache.submit_put, _pgcache.submit_add, _pgcache.submit_replace, _pgcache.submit_compare_and_swap, _pgcache.submit_remove,
    _pgcache.submit_touch, _pgcache.submit_increment,
))  # fmt: skip


class AsyncCache(Core, Cached):
    """`Cache` for event loops: the same operations with `await`. Belongs to the event loop that uses it first, while that runs; then to
    the next. A task that is cancelled cancels its request; a write that was sent may have happened.

    Three operations have no form without waiting, and run in the loop's own executor: `fence()`, `dependents()`, `published()`.

    async with AsyncCache("postgresql://localhost/shop") as cache:
        await cache.put("greeting", {"text": "hello"}, ttl=60)
        await cache.get("greeting")
    """

    def _view(self, shared: Shared) -> None:
        super()._view(shared)
        self._requests = shared.requests

    async def close(self) -> None:
        self._shared.close()
        await self._requests.drain()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, failure: BaseException | None, where: TracebackType | None) -> None:
        await self.close()

    @property
    def sync(self) -> Cache:
        """The same cache for code that waits: the same connections and near cache."""
        view = Cache.__new__(Cache)
        view._view(self._shared)
        return view

    async def _do(
        self, submit: Callable[..., Any], read: Callable[[Owned], Any], subject: Any, *arguments: Any, key: Key | None = None
    ) -> Any:
        """key: what the end of a load writes."""
        writes = None if submit in _READS else arguments[0] if submit in _KEYED else _requests.EVERY_KEY if key is None else key
        if not self._providers:
            return read(await self._requests.complete(submit, subject, *arguments, writes=writes))
        with observed(self._providers, submit.__name__, arguments) as note:
            note.result = read(await self._requests.complete(submit, subject, *arguments, writes=writes))
        return note.result

    async def _wait(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """One of those that have no form without waiting."""
        if not self._providers:
            return await asyncio.to_thread(function, self._handle, *arguments)
        with observed(self._providers, function.__name__, arguments) as note:
            note.result = await asyncio.to_thread(function, self._handle, *arguments)
        return note.result

    # ---- One key -------------------------------------------------------------------------------------------------------------

    async def get(self, key: Key, default: D | None = None, **options: Unpack[ReadOptions]) -> Any | D:
        packed = pack(**options) if options else None
        if not self._providers and not self._requests.behind(key) and (packed is None or packed[3] == _pgcache.READ_NEAR):
            near = _near(self._handle, key, packed)
            if near is not None:
                return near if isinstance(near, bytes) else self._codec.decode(*near)
        found = (await self._do(_pgcache.submit_get, _requests.value, self._handle, key, packed))[1]
        return default if found is None else self._found(found)

    async def get_entry(self, key: Key, **options: Unpack[ReadOptions]) -> Entry | None:
        found = (await self._do(_pgcache.submit_get, _requests.value, self._handle, key, pack(**options)))[1]
        return None if found is None else entry_of(found, self._codec.decode)

    async def get_into(self, key: Key, buffer: Any, **options: Unpack[ReadOptions]) -> int | None:
        found = (await self._do(_pgcache.submit_get, _requests.value, self._handle, key, pack(**options)))[1]
        if found is None:
            return None
        with memoryview(buffer).cast("B") as room:
            if len(found[0]) <= len(room):
                room[: len(found[0])] = found[0]
        return len(found[0])

    async def exists(self, key: Key, **options: Unpack[ReadOptions]) -> bool:
        return bool(await self._do(_pgcache.submit_exists, _requests.status, self._handle, key, pack(**options)) == Status.OK)

    async def put(self, key: Key, value: Any, ttl: Duration | None = None, **options: Unpack[WriteOptions]) -> int:
        data, format = self._codec.encode(value)
        arguments = key, data, format, ttl_ms(ttl), pack(**options)
        return int((await self._do(_pgcache.submit_put, _requests.version, self._handle, *arguments))[1])

    async def add(self, key: Key, value: Any, ttl: Duration | None = None, **options: Unpack[WriteOptions]) -> int | None:
        data, format = self._codec.encode(value)
        arguments = key, data, format, ttl_ms(ttl), pack(**options)
        status, version = await self._do(_pgcache.submit_add, _requests.version, self._handle, *arguments)
        return int(version) if status == Status.OK else None

    async def replace(self, key: Key, value: Any, ttl: Duration | None = None, **options: Unpack[WriteOptions]) -> int | None:
        data, format = self._codec.encode(value)
        arguments = key, data, format, ttl_ms(ttl), pack(**options)
        status, version = await self._do(_pgcache.submit_replace, _requests.version, self._handle, *arguments)
        return int(version) if status == Status.OK else None

    async def compare_and_swap(
        self, key: Key, value: Any, expected: int, ttl: Duration | None = None, **options: Unpack[WriteOptions]
    ) -> Swap:
        data, format = self._codec.encode(value)
        arguments = key, data, format, ttl_ms(ttl), expected, pack(**options)
        status, version = await self._do(_pgcache.submit_compare_and_swap, _requests.version, self._handle, *arguments)
        return Swap(version, status != Status.MISS)

    async def remove(self, key: Key, **options: Unpack[Options]) -> bool:
        return bool(await self._do(_pgcache.submit_remove, _requests.status, self._handle, key, pack(**options)) == Status.OK)

    async def touch(self, key: Key, ttl: Duration | None = None, **options: Unpack[Options]) -> int | None:
        arguments = key, ttl_ms(ttl), pack(**options)
        status, version = await self._do(_pgcache.submit_touch, _requests.version, self._handle, *arguments)
        return int(version) if status == Status.OK else None

    async def increment(
        self, key: Key, delta: int = 1, *, initial: int = 0, ttl: Duration | None = None, **options: Unpack[Options]
    ) -> int:
        arguments = key, delta, initial, ttl_ms(ttl), pack(**options)
        return int((await self._do(_pgcache.submit_increment, _requests.counter, self._handle, *arguments))[1])

    async def decrement(
        self, key: Key, delta: int = 1, *, initial: int = 0, ttl: Duration | None = None, **options: Unpack[Options]
    ) -> int:
        return await self.increment(key, -delta, initial=initial, ttl=ttl, **options)

    # ---- Many keys -----------------------------------------------------------------------------------------------------------

    async def get_many(self, keys: Iterable[Key], **options: Unpack[ReadOptions]) -> dict[Key, Any]:
        names = names_of(keys)
        _, items = await self._do(_pgcache.submit_get_many, _requests.items, self._handle, names, pack(**options))
        return {name: self._found(found) for name, (_, _, found) in zip(names, items) if found is not None}

    async def put_many(
        self,
        entries: Mapping[Key, Any] | Iterable[tuple[Key, Any]],
        ttl: Duration | None = None,
        **options: Unpack[WriteOptions],
    ) -> dict[Key, int]:
        pairs = pairs_of(entries)
        span = ttl_ms(ttl)
        batch = [(key, data, span, format) for key, value in pairs for data, format in (self._codec.encode(value),)]
        _, items = await self._do(_pgcache.submit_put_many, _requests.items, self._handle, batch, pack(**options))
        return {key: version for (key, _), (_, version, _) in zip(pairs, items)}

    async def remove_many(self, keys: Iterable[Key], **options: Unpack[Options]) -> int:
        arguments = names_of(keys), pack(**options)
        _, items = await self._do(_pgcache.submit_remove_many, _requests.items, self._handle, *arguments)
        return sum(status == Status.OK for status, _, _ in items)

    # ---- Loads ---------------------------------------------------------------------------------------------------------------

    @overload
    async def get_or_load(
        self, key: Key, load: Callable[[], Awaitable[T | Absent]], default: D | None = None, **how: Unpack[LoadOptions]
    ) -> T | D | None: ...

    @overload
    async def get_or_load(
        self, key: Key, load: Callable[[], T | Absent], default: D | None = None, **how: Unpack[LoadOptions]
    ) -> T | D | None: ...

    async def get_or_load(self, key: Key, load: Callable[[], Any], default: Any = None, **how: Unpack[LoadOptions]) -> Any:
        """The value of a key; if there is none, what `load` gives, which is stored: see `Cache.get_or_load()`. load may be a coroutine
        function. What is refreshed in the background is by a task of the cache's own, which a caller that is cancelled does not end."""
        return await get_or_load_async(self, key, load, default, Plan(how))

    async def load_begin(self, key: Key, **how: Unpack[LoadOptions]) -> AsyncLoad:
        plan = Plan(how)
        arguments = key, plan.how, plan.options
        return AsyncLoad(self, plan, await self._do(_pgcache.submit_load_begin, _requests.lease, self._handle, *arguments))

    async def invalidate(self, *, tags: Iterable[Key] = (), keys: Iterable[Key] = (), **options: Unpack[Options]) -> None:
        arguments = dependencies(tags, keys), pack(**options)
        await self._do(_pgcache.submit_invalidate, _requests.status, self._handle, *arguments)

    async def dependents(self, *, tags: Iterable[Key] = (), keys: Iterable[Key] = (), **options: Unpack[Options]) -> Dependents:
        _, found = await self._wait(_pgcache.dependents, dependencies(tags, keys), pack(**options))
        return Dependents(**json.loads(found[0]))

    async def fence(self, **options: Unpack[Options]) -> None:
        await self._wait(_pgcache.fence, pack(**options))

    # ---- The cache as a whole ------------------------------------------------------------------------------------------------

    async def init(self, **options: Unpack[Options]) -> bool:
        return bool(await self._do(_pgcache.submit_init, _requests.status, self._handle, pack(**options)) == Status.OK)

    async def upgrade(self, **options: Unpack[Options]) -> bool:
        return bool(await self._do(_pgcache.submit_upgrade, _requests.status, self._handle, pack(**options)) == Status.OK)

    async def flush(self, *, all: bool = False, **options: Unpack[Options]) -> int:
        scope = _pgcache.FLUSH_ALL if all else _pgcache.FLUSH_NAMESPACE
        return int((await self._do(_pgcache.submit_flush, _requests.number, self._handle, scope, pack(**options)))[1])

    async def cleanup(self, **options: Unpack[Options]) -> int:
        return int((await self._do(_pgcache.submit_cleanup, _requests.number, self._handle, pack(**options)))[1])

    async def cleanup_some(
        self, budget: Duration, before: Cleaned | None = None, *, restart: bool = False, **options: Unpack[Options]
    ) -> Cleaned:
        past = before or Cleaned()
        progress = int(restart), past.removed, past.evicted
        arguments = progress, milliseconds(budget), pack(**options)
        raw = (await self._do(_pgcache.submit_cleanup_some, _requests.progress, self._handle, *arguments))[1]
        return Cleaned.of(raw)

    def janitor(self, interval: Duration) -> AsyncJanitor:
        return AsyncJanitor(_pgcache.janitor_start(self._handle, interval_ms(interval))[1])

    async def set_limits(
        self,
        *,
        max_entries: int | None = None,
        max_bytes: int | None = None,
        all: bool = False,
        **options: Unpack[Options],
    ) -> None:
        scope = _pgcache.LIMIT_ALL if all else _pgcache.LIMIT_NAMESPACE
        limits = (_pgcache.LIMIT_KEEP if limit is None else limit for limit in (max_entries, max_bytes))
        await self._do(_pgcache.submit_set_limits, _requests.status, self._handle, scope, *limits, pack(**options))

    async def usage(self, **options: Unpack[Options]) -> AsyncIterator[Usage]:
        after, packed = None, pack(**options)
        while True:
            arguments = PAGE, after, packed
            _, page = await self._do(_pgcache.submit_read_usage, _requests.usages, self._handle, *arguments)
            for usage in page:
                yield Usage.of(usage)
            if len(page) < PAGE:
                return
            after = page[-1]["namespace_name"]

    async def keys(self, prefix: Key = b"", after: Key = b"", **options: Unpack[Options]) -> AsyncIterator[KeyInfo]:
        packed = pack(**options)
        while True:
            arguments = PAGE, prefix, after, packed
            _, page = await self._do(_pgcache.submit_keys, _requests.values, self._handle, *arguments)
            for key in page:
                yield key_info(key)
            if len(page) < PAGE:
                return
            after = page[-1][0]

    async def stats(self, **options: Unpack[Options]) -> StoreStats:
        return StoreStats.of((await self._do(_pgcache.submit_stats, _requests.stats, self._handle, pack(**options)))[1])

    async def doctor(self, **options: Unpack[Options]) -> dict[str, Any]:
        found = (await self._do(_pgcache.submit_doctor, _requests.value, self._handle, pack(**options)))[1]
        report: dict[str, Any] = json.loads(found[0])
        return report

    async def published(self, **options: Unpack[Options]) -> list[Snapshot]:
        found: list[Snapshot] = []
        packed = pack(**options)
        while True:
            after = found[-1].origin if found else None
            _, page = await self._wait(_pgcache.read_published, PAGE, after, packed)
            found += map(Snapshot, page)
            if len(page) < PAGE:
                return found


for _name, _member in vars(AsyncCache).items():
    if not _name.startswith("_") and callable(_member) and not _member.__doc__:
        _member.__doc__ = getattr(Cache, _name).__doc__
