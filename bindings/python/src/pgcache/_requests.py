"""Requests of an event loop: submitted at once, completed through the library's descriptor. No threads.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import weakref
from typing import TYPE_CHECKING, Any

from . import _pgcache
from .errors import Error, make

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from ._pgcache import Owned

_AT_ONCE = 1000  # completions taken before others of the loop get their turn


class Requests:
    """The requests of one handle and one event loop at a time. Belongs to the loop's thread."""

    def __init__(self, handle: Owned) -> None:
        self._handle = handle
        self._waiting: dict[int, asyncio.Future[Owned]] = {}
        self._writes: set[int] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fd = -1
        self._process = os.getpid()

    @property
    def writing(self) -> bool:
        """True while a write is under way, so that reads have to keep behind it."""
        return bool(self._writes)

    async def complete(self, submit: Callable[..., tuple[int, int]], *arguments: Any, writes: bool = False) -> Owned:
        """Submits a request and waits for its completion. A task that is cancelled meanwhile cancels it."""
        loop = self._attach()
        _, request = submit(*arguments)
        future: asyncio.Future[Owned] = loop.create_future()
        self._waiting[request] = future
        if writes:
            self._writes.add(request)
        try:
            completion = await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                _drop(future.result())
            else:
                future.cancel()
                _pgcache.cancel(self._handle, request)
            raise
        _check(completion)
        return completion

    def background(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task of the cache's own, which whoever began it does not take with him."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _attach(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if self._loop is loop and self._process == os.getpid():
            return loop
        if self._process != os.getpid():  # the parent's requests are not the child's
            self._process = os.getpid()
            self._waiting.clear()
            self._writes.clear()
        elif self._loop is not None and not self._loop.is_closed():
            if self._waiting:
                raise RuntimeError("this AsyncCache has requests under way in another event loop")
            _detach(self._loop, self._fd, self._handle)
        else:  # a loop that was closed without its tasks
            self._waiting.clear()
        _, self._fd = _pgcache.event_fd(self._handle)
        itself: weakref.ref[Requests] = weakref.ref(self)
        loop.add_reader(self._fd, _take, itself)
        self._loop = loop
        return loop

    def take(self) -> None:
        """Gives the completions that are there to those who wait for them."""
        for _ in range(_AT_ONCE):
            status, completion = _pgcache.take(self._handle)
            if status != _pgcache.OK:
                return
            request = _pgcache.completion_id(completion)
            self._writes.discard(request)
            future = self._waiting.pop(request, None)
            if future is None or future.done():
                _drop(completion)
            else:
                future.set_result(completion)

    async def drain(self) -> None:
        """Ends what is in the background, waits until nothing is under way, and gives the descriptor back to the loop."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop or self._process != os.getpid():
            return
        for task in self._tasks:
            task.cancel()
        while self._waiting:
            await asyncio.sleep(0.001)
        _detach(loop, self._fd, self._handle)
        self._loop = None

    def __del__(self) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed() and self._process == os.getpid():
            try:
                loop.call_soon_threadsafe(_detach, loop, self._fd, self._handle)
            except RuntimeError:  # closed meanwhile
                pass


def _take(requests: weakref.ref[Requests]) -> None:
    living = requests()
    if living is not None:
        living.take()


def _detach(loop: asyncio.AbstractEventLoop, fd: int, handle: Owned) -> None:
    """handle: keeps the descriptor until the loop has let go of it, or else its number could be another's."""
    if not loop.is_closed():
        loop.remove_reader(fd)


def _drop(completion: Owned) -> None:
    """What nobody waits for any more. A lease is given back without waiting, as freeing it would."""
    load = _pgcache.completion_load(completion)
    if load is not None:
        with contextlib.suppress(Error):  # then its time runs out
            _pgcache.submit_load_abandon(load, None)


def _check(completion: Owned) -> None:
    status = _pgcache.completion_status(completion)
    if status < 0:
        message, sqlstate = _pgcache.completion_message(completion), _pgcache.completion_sqlstate(completion)
        raise make(status, message or _pgcache.status_text(status), sqlstate, completion)


# ---- What completions hold, in the form in which the raw layer's functions that wait give it ---------------------------------------


def status(completion: Owned) -> int:
    return _pgcache.completion_status(completion)


def version(completion: Owned) -> tuple[int, int]:
    return _pgcache.completion_status(completion), _pgcache.completion_version(completion)


def number(completion: Owned) -> tuple[int, int]:
    return _pgcache.completion_status(completion), _pgcache.completion_number(completion)


def counter(completion: Owned) -> tuple[int, int, int]:
    return (
        _pgcache.completion_status(completion),
        _pgcache.completion_number(completion),
        _pgcache.completion_version(completion),
    )


def value(completion: Owned) -> tuple[int, _pgcache.RawValue | None]:
    return _pgcache.completion_status(completion), _pgcache.completion_value(completion, 0)


def lease(completion: Owned) -> tuple[int, _pgcache.RawValue | None, Owned | None]:
    found = _pgcache.completion_value(completion, 0)
    return _pgcache.completion_status(completion), found, _pgcache.completion_load(completion)


def items(completion: Owned) -> tuple[int, list[_pgcache.RawItem]]:
    count = _pgcache.completion_count(completion)
    return status(completion), [_pgcache.completion_item(completion, index) for index in range(count)]


def values(completion: Owned) -> tuple[int, list[_pgcache.RawValue]]:
    count = _pgcache.completion_count(completion)
    found = [_pgcache.completion_value(completion, index) for index in range(count)]
    return status(completion), [one for one in found if one is not None]


def stats(completion: Owned) -> tuple[int, dict[str, int]]:
    return status(completion), _pgcache.completion_stats(completion)


def usages(completion: Owned) -> tuple[int, list[dict[str, Any]]]:
    count = _pgcache.completion_count(completion)
    return status(completion), [_pgcache.completion_usage(completion, index) for index in range(count)]


def progress(completion: Owned) -> tuple[int, dict[str, int]]:
    return status(completion), _pgcache.completion_progress(completion)
