"""What `Cache` and `AsyncCache` have in common: the handle, how it is made and ended, and all that never waits for the server.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable
from types import CodeType
from typing import TYPE_CHECKING, Any

from . import _pgcache
from ._invalidation import Invalidation, Statement, invalidation, put_statement
from ._observer import Level, Observer, observe
from ._options import Duration, Key, interval_ms
from ._records import Entry, entry_of
from ._requests import Requests
from ._settings import SettingValue, configuration
from ._snapshot import Snapshot
from ._workers import Workers
from .serializers import Codec, Serializer

if TYPE_CHECKING:
    from ._instruments import Provider
    from ._pgcache import Owned


class Shared:
    """One handle, with what belongs to it. Several views may look at it: one that waits, and one for event loops."""

    def __init__(self, config: Owned, codec: Codec, providers: Iterable[Provider]) -> None:
        self.config = config
        _, self.handle = _pgcache.new(config)
        self.codec = codec
        self.providers = tuple(providers)
        self.janitor: Owned | None = None
        self.closed = False
        self.fallbacks = 0
        self._counting = threading.Lock()
        self._functions: dict[tuple[str | None, str], CodeType | None] = {}
        self.requests = Requests(self.handle)
        self.workers = Workers(int(self.setting("load_threads")))

    def fell_back(self) -> None:
        """A cached function served a call itself."""
        with self._counting:
            self.fallbacks += 1

    def name_function(self, namespace: str | None, name: str, function: Callable[..., Any]) -> None:
        """A function is cached by this name. Raises TypeError if another one is: they would share their keys."""
        code = getattr(inspect.unwrap(function), "__code__", None)
        if self._functions.setdefault((namespace, name), code) != code:
            raise TypeError(f"another function is cached as {name} already, whose keys it would share; give the decorator a name=")

    def setting(self, name: str) -> str:
        """The value of a setting."""
        return _pgcache.config_get(self.config, name) or ""

    def close(self) -> None:
        """Ends all calls. The handle is freed when nobody uses it any more."""
        self.closed = True
        _pgcache.shutdown(self.handle)
        self.workers.close()


class Core:
    """See `Cache` and `AsyncCache`."""

    def __init__(
        self,
        url: str | None = None,
        *,
        serializer: Serializer | None = None,
        readers: Iterable[Serializer] = (),
        providers: Iterable[Provider] = (),
        janitor: Duration | None = 60,
        environment: bool = True,
        **settings: SettingValue,
    ) -> None:
        """Makes a cache; asks no server.

        url          a libpq connection string or URI, `null:`, `local:` or `local:/path`; the environment's PGCACHE_URL or DATABASE_URL
                     if not given
        serializer   how values are encoded; JSON if not given
        readers      further serializers, whose formats can be read
        providers    the application's own instrumentation
        janitor      how often expired entries are deleted and limits kept, by one process of all, in the background; None or 0: never
        environment  False: do not look at the environment's PGCACHE_*
        settings     see `pgcache.settings()`: text or numbers as the library has them, True and False for on and off, a timedelta for
                     milliseconds. Of a cache of this package `on_error` is `miss` unless set: reads that fail are misses, and counted.

        Raises `BadSetting`, `InvalidArgument` (the janitor's interval), `OutOfMemory`."""
        self._view(Shared(configuration(url, environment, settings), Codec(serializer, readers), providers))
        if janitor is not None and janitor != 0 and not self._shared.setting("url").startswith("null:"):
            _, self._shared.janitor = _pgcache.janitor_start(self._handle, interval_ms(janitor))

    def _view(self, shared: Shared) -> None:
        self._shared = shared
        self._handle = shared.handle
        self._codec = shared.codec
        self._providers = shared.providers

    @property
    def closed(self) -> bool:
        """True after `close()`."""
        return self._shared.closed

    # ---- Never waits ---------------------------------------------------------------------------------------------------------

    def peek(self, key: Key, *, namespace: str | None = None) -> Entry | None:
        """What the near cache holds of a key, or None: the entry may well exist. Never asks the server, never waits. Any thread.

        Raises `InvalidArgument`, `TooLarge` (the key), `Closed`."""
        options = None if namespace is None else (_pgcache.DEADLINE_DEFAULT, namespace, None, _pgcache.READ_NEAR, 0, ())
        _, found = _pgcache.peek(self._handle, key, options)
        return None if found is None else entry_of(found, self._codec.decode)

    def counters(self) -> dict[str, int]:
        """What was counted since the cache was made, by name: of this process alone. Asks no server. Any thread."""
        return _pgcache.read_counters(self._handle)[1]

    def snapshot(self) -> Snapshot:
        """All that is measured of this cache, now. Asks no server. Any thread. Raises `OutOfMemory`."""
        return Snapshot(_pgcache.stats_snapshot(self._handle)[1])

    def observe(
        self,
        *,
        operations: bool = False,
        slow: bool = True,
        states: bool = True,
        log: bool = True,
        keys: bool = False,
        level: Level = Level.WARNING,
        room: int = 1000,
    ) -> Observer:
        """A queue of what happens from now on, to be closed when it is not needed any more; up to 8 at once.

        operations  all that end; each then costs a copy of its event
        slow        those that take `slow_ms` or longer
        states      of circuit breaker, listener and janitors
        log         words of at least `level`
        keys        events hold the keys of operations on one key
        room        how many events wait at most

        Raises `InvalidArgument`, `QueueFull` (there are 8), `OutOfMemory`, `Closed`. Any thread."""
        return observe(self._handle, operations=operations, slow=slow, states=states, log=log, keys=keys, level=level, room=room)

    def invalidation(self, *, tags: Iterable[Key] = (), keys: Iterable[Key] = (), namespace: str | None = None) -> Invalidation:
        """SQL that invalidates tags and keys inside of the application's own transaction: effective with its commit, gone with a
        rollback. Asks no server; names must be UTF-8. Raises `InvalidArgument`. Any thread."""
        return invalidation(
            self._shared.setting("schema"), self._shared.setting("namespace") if namespace is None else namespace, tags, keys
        )

    def put_statement(self, key: Key, value: Any, ttl: Duration | None = None, *, namespace: str | None = None) -> Statement:
        """SQL that stores an entry as `put()` does, inside of the application's own transaction: there with its commit, and not after a
        rollback. Until then other writers of the key wait, so it is best done last. It gives the version. The entry depends on its key
        alone. Asks no server. Raises `InvalidArgument`, `TooLarge`, `SerializationError`, `Unsupported` (with encryption or keyed digests).
        Any thread."""
        data, format = self._codec.encode(value)
        return put_statement(self._shared.setting, namespace, key, data, format, ttl)

    def setting(self, name: str) -> str:
        """The value of a setting, such as "namespace". Any thread."""
        return self._shared.setting(name)

    def _found(self, raw: _pgcache.RawValue) -> Any:
        return self._codec.decode(raw[0], raw[1])
