"""`get_or_load()`: a value, or the lease to compute it; for callers that wait, and, line by line the same, for event loops.

Never lets a failure of the cache become one of the caller: what was loaded is given, whether it could be stored or not.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import enum
import inspect
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, Union

from . import _pgcache, _requests
from ._load import GOES_ON, after_failed_request, after_failure
from ._status import Status
from .errors import Busy, Closed, Error

if TYPE_CHECKING:
    from ._options import Key, Plan
    from ._pgcache import Owned, RawValue
    from .aio import AsyncCache
    from .cache import Cache

T = TypeVar("T")
log = logging.getLogger("pgcache")


class Absent(enum.Enum):
    """The type of `ABSENT`."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT
"""What a load gives if there is no value: that is remembered for `absent_ttl`. (None is a value, and cached as one.)"""

Loader = Callable[[], Union[T, Absent]]


class Uncached:
    """What a load gives for a value that is not to be cached: the caller gets it, and the lease is given back."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def _busy() -> Busy:
    return Busy("somebody else is loading this entry, and did not end in time")


def _refresh_failed(failure: BaseException) -> None:
    log.warning("a refresh in the background failed: %s", type(failure).__name__)


def _ended_late(job: Any) -> None:
    """For a job whose caller has something stale instead."""
    failure = None if job.cancelled() else job.exception()
    if failure is not None:
        _refresh_failed(failure)


# ---- For callers that wait ---------------------------------------------------------------------------------------------------


def get_or_load(cache: Cache, key: Key, load: Callable[[], Any], default: Any, plan: Plan) -> Any:
    """See `Cache.get_or_load()`."""
    if not cache._providers and not plan.early:
        near = _pgcache.near(cache._handle, key, plan.options)
        if near is not None:
            return near if isinstance(near, bytes) else cache._codec.decode(*near)
    status, found, lease = cache._do(_pgcache.load_begin, cache._handle, key, plan.how, plan.options)
    if found is not None:
        if lease is not None:
            _refresh(cache, lease, load, plan)
        return cache._found(found)
    if lease is None:
        if status == Status.MISS:
            return default
        raise _busy()
    job = cache._shared.workers.submit(_load, cache, lease, load, default, plan) if plan.fail_safe else None
    if job is None:
        return _load(cache, lease, load, default, plan)
    if not _ends(job, _patience(cache, plan)):
        stale = _stand_in(cache, key, plan)
        if stale is not None:
            job.add_done_callback(_ended_late)
            return cache._found(stale)
    _ends(job, None)
    if job.cancelled():
        raise Closed("the cache was closed")
    return job.result()


def _ends(job: concurrent.futures.Future[Any], seconds: float | None) -> bool:
    """Waits for a job's end. (concurrent.futures.wait() would not see that it is cancelled.)"""
    try:
        job.exception(seconds)
    except concurrent.futures.TimeoutError:
        return False
    except concurrent.futures.CancelledError:
        pass
    return True


def _patience(cache: Cache | AsyncCache, plan: Plan) -> float:
    """How long a load may take, in seconds, before something stale is given instead."""
    milliseconds = plan.how[6]
    if milliseconds == _pgcache.DEADLINE_DEFAULT:
        milliseconds = plan.options[0] if plan.options is not None else milliseconds
    return (int(cache._shared.setting("timeout_ms")) if milliseconds < 0 else milliseconds) / 1000


def _stand_in(cache: Cache, key: Key, plan: Plan) -> RawValue | None:
    """What others who ask meanwhile get, without waiting: something stale, if there is anything."""
    try:
        _, found, other = _pgcache.load_begin(cache._handle, key, plan.at_once, plan.options)
        if other is not None:  # our lease is over already
            _pgcache.load_abandon(other, plan.options)
        return found
    except Error:
        return None


def _refresh(cache: Cache, lease: Owned, load: Callable[[], Any], plan: Plan) -> None:
    def refresh() -> None:
        try:
            _load(cache, lease, load, None, plan)
        except Exception as failure:
            _refresh_failed(failure)

    workers = cache._shared.workers
    if workers.inside:
        refresh()
    elif workers.submit(refresh) is None:  # there is too much to do: whoever asks next may try
        _give_back(cache, lease, plan)


def _load(cache: Cache, lease: Owned, load: Callable[[], Any], default: Any, plan: Plan) -> Any:
    try:
        loaded = load()
    except Exception:
        stale = _fail(cache, lease, plan)
        if stale is None:
            raise
        return cache._found(stale)
    except BaseException:
        _give_back(cache, lease, plan)
        raise
    if isinstance(loaded, Uncached):
        _give_back(cache, lease, plan)
        return loaded.value
    if loaded is ABSENT:
        _store(cache, lease, plan, _pgcache.load_fill_absent, plan.options)
        return default
    try:
        data, format = cache._codec.encode(loaded)
    except BaseException:
        _give_back(cache, lease, plan)
        raise
    _store(cache, lease, plan, _pgcache.load_fill, data, format, plan.ending)
    return cache._codec.decode(data, format)


def _store(cache: Cache, lease: Owned, plan: Plan, fill: Callable[..., Any], *arguments: Any) -> None:
    """Ends a load with what was loaded. That it could not be stored does not concern the caller, unless he told something wrong."""
    try:
        cache._do(fill, lease, *arguments)
    except Error as failure:
        if failure.status in GOES_ON:
            _give_back(cache, lease, plan)
        if failure.status == Status.INVALID:
            raise


