"""Keys of calls where they could be shared or missed: names of functions, enumerations, models. SPDX-License-Identifier: MIT"""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
from collections.abc import Callable
from typing import Any

import pydantic
import pytest
from test_cached import function, key_of

import pgcache
from pgcache import call_key, errors


def add(n: int) -> Callable[[int], int]:
    def added(x: int) -> int:
        return x + n

    return added


def traced(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return call


class Thing:
    def __cache_key__(self) -> int:
        return 1

    def method(self, x: int) -> int:
        return x


@pytest.mark.parametrize("many", [lambda x: x, add(1), traced(add(1)), Thing().method, functools.partial(function, 1)])
def test_a71_functions_of_which_there_may_be_many_need_a_name(many: Any) -> None:
    with pgcache.NullCache() as cache:
        with pytest.raises(TypeError, match="name="):
            cache.cached()(many)
        assert str(call_key(cache.cached(name="shop.many")(many), 7)).startswith("shop.many(")
        assert call_key(cache.cached(key="k")(many), 7) == "k"


def test_a71_what_wraps_a_function_has_its_name() -> None:
    assert key_of(traced(function), 1) == key_of(function, 1)


def test_a71_a_second_function_of_a_name_is_refused() -> None:
    def program() -> Callable[[], int]:
        def count() -> int:
            return 1

        return count

    def other() -> int:
        return 2

    other.__qualname__ = program().__qualname__
    with pgcache.NullCache() as cache:
        cache.cached()(program())
        cache.cached()(program())  # the same once more
        with pytest.raises(TypeError, match="already"):
            cache.cached()(other)
        with pytest.raises(TypeError, match="already"):
            cache.aio.cached()(other)
        cache.cached(name="another")(other)
        cache.cached(namespace="elsewhere")(other)


def test_a71_functions_of_programs() -> None:
    def of(**names: Any) -> str:
        names["__name__"] = "__main__"
        exec("def count(): pass", names)
        return str(key_of(names["count"]))

    module = types.SimpleNamespace(name="shop.jobs")
    assert of(__file__="/a/jobs.py", __spec__=None) == "/a/jobs.py.count()"
    assert of(__file__="/b/jobs.py", __spec__=None) == "/b/jobs.py.count()"
    assert of(__file__="/a/jobs.py", __spec__=module) == "shop.jobs.count()"
    assert of() == "__main__.count()"


class Right(enum.Flag):
    READ = 1
    WRITE = 2
    RUN = 4


class Number(enum.IntFlag):
    ONE = 1


def test_a71_flags() -> None:
    rights = [Right(number) for number in range(8)]
    assert len({key_of(function, one) for one in (*rights, *map(Number, range(4)))}) == 12


class Customer(pydantic.BaseModel):
    number: int
    tenant: str = pydantic.Field(default="a", exclude=True)


class Special(Customer):
    discount: int = 0


class Order(pydantic.BaseModel):
    customer: Customer


class Open(pydantic.BaseModel, extra="allow"):
    _hidden: int = 1


def test_a71_models() -> None:
    hidden = Open()
    hidden._hidden = 2
    values = [
        Customer(number=1), Customer(number=1, tenant="b"), Special(number=1), Order(customer=Customer(number=1)),
        Order(customer=Customer(number=1, tenant="b")), Order(customer=Special(number=1)), Order(customer=Special(number=1, discount=1)),
        Open(), Open(x=1), Open(x=2), hidden,
    ]  # fmt: skip
    assert len({key_of(function, value) for value in values}) == len(values)
    assert key_of(function, Order(customer=Customer(number=1))) == key_of(function, Order(customer=Customer(number=1)))


@dataclasses.dataclass
class Rows(list):  # type: ignore[type-arg]
    name: str


@dataclasses.dataclass
class Row(dict):  # type: ignore[type-arg]
    name: str


@pytest.mark.parametrize("value", [Rows("a"), Row("a")])
def test_a71_dataclasses_that_hold_more_than_their_fields(value: Any) -> None:
    with pytest.raises(errors.UncacheableCall):
        key_of(function, value)


class Account:
    """Equal by its identity, and written as its address."""

    def __init__(self, number: int) -> None:
        self.number = number


class Tenant(Account):
    def __cache_key__(self) -> int:
        return self.number


def test_a71_templates_are_of_values() -> None:
    def total(x: Any) -> int:
        raise NotImplementedError

    with pgcache.NullCache() as cache:
        keyed = cache.cached(key="k:{x}")(total)
        assert (call_key(keyed, 7), call_key(keyed, "a"), call_key(keyed, None)) == ("k:7", "k:a", "k:None")
        assert call_key(keyed, Tenant(1)) == call_key(keyed, Tenant(1)) != call_key(keyed, Tenant(2))
        for value in (Account(1), [Account(1)]):
            with pytest.raises(errors.UncacheableCall):
                call_key(keyed, value)
        assert call_key(cache.cached(key="k:{x.number:03}")(total), Account(7)) == "k:007"
        with pytest.raises(errors.UncacheableCall):
            call_key(cache.cached(key="k:{x!r}")(total), Account(1))
        with pytest.raises(errors.UncacheableCall):
            cache.cached(key="k", tags=["t:{x}"])(total)(Account(1))


def test_a71_the_key_of_an_object_s_method() -> None:
    with pgcache.NullCache() as cache:

        class Shop(Tenant):
            @cache.cached(key="shop:{self.number}:{x}")
            def count(self, x: int) -> int:
                return x

        assert call_key(Shop(1).count, 2) == call_key(Shop.count, Shop(1), 2) == "shop:1:2"
