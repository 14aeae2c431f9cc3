"""`@cache.cached(...)`: functions whose results are kept in the cache, with their types. SPDX-License-Identifier: MIT"""

from __future__ import annotations

import functools
import inspect
import string
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Union, cast

from . import _pgcache
from ._callkeys import CallKeys, full_name, is_simple, is_stream, represent
from ._loading import Uncached, get_or_load, get_or_load_async
from ._options import Duration, Key, LoadOptions, Plan
from ._status import Status
from .errors import Error, SerializationError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._core import Shared
    from ._options import CachedOptions

P = ParamSpec("P")
R = TypeVar("R")

KeyOf = Union[str, Callable[..., Key]]
"""A key: a template such as "customer:{customer_id}", or a function of the call's arguments."""

TagsOf = Union[Iterable[str], Callable[..., Iterable[Key]]]
"""Tags: templates, or a function of the call's arguments."""


def call_key(function: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> Key:
    """The key of a call of a cached function, or of an object's method, as for `cache.invalidate(keys=[call_key(count, 7)])`. It is in the
    namespace that the decorator was given: to be passed along, as `namespace=`. Raises `UncacheableCall`, and
    TypeError for arguments that the function does not take, or if it is not cached."""
    calls = getattr(function, "__pgcache__", None)
    if calls is None:
        raise TypeError(f"{function!r} is not a cached function")
    if inspect.ismethod(function):
        args = (function.__self__, *args)  # type: ignore[assignment]
    key: Key = calls.key(calls.keys.arguments(args, kwargs), args, kwargs)
    return key


class _Template(string.Formatter):
    """Of values alone: what would be written as the address of an object is refused, or written by its __cache_key__()."""

    def convert_field(self, value: Any, conversion: Any) -> Any:
        written = represent(value)
        return super().convert_field(value if is_simple(value) else written, conversion)


_template = _Template()


class _Calls:
    """The calls of one function: their keys, and how they are kept."""

    def __init__(
        self,
        function: Callable[..., Any],
        key: KeyOf | None,
        name: str | None,
        tags: TagsOf,
        vary_on: Callable[..., Any] | None,
        bypass: Callable[..., bool] | None,
        how: LoadOptions,
    ) -> None:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError("a function that yields cannot be cached: what it gives is read but once")
        if isinstance(tags, (str, bytes)):
            raise TypeError("tags are a sequence of names; for a single one write [name]")
        self.function = function
        self.name = None if key is not None else full_name(function) if name is None else name
        self.keys = CallKeys(function, self.name)
        self.bypass = bypass
        self._key, self._vary_on = key, vary_on
        self._tags = tags if callable(tags) else tuple(tags)
        self._how, self._plain = how, Plan(how)

    def key(self, arguments: dict[str, Any], args: Any, kwargs: Any) -> Key:
        varies = None if self._vary_on is None else self._vary_on(*args, **kwargs)
        if self._key is None:
            return self.keys.key(arguments, varies)
        key = _template.vformat(self._key, (), arguments) if isinstance(self._key, str) else self._key(*args, **kwargs)
        if varies is None:
            return key
        suffix = f"|{represent(varies)}"
        return key + suffix if isinstance(key, str) else key + suffix.encode()

    def plan(self, arguments: dict[str, Any], args: Any, kwargs: Any) -> Plan:
        if callable(self._tags):
            return Plan({**self._how, "tags": tuple(self._tags(*args, **kwargs))})
        if self._tags:
            return Plan({**self._how, "tags": tuple(_template.vformat(tag, (), arguments) for tag in self._tags)})
        return self._plain


def _kept(result: Any) -> Any:
    return Uncached(result) if is_stream(result) else result


def _may_serve(failure: Error, ran: bool, key: Key) -> bool:
    """Whether it is the cache that failed, and the function can do without. What a program does wrong it shall hear."""
    if ran:
        return False
    if failure.status == Status.TOO_LARGE:  # what is stored, or the key itself?
        return len(key.encode() if isinstance(key, str) else key) <= _pgcache.KEY_MAX
    return isinstance(failure, SerializationError) or failure.status not in (
        Status.INVALID,
        Status.BAD_SETTING,
    )


class Cached:
    """What gives caches the decorator."""

    _shared: Shared

    @property
    def fallbacks(self) -> int:
        """Calls of cached functions that the cache failed, so that the function served them itself. Beside these stand, with `on_error`
        at `miss`, those that `counters()` tells as `reads_failed`."""
        return self._shared.fallbacks

    def cached(
        self,
        ttl: Duration | None = None,
        *,
        key: KeyOf | None = None,
        name: str | None = None,
        namespace: str | None = None,
        tags: TagsOf = (),
        vary_on: Callable[..., Any] | None = None,
        bypass: Callable[..., bool] | None = None,
        **how: Unpack[CachedOptions],
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Keeps what a function returns, sync or async, for equal calls in all processes; of many who miss one computes.

        ttl        how long a result is fresh; the setting `default_ttl_ms` if None
        key        a template such as "customer:{customer_id}", of arguments with a representation by value, or a function of the call's
                   arguments; if not given, the key is made of the function's full name and all arguments by value. Requests, responses,
                   background tasks and what FastAPI injects never enter it. An argument without a representation by value raises
                   `UncacheableCall`: a class may define `__cache_key__()`; also that of a method's `self`.
        name       what stands in keys for the function, instead of its full name. Needed for a lambda and for what depends on variables
                   of a function around it, of which there may be many: TypeError. So is a second, other function of the same name.
        namespace  the part of the cache that the results live in
        tags       what results depend on: templates, or a function of the call's arguments
        vary_on    a function of the call's arguments that gives a further value for the key: a user's id out of a request. Needed wherever
                   a result depends on what never enters the key: without it all get what was computed for the first who asked
        bypass     a function of the call's arguments: where it gives true, nothing is read or stored
        how        see `CachedOptions`

        A result of None is kept like any other. Exceptions are not kept, nor is what can be read but once (files, iterators, streamed
        responses), nor is a failure of the cache the caller's: then the function's own result is given, see `fallbacks`. What comes
        back is what the serializer makes of a result: with JSON a tuple is a list, the first time, too."""
        options = cast(LoadOptions, {**how, "ttl": ttl})
        if namespace is not None:
            options["namespace"] = namespace

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            calls = _Calls(function, key, name, tags, vary_on, bypass, options)
            if calls.name is not None:
                self._shared.name_function(namespace, calls.name, function)
            wrapped = (_async if inspect.iscoroutinefunction(function) else _sync)(self, calls)
            functools.update_wrapper(wrapped, function)
            wrapped.__pgcache__ = calls  # type: ignore[attr-defined]
            return wrapped

        return decorate


def _sync(cache: Any, calls: _Calls) -> Callable[..., Any]:
    cache = getattr(cache, "sync", cache)
    function = calls.function

    def call(*args: Any, **kwargs: Any) -> Any:
        if calls.bypass is not None and calls.bypass(*args, **kwargs):
            return function(*args, **kwargs)
        ran = False

        def load() -> Any:
            nonlocal ran
            ran = True
            return _kept(function(*args, **kwargs))

        arguments = calls.keys.arguments(args, kwargs)
        key, plan = calls.key(arguments, args, kwargs), calls.plan(arguments, args, kwargs)
        try:
            return get_or_load(cache, key, load, None, plan)
        except Error as failure:
            if not _may_serve(failure, ran, key):
                raise
        cache._shared.fell_back()
        return function(*args, **kwargs)

    return call


def _async(cache: Any, calls: _Calls) -> Callable[..., Any]:
    cache = getattr(cache, "aio", cache)
    function = calls.function

    async def call(*args: Any, **kwargs: Any) -> Any:
        if calls.bypass is not None and calls.bypass(*args, **kwargs):
            return await function(*args, **kwargs)
        ran = False

        async def load() -> Any:
            nonlocal ran
            ran = True
            return _kept(await function(*args, **kwargs))

        arguments = calls.keys.arguments(args, kwargs)
        key, plan = calls.key(arguments, args, kwargs), calls.plan(arguments, args, kwargs)
        try:
            return await get_or_load_async(cache, key, load, None, plan)
        except Error as failure:
            if not _may_serve(failure, ran, key):
                raise
        cache._shared.fell_back()
        return await function(*args, **kwargs)

    return call