def _fail(cache: Cache, lease: Owned, plan: Plan) -> RawValue | None:
    try:
        found: RawValue | None = cache._do(_pgcache.load_fail, lease, plan.options)[1]
        return found
    except Error as failure:
        return after_failure(failure)


def _give_back(cache: Cache, lease: Owned, plan: Plan) -> None:
    try:
        cache._do(_pgcache.load_abandon, lease, plan.options)
    except Error:
        pass  # its time runs out


# ---- The same for event loops ------------------------------------------------------------------------------------------------


async def get_or_load_async(cache: AsyncCache, key: Key, load: Callable[[], Any], default: Any, plan: Plan) -> Any:
    """See `AsyncCache.get_or_load()`."""
    if not cache._providers and not plan.early and not cache._requests.behind(key):
        near = _pgcache.near(cache._handle, key, plan.options)
        if near is not None:
            return near if isinstance(near, bytes) else cache._codec.decode(*near)
    status, found, lease = await _begin(cache, key, plan.how, plan)
    if found is not None:
        if lease is not None:
            cache._requests.background(_refresh_async(cache, key, lease, load, plan))
        return cache._found(found)
    if lease is None:
        if status == Status.MISS:
            return default
        raise _busy()
    if not plan.fail_safe:
        return await _load_async(cache, key, lease, load, default, plan)
    job = cache._requests.background(_load_async(cache, key, lease, load, default, plan))
    try:
        done, _ = await asyncio.wait([job], timeout=_patience(cache, plan))
        stale = None if done else await _stand_in_async(cache, key, plan)
        if stale is None:
            await asyncio.wait([job])
    except asyncio.CancelledError:  # the load goes on
        job.add_done_callback(_ended_late)
        raise
    if stale is not None:
        job.add_done_callback(_ended_late)
        return cache._found(stale)
    if job.cancelled() and cache.closed:
        raise Closed("the cache was closed")
    return job.result()


async def _begin(cache: AsyncCache, key: Key, how: Any, plan: Plan) -> tuple[int, RawValue | None, Owned | None]:
    begun: tuple[int, RawValue | None, Owned | None] = await cache._do(
        _pgcache.submit_load_begin, _requests.lease, cache._handle, key, how, plan.options
    )
    return begun


async def _stand_in_async(cache: AsyncCache, key: Key, plan: Plan) -> RawValue | None:
    try:
        arguments = cache._handle, key, plan.at_once, plan.options
        _, found, other = _requests.lease(await cache._requests.complete(_pgcache.submit_load_begin, *arguments))
        if other is not None:
            await _give_back_async(cache, other, plan)
        return found
    except Error:
        return None


async def _refresh_async(cache: AsyncCache, key: Key, lease: Owned, load: Callable[[], Any], plan: Plan) -> None:
    try:
        await _load_async(cache, key, lease, load, None, plan)
    except Exception as failure:
        _refresh_failed(failure)


async def _load_async(cache: AsyncCache, key: Key, lease: Owned, load: Callable[[], Any], default: Any, plan: Plan) -> Any:
    try:
        loaded = load()
        if inspect.isawaitable(loaded):
            loaded = await loaded
    except Exception:
        stale = await _fail_async(cache, key, lease, plan)
        if stale is None:
            raise
        return cache._found(stale)
    except BaseException:  # cancelled: nobody waits for what becomes of it
        _requests.let_go(lease, plan.options)
        raise
    if isinstance(loaded, Uncached):
        await _give_back_async(cache, lease, plan)
        return loaded.value
    if loaded is ABSENT:
        await _store_async(cache, key, lease, plan, _pgcache.submit_load_fill_absent, plan.options)
        return default
    try:
        data, format = cache._codec.encode(loaded)
    except Exception:
        await _give_back_async(cache, lease, plan)
        raise
    except BaseException:
        _requests.let_go(lease, plan.options)
        raise
    await _store_async(cache, key, lease, plan, _pgcache.submit_load_fill, data, format, plan.ending)
    return cache._codec.decode(data, format)


async def _store_async(cache: AsyncCache, key: Key, lease: Owned, plan: Plan, fill: Callable[..., Any], *arguments: Any) -> None:
    try:
        await cache._do(fill, _requests.version, lease, *arguments, key=key)
    except Error as failure:
        if failure.status in GOES_ON:
            await _give_back_async(cache, lease, plan)
        if failure.status == Status.INVALID:
            raise


async def _fail_async(cache: AsyncCache, key: Key, lease: Owned, plan: Plan) -> RawValue | None:
    try:
        found: RawValue | None = (await cache._do(_pgcache.submit_load_fail, _requests.value, lease, plan.options, key=key))[1]
        return found
    except Error as failure:
        if _requests.was_refused(failure):
            _requests.let_go(lease, plan.options)
        return after_failed_request(failure)


async def _give_back_async(cache: AsyncCache, lease: Owned, plan: Plan) -> None:
    try:
        await cache._do(_pgcache.submit_load_abandon, _requests.status, lease, plan.options)
    except Error as failure:
        if _requests.was_refused(failure):
            _requests.let_go(lease, plan.options)
