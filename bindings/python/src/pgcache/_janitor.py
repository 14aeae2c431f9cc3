"""Janitors: they delete what has expired and keep limits, on a thread of the library. SPDX-License-Identifier: MIT"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import TYPE_CHECKING

from . import _pgcache
from ._options import Duration, milliseconds
from .errors import InvalidArgument, Timeout

if TYPE_CHECKING:
    from ._pgcache import Owned

_GLANCE_SECONDS = 0.01


def _timeout_ms(timeout: Duration) -> int:
    waits = milliseconds(timeout)
    if waits < 0:
        raise InvalidArgument("a timeout is not negative")
    return waits


class Janitor:
    """A janitor at work, until it is stopped or its cache closed; of `Cache.janitor()`. Any thread. `with` stops it at the end."""

    def __init__(self, raw: Owned) -> None:
        self._raw = raw

    def stop(self, timeout: Duration = 5) -> bool:
        """Tells it to stop, and waits for up to `timeout`. False: it has not yet, and stops after its statement. May be called again."""
        return _stop(self._raw, _timeout_ms(timeout))

    def __enter__(self) -> Janitor:
        return self

    def __exit__(self, kind: type[BaseException] | None, failure: BaseException | None, where: TracebackType | None) -> None:
        self.stop()


class AsyncJanitor:
    """A janitor at work, until it is stopped or its cache closed; of `AsyncCache.janitor()`. `async with` stops it at the end."""

    def __init__(self, raw: Owned) -> None:
        self._raw = raw

    async def stop(self, timeout: Duration = 5) -> bool:
        """Tells it to stop, and waits for up to `timeout`. False: it has not yet, and stops after its statement. May be called again."""
        until = time.monotonic() + _timeout_ms(timeout) / 1000
        while not _stop(self._raw, 0):
            if time.monotonic() >= until:
                return False
            await asyncio.sleep(_GLANCE_SECONDS)
        return True

    async def __aenter__(self) -> AsyncJanitor:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, failure: BaseException | None, where: TracebackType | None) -> None:
        await self.stop()


def _stop(raw: Owned, timeout_ms: int) -> bool:
    try:
        _pgcache.janitor_stop(raw, timeout_ms)
    except Timeout:
        return False
    return True
