"""A cache backend for Django. The package Django is needed.

    CACHES = {
        "default": {
            "BACKEND": "pgcache.django.PgcacheBackend",
            "LOCATION": "postgresql://localhost/shop",  # or PGCACHE_URL, or DATABASE_URL
            "OPTIONS": {"near_max_bytes": 16 * 1024 * 1024},
        }
    }

All aliases and threads with the same LOCATION and OPTIONS share one cache; `manage.py shell -c "from django.core.cache import cache;
cache.pgcache.init()"` makes its schema.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

try:
    from asgiref.sync import sync_to_async
    from django.conf import settings
    from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
    from django.db import DEFAULT_DB_ALIAS, connections
    from django.utils.crypto import salted_hmac
    from django.utils.module_loading import import_string
except ImportError as missing:
    raise ImportError("pgcache.django needs Django: pip install 'pgcache[django]'") from missing

from ._options import NEVER
from .cache import Cache
from .errors import Busy, SerializationError
from .serializers import JSON_FORMAT, Encoded, Serializer, SignedPickle

if TYPE_CHECKING:
    from ._options import Key

__all__ = ["PgcacheBackend"]

NAMESPACE = "django"
"""The part of the cache that a backend uses, and clear() empties, unless OPTIONS names another `namespace`."""

_caches: dict[str, tuple[Cache, Serializer]] = {}
_making = threading.Lock()


def _own_serializer() -> Serializer:
    """Pickle, as Django's own backends have it, signed with the SECRET_KEY."""
    key, *older = (
        salted_hmac("pgcache.django", "serializer", secret=secret, algorithm="sha256").digest()
        for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    )
    return SignedPickle(key, older=older)


def _shared(location: str, options: Mapping[str, Any]) -> tuple[Cache, Serializer]:
    """The cache of all backends of this process that are configured alike."""
    described = repr((location, sorted(options.items())))
    with _making:
        if described not in _caches:
            serializer: Any = options.get("serializer") or _own_serializer
            if isinstance(serializer, str):
                serializer = import_string(serializer)
            if callable(serializer):
                serializer = serializer()
            given = {"namespace": NAMESPACE, **options, "serializer": serializer}
            _caches[described] = Cache(location or None, **given), serializer
        return _caches[described]


def _in_thread(name: str) -> Any:
    """The same for event loops. In a thread: an `AsyncCache` belongs to one event loop, and Django may run many."""

    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return await sync_to_async(getattr(self, name), thread_sensitive=False)(*args, **kwargs)

    call.__name__ = f"a{name}"
    return call


