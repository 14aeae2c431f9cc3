"""Loads by hand: what `get_or_load()` does, one step at a time. SPDX-License-Identifier: MIT"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from . import _pgcache, _requests
from ._options import Duration, Key, Plan, milliseconds
from ._records import Entry, entry_of
from ._status import Status
from .errors import Error, InvalidArgument

if TYPE_CHECKING:
    from ._pgcache import Owned, RawValue
    from .aio import AsyncCache
    from .cache import Cache

GOES_ON = (Status.INVALID, Status.TOO_LARGE, Status.QUEUE_FULL)  # the load that was to be ended with that


class _Base:
    def __init__(self, cache: Any, plan: Plan, begun: tuple[int, RawValue | None, Owned | None]) -> None:
        status, found, self._lease = begun
        self._cache = cache
        self._plan = plan
        self.status = Status(status)
        """OK (fresh), STALE, LEASE (there is no value, and the lease is ours), MISS (there is none, as is known), BUSY."""
        self.entry: Entry | None = None if found is None else entry_of(found, cache._codec.decode)
        """The entry, with OK and STALE."""

    @property
    def leased(self) -> bool:
        """True while the lease is ours: compute the value, and end the load. With OK and STALE too, for whoever is to refresh."""
        return self._lease is not None

    def _take(self) -> Owned:
        lease, self._lease = self._lease, None
        if lease is None:
            raise InvalidArgument("this load has no lease, or has ended")
        return lease

    def _held(self) -> Owned:
        if self._lease is None:
            raise InvalidArgument("this load has no lease, or has ended")
        return self._lease

    def _stands_in(self, found: RawValue | None) -> Entry | None:
        return None if found is None else entry_of(found, self._cache._codec.decode)


def after_failure(failure: Error) -> RawValue | None:
    """What stands in although the server could not be told that a load failed."""
    return failure.outputs[1] if isinstance(failure.outputs, tuple) else None


def after_failed_request(failure: Error) -> RawValue | None:
    """The same of a request, which has a completion, unless it was refused."""
    completion = failure.outputs
    return _pgcache.completion_value(completion, 0) if isinstance(completion, _pgcache.Owned) else None


class Load(_Base):
    """A key whose value was found, or is to be loaded by us; of `Cache.load_begin()`. One thread at a time.

    with cache.load_begin("report", ttl=3600) as load:
        if load.leased:
            load.fill(compute())

    A lease that is still there at the end of the block is given back."""

    _cache: Cache

    def fill(self, value: Any, *, tags: Iterable[Key] = (), keys: Iterable[Key] = ()) -> int | None:
        """Stores what was loaded, and ends the load; who waits for it gets it. tags and keys: instead of those of the beginning.

        Gives the version, or None: refused, because the lease was over, or the entry was written or invalidated meanwhile. Raises
        `InvalidArgument`, `TooLarge`, `SerializationError` (the load goes on), or what writes raise."""
        data, format = self._cache._codec.encode(value)
        status, version = self._end(_pgcache.load_fill, data, format, self._plan.ending_with(tags, keys))
        return version if status == Status.OK else None

    def fill_absent(self) -> bool:
        """There is no value: that is remembered for `absent_ttl`. False: refused. Raises what writes raise."""
        return bool(self._end(_pgcache.load_fill_absent, self._plan.options)[0] == Status.OK)

    def fail(self) -> Entry | None:
        """The load failed, and ends. Gives a stale entry that may stand in, or None. Raises only if there is none."""
        try:
            return self._stands_in(self._end(_pgcache.load_fail, self._plan.options)[1])
        except Error as failure:
            found = after_failure(failure)
            if found is None:
                raise
            return self._stands_in(found)

    def abandon(self) -> None:
        """Gives the lease back: the next who asks gets it. No lease: nothing happens."""
        if self._lease is not None:
            self._cache._do(_pgcache.load_abandon, self._take(), self._plan.options)

    def extend(self, lease: Duration) -> bool:
        """Makes the lease last for so long from now. False: it is over."""
        return bool(self._cache._do(_pgcache.load_extend, self._held(), milliseconds(lease), self._plan.options) == Status.OK)

    def _end(self, function: Callable[..., Any], *arguments: Any) -> Any:
        lease = self._take()
        try:
            return self._cache._do(function, lease, *arguments)
        except Error as failure:
            if failure.status in GOES_ON:
                self._lease = lease
            raise

    def __enter__(self) -> Load:
        return self

    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, where: TracebackType | None) -> None:
        with contextlib.suppress(Error):  # then its time runs out
            self.abandon()


class AsyncLoad(_Base):
    """A key whose value was found, or is to be loaded by us; of `AsyncCache.load_begin()`. One task at a time.

    async with await cache.load_begin("report", ttl=3600) as load:
        if load.leased:
            await load.fill(await compute())

    A lease that is still there at the end of the block is given back."""

    _cache: AsyncCache

    async def fill(self, value: Any, *, tags: Iterable[Key] = (), keys: Iterable[Key] = ()) -> int | None:
        """Stores what was loaded, and ends the load; who waits for it gets it. tags and keys: instead of those of the beginning.

        Gives the version, or None: refused, because the lease was over, or the entry was written or invalidated meanwhile. Raises
        `InvalidArgument`, `TooLarge`, `SerializationError` (the load goes on), or what writes raise."""
        data, format = self._cache._codec.encode(value)
        arguments = data, format, self._plan.ending_with(tags, keys)
        status, version = await self._end(_pgcache.submit_load_fill, _requests.version, *arguments)
        return version if status == Status.OK else None

    async def fill_absent(self) -> bool:
        """There is no value: that is remembered for `absent_ttl`. False: refused. Raises what writes raise."""
        ended = await self._end(_pgcache.submit_load_fill_absent, _requests.version, self._plan.options)
        return bool(ended[0] == Status.OK)

    async def fail(self) -> Entry | None:
        """The load failed, and ends. Gives a stale entry that may stand in, or None. Raises only if there is none."""
        try:
            return self._stands_in((await self._end(_pgcache.submit_load_fail, _requests.value, self._plan.options))[1])
        except Error as failure:
            found = after_failed_request(failure)
            if found is None:
                raise
            return self._stands_in(found)

    async def abandon(self) -> None:
        """Gives the lease back: the next who asks gets it. No lease: nothing happens."""
        if self._lease is not None:
            await self._cache._do(_pgcache.submit_load_abandon, _requests.status, self._take(), self._plan.options)

    async def extend(self, lease: Duration) -> bool:
        """Makes the lease last for so long from now. False: it is over."""
        arguments = self._held(), milliseconds(lease), self._plan.options
        return bool(await self._cache._do(_pgcache.submit_load_extend, _requests.status, *arguments) == Status.OK)

    async def _end(self, submit: Callable[..., Any], read: Callable[[Owned], Any], *arguments: Any) -> Any:
        lease = self._take()
        try:
            return await self._cache._do(submit, read, lease, *arguments)
        except Error as failure:
            if failure.status in GOES_ON:
                self._lease = lease
            raise

    async def __aenter__(self) -> AsyncLoad:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, failure: BaseException | None, where: TracebackType | None) -> None:
        with contextlib.suppress(Error):  # then its time runs out
            await self.abandon()

    def __del__(self) -> None:
        """Freeing the lease would wait for the server, and the loop with it."""
        if self._lease is not None:
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                return
            _requests.let_go(self._lease, None)
