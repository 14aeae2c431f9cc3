"""fastapi-cachekit's classes over pgcache: `from pgcache.compat.fastapi_cachekit import PostgresBackend, cache` in place of `from
fast_cache import ...`. The package fastapi is needed.

What differs from fastapi-cachekit, and why:

- Values are JSON instead of pickles: whoever could write to the table could run code in every reader. So what is not plain data becomes
  it, as FastAPI itself does it with what an endpoint returns: a model comes back as a dictionary, a date as text, at the first call as at
  the next. `PostgresBackend(..., serializer=pgcache.SignedPickle(key))` keeps Python's own objects.
- Old entries in pickles are never read; `pgcache import` brings those that are plain data.
- Of many who miss one computes, whatever `stampede_protection` says; a result of None is kept; streams and exceptions are not. When the
  cache is down functions serve themselves.
- Keys are made of values: equal calls have one however their arguments are passed; methods of two classes never share any. What FastAPI
  injects enters by its value, too, such as the parameters or the user that a dependency gives; if something else than a backend has none
  (a session, an object of a class without fields), the function serves itself, because nobody knows what depends on it. An argument
  without a representation by value raises `pgcache.errors.UncacheableCall`, and a function that depends on variables of one around it
  needs a `name`. A `key_builder` takes the place of all that.
- Requests and responses do not enter: what depends on a request's headers, cookies or state needs a `key_builder` that says so.
- A response that a function returns goes to its caller and is not kept: pgcache.fastapi keeps whole responses.
- `skip_cache=True` works for callers in the program. A parameter `skip_cache` of an endpoint is its client's, who shall not decide that,
  and does nothing; `cached(bypass=...)` is for the server to decide by.
- `expire=0` is refused; None is the default, and without one for ever.
- `PostgresBackend` alone is there: entries of its `namespace` are in that namespace of pgcache, without its name before each key. All are
  in one schema of the database, which it makes when it is not there. Errors are `pgcache.Error` instead of psycopg's, and a read that the
  server fails is a miss, unless PGCACHE_ON_ERROR=error.
- `lifespan_handler()` works: fastapi-cachekit's fails with today's FastAPI.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

import functools
import inspect
import json
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Union, cast

try:
    from fastapi import Response
    from fastapi.encoders import jsonable_encoder
except ImportError as missing:
    raise ImportError("pgcache.compat.fastapi_cachekit needs FastAPI: pip install 'pgcache[fastapi]'") from missing

from .. import NEVER, Cache, NullCache, call_key
from .._callkeys import CallKeys, represent
from .._loading import Uncached
from ..errors import UncacheableCall
from ..serializers import JSON_FORMAT

if TYPE_CHECKING:
    from fastapi import FastAPI

    from .. import Duration, Serializer

__all__ = ["CacheBackend", "FastAPICache", "PostgresBackend", "cache"]

Expire = Union[int, timedelta, None]
"""Seconds, or a timedelta; None: for ever, or the default."""

_log = logging.getLogger("pgcache")

P = ParamSpec("P")
R = TypeVar("R")


class _PlainData:
    """JSON, of whatever FastAPI can make JSON of."""

    format = JSON_FORMAT

    def dumps(self, value: Any) -> bytes:
        return json.dumps(value, default=_plain, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()

    def loads(self, data: bytes) -> Any:
        return json.loads(data)


def _plain(value: Any) -> Any:
    if isinstance(value, Response):  # of which FastAPI's encoder would make its attributes
        raise TypeError("a response is no value: return what it is made of, or keep whole responses with pgcache.fastapi")
    return jsonable_encoder(value)


def _ttl(expire: Expire) -> Duration:
    return NEVER if expire is None else expire


_NOTHING = object()


class CacheBackend(ABC):
    """What a cache does, for code that waits and for event loops."""

    @abstractmethod
    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, or `default`."""

    @abstractmethod
    def set(self, key: str, value: Any, expire: Expire = None) -> None:
        """Stores a value, for ever if expire is None."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Removes an entry, if there is one."""

    @abstractmethod
    def clear(self) -> None:
        """Removes all entries of the namespace."""

    @abstractmethod
    def has(self, key: str) -> bool:
        """Whether there is an entry."""

    @abstractmethod
    async def aget(self, key: str, default: Any = None) -> Any:
        """The value of a key, or `default`."""

    @abstractmethod
    async def aset(self, key: str, value: Any, expire: Expire = None) -> None:
        """Stores a value, for ever if expire is None."""

    @abstractmethod
    async def adelete(self, key: str) -> None:
        """Removes an entry, if there is one."""

    @abstractmethod
    async def aclear(self) -> None:
        """Removes all entries of the namespace."""

    @abstractmethod
    async def ahas(self, key: str) -> bool:
        """Whether there is an entry."""

    def keeping(
        self, function: Callable[..., Any], key: Callable[..., str], expire: Expire, *, lease: float, wait: float
    ) -> Callable[..., Any]:
        """The function with its results kept here, under the key that `key` makes of a call's arguments. What every backend can do: many
        may compute at once. lease, wait: what `cached()` calls lock_timeout and lock_wait, for backends that let one compute."""

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            name = key(*args, **kwargs)
            found = self.get(name, default=_NOTHING)
            if found is _NOTHING:
                found = function(*args, **kwargs)
                self.set(name, found, expire)
            return found

        @functools.wraps(function)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            name = key(*args, **kwargs)
            found = await self.aget(name, default=_NOTHING)
            if found is _NOTHING:
                found = await function(*args, **kwargs)
                await self.aset(name, found, expire)
            return found

        return call_async if inspect.iscoroutinefunction(function) else call