class PgcacheBackend(BaseCache):  # type: ignore[misc]  # Django has no types
    """Django's cache in PostgreSQL, with copies of what is read in each process's memory.

    OPTIONS are those of `pgcache.Cache`: `namespace`, `providers`, `janitor` and the library's settings. `serializer` may also be a dotted
    path; if it is not given, values are pickled and signed with the SECRET_KEY, integers are JSON, so that incr() is one statement, and
    bytes are bytes. What another SECRET_KEY signed is a miss. There is no MAX_ENTRIES: limits are the store's, see `Cache.set_limits()`.

    Reads that the server fails are misses; writes raise `pgcache.Error`. get_or_set() computes once for all processes."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        """As Django calls it."""
        super().__init__(params)
        self._cache, self._serializer = _shared(location, params.get("OPTIONS") or {})

    @property
    def pgcache(self) -> Cache:
        """The cache itself, for all that Django has no words for. Its keys are those that `make_key()` gives."""
        return self._cache

    def invalidate(self, tags: Iterable[Key], using: str = DEFAULT_DB_ALIAS) -> None:
        """Ends all entries with these tags when the transaction of the database `using` is committed, which is to be that of the cache;
        after a rollback nothing has happened."""
        statement = self._cache.invalidation(tags=tags)
        with connections[using].cursor() as cursor:
            cursor.execute(statement.sql, statement.arguments)

    # ---- Django's own ----------------------------------------------------------------------------------------------------------

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        try:
            return self._cache.get(self._name(key, version), default)
        except SerializationError:
            return default

    def set(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None, tags: Iterable[Key] = ()) -> None:
        """Stores a value. tags: what it depends on, see `invalidate()`."""
        name, ttl = self._name(key, version), self._ttl(timeout)
        encoded = self._encode(value)
        if ttl > 0:
            self._cache.put(name, encoded, ttl, tags=tags)
        else:
            self._cache.remove(name)

    def add(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        name, ttl = self._name(key, version), self._ttl(timeout)
        encoded = self._encode(value)
        return self._cache.add(name, encoded, ttl) is not None if ttl > 0 else not self._cache.exists(name)

    def get_or_set(
        self, key: Any, default: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None, tags: Iterable[Key] = ()
    ) -> Any:
        """The value of a key; if there is none, the default or what it gives if it can be called, which is stored. One caller of all
        processes computes it. tags: what it depends on, see `invalidate()`."""
        name, ttl = self._name(key, version), self._ttl(timeout)

        def compute() -> Any:
            return default() if callable(default) else default

        if ttl <= 0:
            found = self.get(key, self._missing_key, version=version)
            return compute() if found is self._missing_key else found
        try:
            return self._cache.get_or_load(name, lambda: self._encode(compute()), ttl=ttl, tags=tags)
        except Busy:  # somebody else has been computing it for too long
            return compute()
        except SerializationError:  # what is stored cannot be read
            value = compute()
            self.set(key, value, timeout, version, tags)
            return value

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        name, ttl = self._name(key, version), self._ttl(timeout)
        return self._cache.touch(name, ttl) is not None if ttl > 0 else self._cache.remove(name)

    def delete(self, key: Any, version: int | None = None) -> bool:
        return self._cache.remove(self._name(key, version))

    def has_key(self, key: Any, version: int | None = None) -> bool:
        return self._cache.exists(self._name(key, version))

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """Adds to an integer. Raises ValueError if there is none, TypeError for what is no integer, OverflowError."""
        name = self._name(key, version)
        if not self._cache.exists(name):
            raise ValueError(f"Key '{name}' not found")
        return self._cache.increment(name, delta, ttl=self._ttl(DEFAULT_TIMEOUT))  # the ttl is of one that ended just now

    def get_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        names = {self._name(key, version): key for key in keys}
        try:
            found = self._cache.get_many(names)
        except SerializationError:  # of one of them
            return super().get_many(names.values(), version=version)  # type: ignore[no-any-return]
        return {names[name]: value for name, value in found.items()}

    def set_many(
        self, data: Mapping[Any, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None, tags: Iterable[Key] = ()
    ) -> list[Any]:
        """Stores many values, a round trip for each 1,000. tags: what they depend on, see `invalidate()`."""
        ttl = self._ttl(timeout)
        entries = {self._name(key, version): self._encode(value) for key, value in data.items()}
        if ttl > 0:
            self._cache.put_many(entries, ttl, tags=tags)
        else:
            self._cache.remove_many(entries)
        return []

    def delete_many(self, keys: Iterable[Any], version: int | None = None) -> None:
        self._cache.remove_many([self._name(key, version) for key in keys])

    def clear(self) -> None:
        """Removes everything of the namespace, whatever its prefix and version."""
        self._cache.flush()

    aadd = _in_thread("add")
    aget = _in_thread("get")
    aset = _in_thread("set")
    atouch = _in_thread("touch")
    adelete = _in_thread("delete")
    ahas_key = _in_thread("has_key")
    aincr = _in_thread("incr")
    aget_or_set = _in_thread("get_or_set")
    aget_many = _in_thread("get_many")
    aset_many = _in_thread("set_many")
    adelete_many = _in_thread("delete_many")
    aclear = _in_thread("clear")

    # ---- Keys, times and values --------------------------------------------------------------------------------------------------------

    def _name(self, key: Any, version: int | None) -> Any:
        return self.make_and_validate_key(key, version=version)

    def _ttl(self, timeout: Any) -> float:
        """Django's None is for ever; what is not positive has ended already."""
        if timeout is DEFAULT_TIMEOUT:
            timeout = self.default_timeout
        if timeout is None:
            return NEVER
        return timeout.total_seconds() if isinstance(timeout, timedelta) else float(timeout)

    def _encode(self, value: Any) -> bytes | Encoded:
        """Comes back as the type that it is, which the serializers of a cache do not promise of what only looks like bytes."""
        if type(value) is bytes:
            return value
        if type(value) is int:
            return Encoded(b"%d" % value, JSON_FORMAT)
        return Encoded(self._serializer.dumps(value), self._serializer.format)


for _own, _member in vars(PgcacheBackend).items():
    if not _own.startswith("_") and callable(_member) and not _member.__doc__:
        _member.__doc__ = getattr(BaseCache, _own).__doc__ or f"See {_own.removeprefix('a')}(); for event loops."
