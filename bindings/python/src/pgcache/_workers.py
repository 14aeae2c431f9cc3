"""Threads for loads in the background. SPDX-License-Identifier: MIT"""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

_WAITING = 16  # jobs for each thread: more would be too late for whoever wants them

_thread = threading.local()


def _begin() -> None:
    _thread.works = True


class _Crew:
    """The threads of one process."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, "pgcache-load", initializer=_begin)
        self._room = threading.Semaphore(threads * (1 + _WAITING))

    def submit(self, work: Callable[..., Any], arguments: tuple[Any, ...]) -> Future[Any] | None:
        if not self._room.acquire(blocking=False):
            return None
        try:
            job = self._pool.submit(contextvars.copy_context().run, work, *arguments)
        except RuntimeError:  # closed, or the interpreter ends
            self._room.release()
            return None
        job.add_done_callback(lambda ended: self._room.release())
        return job

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


class Workers:
    """Threads that are made when they are needed, as many as told; they end what they do at the interpreter's exit. Any thread."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._crews: dict[int, _Crew] = {}  # by process: a forked child begins with none, whatever its parent was at

    @property
    def inside(self) -> bool:
        """Whether this thread is one of them. It does by itself what it would have to wait for: the others may do the same."""
        return getattr(_thread, "works", False)

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any] | None:
        """Does something in the background, with the caller's context variables. None: there is too much of it already, this is one of
        the threads, or there will be none any more."""
        if self.inside:
            return None
        process = os.getpid()
        crew = self._crews.get(process) or self._crews.setdefault(process, _Crew(self._threads))
        return crew.submit(work, arguments)

    def close(self) -> None:
        """Ends what has not begun."""
        crew = self._crews.get(os.getpid())
        if crew is not None:
            crew.close()
