"""What the tests stand on: a private server (ci/with-postgres), and each test with a `Cache` and an `AsyncCache`.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import pgcache

LONG = os.environ.get("PGCACHE_LONG", "") not in ("", "0")
_numbers = itertools.count()


@pytest.fixture(scope="session")
def url() -> str:
    return os.environ["PGCACHE_TEST_URL"]


@pytest.fixture(scope="session")
def schema(url: str) -> str:
    with pgcache.Cache(url, schema="python_tests", janitor=None) as cache:
        cache.init()
    return "python_tests"


SLOWEST = "test_touch"  # sleeps for as long as all others together


@pytest.fixture(scope="session")
def django_suite(url: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Django's own tests of backends, begun: they sleep much, so that others are done meanwhile. In a schema of their own, because they
    flush after each test, and a flush refuses loads."""
    with pgcache.Cache(url, schema="python_django", janitor=None) as cache:
        cache.init()
    program = [sys.executable, str(Path(__file__).with_name("django_suite.py")), os.environ["PGCACHE_DJANGO_TESTS"]]
    environment = {**os.environ, "PGCACHE_SCHEMA": "python_django"}
    begun = [
        subprocess.Popen([*program, only], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for only in (SLOWEST, f"-{SLOWEST}")
    ]
    yield begun
    for process in begun:
        with process:
            process.kill()


@pytest.fixture(scope="session")
def engine_url(url: str) -> Callable[[str], Any]:
    """Gives SQLAlchemy's URL of the server, for a driver."""
    import psycopg
    import sqlalchemy

    given = psycopg.conninfo.conninfo_to_dict(url)
    query = {name: str(given[name]) for name in ("host", "port")}
    return lambda driver: sqlalchemy.URL.create(
        f"postgresql+{driver}", username=str(given["user"]), database=str(given["dbname"]), query=query
    )


class InLoop:
    """An AsyncCache, or what it gives, with the face of its mirror: each coroutine is run in a loop of its own thread."""

    def __init__(self, inner: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._inner, self._loop = inner, loop

    def _wrap(self, result: Any) -> Any:
        if inspect.isasyncgen(result):
            return self._loop.run_until_complete(_all(result))
        if inspect.iscoroutine(result):
            result = self._loop.run_until_complete(result)
        if isinstance(result, (pgcache.AsyncCache, pgcache.AsyncLoad, pgcache.AsyncJanitor)):
            return InLoop(result, self._loop)
        return result

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._inner, name)
        if not callable(attribute):
            return attribute

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._wrap(attribute(*args, **kwargs))

        return call

    def __enter__(self) -> Any:
        return self._wrap(self._inner.__aenter__())

    def __exit__(self, *failure: Any) -> None:
        self._wrap(self._inner.__aexit__(*failure))


async def _all(generator: Any) -> list[Any]:
    return [one async for one in generator]


@pytest.fixture(params=["sync", "async"])
def make(request: pytest.FixtureRequest, url: str, schema: str) -> Iterator[Callable[..., Any]]:
    """Makes caches of either kind, each in a namespace of the test's own unless told otherwise."""
    caches: list[Any] = []
    namespace = f"test-{next(_numbers)}"
    loop = asyncio.new_event_loop() if request.param == "async" else None

    def make_one(where: str | None = None, **settings: Any) -> Any:
        given = {"schema": schema, "namespace": namespace, "janitor": None, "on_error": "error", **settings}
        cls = pgcache.Cache if loop is None else pgcache.AsyncCache
        cache: Any = cls(where or url, **given)
        caches.append(cache if loop is None else InLoop(cache, loop))
        return caches[-1]

    yield make_one
    for cache in caches:
        cache.close()
    if loop is not None:
        loop.close()


@pytest.fixture
def cache(make: Callable[..., Any]) -> Any:
    """A cache of either kind."""
    return make()


@pytest.fixture
def own(make: Callable[..., Any]) -> Any:
    """A cache with a schema of its own."""
    cache = make(schema=f"python_own_{next(_numbers)}")
    cache.init()
    return cache


@pytest.fixture
def plain(url: str, schema: str) -> Iterator[pgcache.Cache]:
    """A Cache."""
    with pgcache.Cache(url, schema=schema, namespace=f"test-{next(_numbers)}", janitor=None, on_error="error") as cache:
        yield cache


@pytest.fixture
def aio(plain: pgcache.Cache) -> pgcache.AsyncCache:
    """An AsyncCache of the same handle."""
    return plain.aio
