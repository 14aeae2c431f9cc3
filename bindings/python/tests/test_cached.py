"""`@cache.cached()`, for sync and async functions. SPDX-License-Identifier: MIT"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import enum
import io
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated, Any

import pytest
from fastapi import BackgroundTasks, Depends, Request, Response
from starlette.responses import StreamingResponse

import pgcache
from pgcache import call_key, errors


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: int = 0


class Colour(enum.Enum):
    RED = 1


class Opaque:
    pass


class Keyed:
    def __init__(self, tenant: str) -> None:
        self.tenant = tenant

    def __cache_key__(self) -> str:
        return self.tenant


class One:
    def __cache_key__(self) -> None:
        return None

    def method(self, x: int) -> int:
        return x


class Other(One):
    pass


def key_of(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    cache = pgcache.NullCache()
    try:
        return call_key(cache.cached()(function), *args, **kwargs)
    finally:
        cache.close()


async def dependency() -> str:
    return "session"


def function(a: Any, b: Any = 2, *rest: Any, c: Any = 3, **more: Any) -> Any:
    raise NotImplementedError


def test_a71_equal_calls_have_equal_keys() -> None:
    assert len({key_of(function, 1), key_of(function, a=1), key_of(function, 1, 2), key_of(function, 1, b=2, c=3)}) == 1
    assert key_of(function, 1, x=1, y=2) == key_of(function, 1, y=2, x=1)
    assert key_of(function, {"x": 1, "y": 2}) == key_of(function, {"y": 2, "x": 1})
    assert key_of(function, {3, 1, 2}) == key_of(function, {2, 3, 1})
    assert key_of(function, Point(1, 0)) == key_of(function, Point(1))
    assert key_of(function, Keyed("a")) == key_of(function, Keyed("a"))


def test_a71_other_calls_have_other_keys() -> None:
    utc = datetime.timezone.utc
    values: list[Any] = [
        None, True, 1, 1.0, "1", b"1", "None", "", (), [], {}, set(), (1,), [1], {1: 1}, {1}, ((1,),), ("1", "2"), ("1,2",), ("1', '2",),
        Point(1), Point(1, 1), Colour.RED, Colour, Point, datetime.date(2026, 1, 1), datetime.datetime(2026, 1, 1),
        datetime.datetime(2026, 1, 1, tzinfo=utc), datetime.timedelta(1), Keyed("a"), Keyed("b"), "x" * 5000, "x" * 5001, "ü", range(3),
    ]  # fmt: skip
    keys = [key_of(function, value) for value in values]
    assert len(set(keys)) == len(values)
    assert key_of(function, 1, 2, 3) != key_of(function, 1, 2, c=3) != key_of(function, 1, 2, d=3)
    assert all(len(key) < 300 for key in keys)


def test_a71_methods_of_two_classes_never_collide() -> None:
    cache = pgcache.NullCache()
    One.method = cache.cached()(One.method)  # type: ignore[method-assign]
    assert call_key(One.method, One(), 1) != call_key(One.method, Other(), 1)

    class Same:
        def method(self, x: int) -> int:
            return x

    first = Same

    class Same2(Keyed):
        def method(self, x: int) -> int:
            return x

    assert key_of(first.method, Keyed("a"), 1) != key_of(Same2.method, Keyed("a"), 1)


def test_a71_what_belongs_to_a_request_never_enters() -> None:
    def endpoint(
        x: int,
        request: Request,
        response: Response,
        tasks: BackgroundTasks,
        session: Any = Depends(dependency),  # noqa: B008
        user: Annotated[Any, Depends(dependency)] = None,
    ) -> int:
        return x

    def scope(path: str) -> dict[str, Any]:
        return {"type": "http", "path": path, "headers": []}

    one = key_of(endpoint, 1, Request(scope("/a")), Response(), BackgroundTasks(), Opaque(), Opaque())
    other = key_of(endpoint, 1, Request(scope("/b")), Response("x"), BackgroundTasks(), Opaque(), user=Opaque())
    assert one == other
    assert one != key_of(endpoint, 2, Request(scope("/a")), Response(), BackgroundTasks(), Opaque(), Opaque())

    def of_many(*things: Any, **named: Any) -> None: ...

    assert key_of(of_many, request=Request(scope("/a"))) == key_of(of_many, request=Request(scope("/b")))


@pytest.mark.parametrize("value", [Opaque(), [Opaque()], {"x": object()}, lambda: 1, iter([])])
def test_a71_what_has_no_value_is_an_error(value: Any) -> None:
    with pytest.raises(errors.UncacheableCall, match="__cache_key__") as failure:
        key_of(function, value)
    assert isinstance(failure.value, TypeError)
    with pytest.raises(TypeError):
        key_of(function)  # as the call itself


def test_a71_a_framework_s_objects_are_refused_where_their_parts_would_count() -> None:
    with pytest.raises(errors.UncacheableCall):
        key_of(function, [Response()])


Decorate = Callable[..., Callable[[Callable[..., Any]], Callable[..., Any]]]


@pytest.fixture(params=["sync", "async"])
def calls(request: pytest.FixtureRequest, plain: pgcache.Cache) -> Callable[..., Callable[..., Any]]:
    """Decorates a function, sync or as an async one, and gives one that can be called."""
    numbers = itertools.count()

    def decorate(function: Callable[..., Any], cache: pgcache.Cache = plain, **how: Any) -> Callable[..., Any]:
        how.setdefault("name", f"decorated-{next(numbers)}")
        if request.param == "sync":
            return cache.cached(**how)(function)

        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        coroutine.__wrapped__ = function  # type: ignore[attr-defined]
        coroutine.__qualname__ = function.__qualname__
        decorated: Callable[..., Awaitable[Any]] = cache.cached(**how)(coroutine)

        def call(*args: Any, **kwargs: Any) -> Any:
            async def run() -> Any:
                return await decorated(*args, **kwargs)

            return asyncio.run(run())

        call.__pgcache__ = decorated.__pgcache__  # type: ignore[attr-defined]
        return call

    return decorate


@pytest.fixture
def small(url: str, schema: str, plain: pgcache.Cache) -> Iterator[pgcache.Cache]:
    """The cache of `plain` for values of up to 100 bytes."""
    settings: dict[str, Any] = {"namespace": plain.setting("namespace"), "max_value_bytes": 100, "on_error": "error"}
    with pgcache.Cache(url, schema=schema, janitor=None, **settings) as cache:
        yield cache


class Counted:
    def __init__(self, result: Callable[..., Any]) -> None:
        self.calls = 0
        self.result = result

    def function(self) -> Callable[..., Any]:
        def counted(x: int = 0, y: int = 0) -> Any:
            self.calls += 1
            return self.result(x, y)

        return counted


def test_a_function_is_computed_once(calls: Any) -> None:
    counted = Counted(lambda x, y: x + y)
    add = calls(counted.function(), ttl=60)
    assert (add(1, 2), add(1, y=2), add(x=1, y=2), add(2, 1)) == (3, 3, 3, 3)
    assert counted.calls == 2


def test_a72_a_cached_none_is_a_hit(calls: Any) -> None:
    counted = Counted(lambda x, y: None)
    nothing = calls(counted.function(), ttl=60)
    assert nothing() is None
    assert nothing() is None
    assert counted.calls == 1


def test_a72_exceptions_are_not_kept(calls: Any) -> None:
    def fail(x: int, y: int) -> None:
        raise LookupError("mine")

    counted = Counted(fail)
    failing = calls(counted.function(), ttl=60)
    for _ in range(2):
        with pytest.raises(LookupError):
            failing()
    assert counted.calls == 2


def _file(x: int, y: int) -> Any:
    return io.BytesIO(b"file")


def _iterator(x: int, y: int) -> Any:
    return iter([1, 2])


def _response(x: int, y: int) -> Any:
    return StreamingResponse(iter([b"1"]))


@pytest.mark.parametrize("stream", [_file, _iterator, _response])
def test_a72_streams_are_not_kept(calls: Any, stream: Any) -> None:
    counted = Counted(stream)
    streaming = calls(counted.function(), ttl=60)
    assert type(streaming()) is type(streaming()) is type(stream(0, 0))
    assert counted.calls == 2


def test_a72_a_function_that_yields(plain: pgcache.Cache) -> None:
    def numbers() -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError, match="yields"):
        plain.cached()(numbers)


def down(**settings: Any) -> pgcache.Cache:
    return pgcache.Cache("host=/nonexistent dbname=x", janitor=None, timeout_ms=200, **settings)


def test_a72_the_cache_is_down(calls: Any) -> None:
    counted = Counted(lambda x, y: x)
    for settings in ({}, {"on_error": "error"}):
        with down(**settings) as cache:
            served = calls(counted.function(), cache=cache, ttl=60)
            assert served(7) == 7
            assert cache.fallbacks + cache.counters()["reads_failed"] >= 1
    assert counted.calls == 2


def test_a72_a_closed_cache_and_bytes_of_another_format(calls: Any, plain: pgcache.Cache) -> None:
    counted = Counted(lambda x, y: x)
    served = calls(counted.function(), ttl=60, key="k")
    plain.put("k", pgcache.Encoded(b"?", 99), ttl=60)
    assert served(1) == 1
    plain.close()
    assert served(2) == 2
    assert plain.fallbacks == 2


def test_a72_a_stored_value_that_is_too_large(calls: Any, plain: pgcache.Cache, small: pgcache.Cache) -> None:
    plain.put("k", "v" * 200, ttl=60)
    counted = Counted(lambda x, y: x)
    assert calls(counted.function(), cache=small, ttl=60, key="k")(7) == 7
    assert small.fallbacks == 1
    with pytest.raises(errors.TooLarge):
        calls(counted.function(), key="k" * 5000)()


def test_a72_what_the_program_does_wrong_it_hears(calls: Any, plain: pgcache.Cache) -> None:
    counted = Counted(lambda x, y: object())
    with pytest.raises(errors.SerializationError):
        calls(counted.function())()
    with pytest.raises(errors.InvalidArgument):
        calls(counted.function(), namespace="with space")()
    with pytest.raises(errors.UncacheableCall):
        calls(counted.function())(object())
    assert plain.fallbacks == 0


def test_bypass(calls: Any) -> None:
    counted = Counted(lambda x, y: counted.calls)
    function = calls(counted.function(), ttl=60, bypass=lambda x=0, y=0: x == 1)
    assert (function(1), function(1)) == (1, 2)
    assert (function(0), function(0)) == (3, 3)


def test_keys_tags_and_namespaces(calls: Any, plain: pgcache.Cache) -> None:
    space = plain.setting("namespace") + "-counts"
    counted = Counted(lambda x, y: counted.calls)
    function = calls(counted.function(), ttl=60, key="count:{x}", tags=["customer:{x}", "all"], namespace=space)
    assert (function(7), function(7, 1), function(8)) == (1, 1, 2)
    assert plain.get("count:7", namespace=space) == 1
    assert call_key(function, 7) == "count:7"
    plain.invalidate(tags=["customer:7"], namespace=space)
    plain.fence()
    assert (function(7), function(8)) == (3, 2)

    by_function = calls(counted.function(), key=lambda x, y=0: f"f:{x}", tags=lambda x, y=0: [f"f:{x}"], vary_on=lambda x, y=0: {"user": y})
    assert by_function(1, 1) != by_function(1, 2)
    assert by_function(1, 1) == by_function(1, 1)
    plain.invalidate(tags=["f:1"])
    plain.fence()
    assert by_function(1, 1) == counted.calls
    assert call_key(by_function, 1, 1) == "f:1|{'user':1}"


def test_a_function_keeps_its_face(plain: pgcache.Cache) -> None:
    @plain.cached(60)
    def documented(x: int) -> int:
        """Doc."""
        return x

    assert documented.__name__ == "documented"
    assert documented.__doc__ == "Doc."

    class Thing(Keyed):
        calls = 0

        @plain.cached(60)
        def method(self, x: int) -> str:
            type(self).calls += 1
            return f"{self.tenant}{x}"

        @classmethod
        @plain.cached(60)
        def of_class(cls, x: int) -> str:
            cls.calls += 1
            return f"{cls.__name__}{x}"

    assert (Thing("a").method(1), Thing("b").method(1), Thing("a").method(1)) == ("a1", "b1", "a1")
    assert (Thing.of_class(1), Thing.of_class(1)) == ("Thing1", "Thing1")
    assert Thing.calls == 3
    with pytest.raises(TypeError, match="not a cached"):
        call_key(test_a_function_keeps_its_face, plain)


def test_an_async_cache_decorates_sync_functions(aio: pgcache.AsyncCache) -> None:
    counted = Counted(lambda x, y: x)
    function = aio.cached(60, name="counted")(counted.function())
    assert (function(1), function(1)) == (1, 1)
    assert counted.calls == 1


def test_a40_of_many_tasks_that_call_at_once_one_computes(plain: pgcache.Cache) -> None:
    counted = Counted(lambda x, y: time.sleep(0.1) or x)

    async def coroutine(x: int) -> Any:
        counted.calls += 1
        await asyncio.sleep(0.1)
        return x

    decorated = plain.cached(60, name="coroutine")(coroutine)

    async def many() -> None:
        assert await asyncio.gather(*(decorated(5) for _ in range(50))) == [5] * 50

    asyncio.run(many())
    assert counted.calls == 1
