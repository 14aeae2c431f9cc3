"""Requests of an event loop: submitted at once, completed through the library's descriptor. No threads.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import weakref
from collections import Counter
from typing import TYPE_CHECKING, Any

from . import _pgcache
from ._status import Status
from .errors import Error, make

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from ._options import Key
    from ._pgcache import Owned, RawOptions

_AT_ONCE = 1000  # completions taken before others of the loop get their turn

EVERY_KEY = b""
"""Stands for all keys: no entry has this one."""


def _bytes(key: Key) -> bytes:
    return key.encode() if isinstance(key, str) else bytes(memoryview(key))


class Locks:
    """A lock that a forked child finds open, whatever its parent was at."""

    def __init__(self) -> None:
        self._of: dict[int, threading.Lock] = {}

    @property
    def lock(self) -> threading.Lock:
        """This process's."""
        return self._of.setdefault(os.getpid(), threading.Lock())


class Requests:
    """The requests of one handle and one event loop at a time. Belongs to the loop's thread."""

    def __init__(self, handle: Owned) -> None:
        self._handle = handle
        self._waiting: dict[int, asyncio.Future[Owned]] = {}
        self._writes: dict[int, bytes] = {}
        self._written: Counter[bytes] = Counter()
        self._moves = Locks()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fd = -1
        self._process = os.getpid()

    def behind(self, key: Key) -> bool:
        """Whether a write of a key is under way, so that a read of it has to keep behind that. (Of whatever namespace.)"""
        return bool(self._written) and (EVERY_KEY in self._written or _bytes(key) in self._written)

    async def complete(self, submit: Callable[..., tuple[int, int]], *arguments: Any, writes: Key | None = None) -> Owned:
        """Submits a request and waits for its completion. A task that is cancelled meanwhile cancels it. writes: the key that it
        changes, or EVERY_KEY."""
        loop = self._attach()
        _, request = submit(*arguments)
        future: asyncio.Future[Owned] = loop.create_future()
        self._waiting[request] = future
        if writes is not None:
            self._writes[request] = written = _bytes(writes)
            self._written[written] += 1
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
        with self._moves.lock:
            if self._process != os.getpid():  # the parent's requests are not the child's
                self._process = os.getpid()
                self._forget()
            elif self._loop is not None and not self._loop.is_closed():
                if self._loop.is_running():  # in another thread, whose business it is
                    raise RuntimeError("this AsyncCache belongs to another event loop, which runs")
                self.take()
                if self._waiting:
                    raise RuntimeError("this AsyncCache has requests under way in another event loop")
                _detach(self._loop, self._fd, self._handle)
            else:  # a loop that was closed without its tasks
                self._forget()
            _, self._fd = _pgcache.event_fd(self._handle)
            itself: weakref.ref[Requests] = weakref.ref(self)
            loop.add_reader(self._fd, _take, itself)
            self._loop = loop
        return loop

    def _forget(self) -> None:
        self._waiting.clear()
        self._writes.clear()
        self._written.clear()

    def take(self) -> None:
        """Gives the completions that are there to those who wait for them."""
        for _ in range(_AT_ONCE):
            status, completion = _pgcache.take(self._handle)
            if status != _pgcache.OK:
                return
            request = _pgcache.completion_id(completion)
            written = self._writes.pop(request, None)
            if written is not None:
                self._written[written] -= 1
                if not self._written[written]:
                    del self._written[written]
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
    """What nobody waits for any more."""
    load = _pgcache.completion_load(completion)
    if load is not None:
        let_go(load, None)


def let_go(load: Owned, options: RawOptions | None) -> None:
    """Gives a lease back that nobody needs any more: without waiting, as freeing it would."""
    try:
        _pgcache.submit_load_abandon(load, options)
    except Error as failure:
        if failure.status != Status.CLOSED:
            with contextlib.suppress(RuntimeError):  # there is no loop: it waits
                asyncio.get_running_loop().run_in_executor(None, _abandon, load, options)


def _abandon(load: Owned, options: RawOptions | None) -> None:
    with contextlib.suppress(Error):  # then its time runs out
        _pgcache.load_abandon(load, options)


def was_refused(failure: Error) -> bool:
    """Whether a request was not even submitted, so that the load that it was to end goes on."""
    return isinstance(failure.outputs, tuple)


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