class PostgresBackend(CacheBackend):
    """A cache in PostgreSQL. Any thread, and one event loop at a time."""

    def __init__(
        self,
        dsn: str,
        namespace: str = "fastapi",
        min_size: int = 1,
        max_size: int = 10,
        cleanup_interval: int = 30,
        auto_cleanup: bool = True,
        *,
        serializer: Serializer | None = None,
    ) -> None:
        """Makes pgcache's schema in the database, unless it is there.

        dsn               a libpq connection string or URI
        namespace         the part of the cache that keys live in: letters, digits and underscores
        min_size          the connections that are kept open
        max_size          the most connections
        cleanup_interval  how often expired entries are deleted, in seconds
        auto_cleanup      False: never
        serializer        how values are encoded; JSON of what FastAPI can make JSON of if None

        Raises `ValueError` for a bad namespace, and `pgcache.Error`."""
        if not re.fullmatch("[A-Za-z0-9_]+", namespace):
            raise ValueError("Invalid namespace: only alphanumeric and underscore allowed")
        self.cache = Cache(
            dsn, namespace=namespace, pool_min=min_size, pool_max=max_size, janitor=None, serializer=serializer or _PlainData()
        )
        """The same cache with all that pgcache can do."""
        self._is_plain = serializer is None
        self._aio = self.cache.aio
        self.cache.init()
        self._janitor = self.cache.janitor(cleanup_interval) if auto_cleanup else None

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, or `default` if there is none; None may be a value."""
        return self.cache.get(key, default)

    def set(self, key: str, value: Any, expire: Expire = None) -> None:
        """Stores a value, for ever if expire is None. Raises `pgcache.errors.SerializationError`, `InvalidArgument` (expire is 0)."""
        self.cache.put(key, value, _ttl(expire))

    def delete(self, key: str) -> None:
        """Removes an entry, if there is one."""
        self.cache.remove(key)

    def clear(self) -> None:
        """Removes all entries of the namespace."""
        self.cache.flush()

    def has(self, key: str) -> bool:
        """Whether there is an entry."""
        return self.cache.exists(key)

    def close(self) -> None:
        """Closes the connections."""
        self.cache.close()

    async def aget(self, key: str, default: Any = None) -> Any:
        """The value of a key, or `default` if there is none; None may be a value."""
        return await self._aio.get(key, default)

    async def aset(self, key: str, value: Any, expire: Expire = None) -> None:
        """Stores a value, see `set()`."""
        await self._aio.put(key, value, _ttl(expire))

    async def adelete(self, key: str) -> None:
        """Removes an entry, if there is one."""
        await self._aio.remove(key)

    async def aclear(self) -> None:
        """Removes all entries of the namespace."""
        await self._aio.flush()

    async def ahas(self, key: str) -> bool:
        """Whether there is an entry."""
        return await self._aio.exists(key)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._aio.close()

    def keeping(
        self, function: Callable[..., Any], key: Callable[..., str], expire: Expire, *, lease: float, wait: float
    ) -> Callable[..., Any]:
        """The function with its results kept here, see `pgcache.Cache.cached()`."""

        @functools.wraps(function)
        def load(*args: Any, **kwargs: Any) -> Any:
            return self._kept(function(*args, **kwargs))

        @functools.wraps(function)
        async def load_async(*args: Any, **kwargs: Any) -> Any:
            return self._kept(await function(*args, **kwargs))

        chosen = load_async if inspect.iscoroutinefunction(function) else load
        deadline = max(wait, int(self.cache.setting("timeout_ms")) / 1000)  # is that of each step, and waiting is one
        return self.cache.cached(_ttl(expire), key=key, lease=lease, wait=wait, deadline=deadline)(chosen)

    def _kept(self, result: Any) -> Any:
        return Uncached(result) if self._is_plain and isinstance(result, Response) else result


class _Injected:
    """What FastAPI injects into calls of a function: the answer may depend on it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._keys = CallKeys(function, None)
        self._what = function.__qualname__
        self._told = False

    def values(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        """All of it but backends."""
        names = self._keys.injected()
        given = self._keys.arguments(args, kwargs) if names else {}
        return {name: given[name] for name in names if not isinstance(given[name], CacheBackend)} or None

    def has_no_value(self, *args: Any, **kwargs: Any) -> bool:
        """Whether something of it cannot be told from another one by its value."""
        for name, value in (self.values(*args, **kwargs) or {}).items():
            try:
                represent(value)
            except UncacheableCall:
                if not self._told:
                    self._told = True
                    _log.warning("%s is not kept: its dependency %s has no representation by value: give a key_builder", self._what, name)
                return True
        return False


class FastAPICache:
    """The cache of an application: a decorator, and a dependency. Until `init_app()` decorated functions serve themselves."""

    def __init__(self) -> None:
        self._backend: CacheBackend | None = None
        self._default_expire: Expire = None
        self._keys = NullCache(environment=False)  # of which call_key() makes keys

    def init_app(self, app: FastAPI, backend: CacheBackend, default_expire: Expire = None) -> None:
        """From now on results are kept in `backend`, for `default_expire` where the decorator says nothing. The application may go on using
        a lifespan of its own, and closes the backend then."""
        self._backend = backend
        self._default_expire = default_expire

    @asynccontextmanager
    async def lifespan_handler(self, app: FastAPI) -> AsyncIterator[None]:
        """A lifespan for `FastAPI(lifespan=cache.lifespan_handler)`: this is `app.state.cache`, and the backend is closed at the end."""
        app.state.cache = self
        try:
            yield
        finally:
            backend, self._backend = self._backend, None
            end = getattr(backend, "aclose", None) or getattr(backend, "close", None)
            ending = end() if end is not None else None
            if inspect.isawaitable(ending):
                await ending

    def get_cache(self) -> CacheBackend:
        """The backend, for `Depends(cache.get_cache)`. Raises RuntimeError before `init_app()`."""
        if self._backend is None:
            raise RuntimeError("Cache not initialized. Call init_app first.")
        return self._backend

    def cached(
        self,
        expire: Expire = None,
        key_builder: Callable[..., str] | None = None,
        namespace: str | None = None,
        stampede_protection: bool = True,
        lock_timeout: float = 30,
        lock_wait: float = 5.0,
        *,
        name: str | None = None,
        bypass: Callable[..., bool] | None = None,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Keeps what a function returns, sync or async.

        expire       for how long; the application's `default_expire` if None
        key_builder  makes the key of a call's arguments; if not given it is of the function's name and all arguments by value, what
                     FastAPI injects included
        namespace    stands before the key, with a colon
        stampede_protection, lock_timeout, lock_wait
                     one computes, and others wait for it for `lock_wait` seconds before they do, too, as they do when it takes longer than
                     `lock_timeout`; there is always protection
        name         instead of the function's own name, for one that depends on variables of a function around it
        bypass       a function of the call's arguments: where it gives true, nothing is read or kept

        A call with `skip_cache=True` does the same as `bypass`, unless the function has such a parameter itself."""
        prefix = f"{namespace}:" if namespace else ""

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            injected = _Injected(function)
            vary_on = injected.values if key_builder is None else None
            keyed = self._keys.cached(name=name, key=key_builder, vary_on=vary_on)(function)
            key_of: Callable[..., Any] = functools.partial(call_key, keyed)
            is_clients = "skip_cache" in inspect.signature(function).parameters
            kept: tuple[CacheBackend, Expire, Callable[..., Any]] | None = None

            def key(*args: Any, **kwargs: Any) -> str:
                return f"{prefix}{key_of(*args, **kwargs)}"

            @functools.wraps(function)
            def call(*args: Any, **kwargs: Any) -> Any:
                nonlocal kept
                skips = kwargs.pop("skip_cache", False) and not is_clients
                backend, lasts = self._backend, self._default_expire if expire is None else expire
                if backend is None or skips or (bypass is not None and bypass(*args, **kwargs)):
                    return function(*args, **kwargs)
                if key_builder is None and injected.has_no_value(*args, **kwargs):
                    return function(*args, **kwargs)
                if kept is None or kept[0] is not backend or kept[1] != lasts:
                    kept = backend, lasts, backend.keeping(function, key, lasts, lease=lock_timeout, wait=lock_wait)
                return kept[2](*args, **kwargs)

            @functools.wraps(function)
            async def call_async(*args: Any, **kwargs: Any) -> Any:
                return await call(*args, **kwargs)

            return cast("Callable[P, R]", call_async if inspect.iscoroutinefunction(function) else call)

        return decorate


cache = FastAPICache()
"""The one that most applications use."""
