"""pgcache.compat.fastapi_cachekit: what fastapi-cachekit's own tests and pages promise, and what they get wrong. Applications are asked
over HTTP, as their clients do it.

SPDX-License-Identifier: MIT
"""

import asyncio
import datetime
import inspect
import pickle
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.testclient import TestClient
from pydantic import BaseModel

import pgcache
from pgcache import errors
from pgcache.compat import fastapi_cachekit
from pgcache.compat.fastapi_cachekit import CacheBackend, FastAPICache, PostgresBackend


@pytest.fixture
def make(url: str, schema: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., PostgresBackend]]:
    monkeypatch.setenv("PGCACHE_SCHEMA", schema)
    made: list[PostgresBackend] = []

    def make_one(namespace: str = "cachekit", **given: Any) -> PostgresBackend:
        made.append(PostgresBackend(url, namespace, **given))
        made[-1].clear()
        return made[-1]

    yield make_one
    for backend in made:
        backend.close()


@pytest.fixture
def backend(make: Callable[..., PostgresBackend]) -> PostgresBackend:
    return make()


# ---- The backend --------------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["sync", "async"])
def face(request: pytest.FixtureRequest, backend: PostgresBackend) -> Iterator[Any]:
    """get, set and so on, whichever way they are done."""
    loop = asyncio.new_event_loop()

    class Face:
        def __getattr__(self, name: str) -> Callable[..., Any]:
            if request.param == "sync":
                return getattr(backend, name)  # type: ignore[no-any-return]
            return lambda *args, **kwargs: loop.run_until_complete(getattr(backend, f"a{name}")(*args, **kwargs))

    yield Face()
    if request.param == "async":
        loop.run_until_complete(backend.aclose())
    loop.close()


def test_a01_set_and_get(face: Any) -> None:
    face.set("foo", {"bar": [1, None]})
    assert face.get("foo") == {"bar": [1, None]}
    assert face.get("other") is None
    assert face.get("other", default=7) == 7
    face.set("none", None)
    assert face.get("none", 7) is None
    face.set("bytes", b"\0")
    assert face.get("bytes") == b"\0"


def test_a03_delete(face: Any) -> None:
    face.set("foo", "bar")
    face.delete("foo")
    assert face.get("foo") is None
    face.delete("foo")


def test_a06_clear_ends_its_namespace_alone(face: Any, make: Callable[..., PostgresBackend]) -> None:
    other = make("cachekit_other")
    for one in (face, other):
        one.set("foo", "bar")
        one.set("baz%", "qux")
    face.clear()
    assert (face.get("foo"), face.get("baz%")) == (None, None)
    assert (other.get("foo"), other.get("baz%")) == ("bar", "qux")


def test_a14_has(face: Any) -> None:
    face.set("foo", None)
    assert face.has("foo") is True
    face.delete("foo")
    assert face.has("foo") is False


def test_a07_expire(face: Any) -> None:
    face.set("foo", "bar", expire=datetime.timedelta(milliseconds=500))
    face.set("later", "bar", expire=60)
    assert face.get("foo") == "bar"
    time.sleep(0.7)
    assert (face.get("foo"), face.has("foo")) == (None, False)
    assert face.get("later") == "bar"


def test_a09_without_expire_for_ever_and_0_is_refused(face: Any, backend: PostgresBackend) -> None:
    face.set("foo", "bar")
    entry = backend.cache.get_entry("foo")
    assert entry is not None
    assert entry.ttl == pgcache.NEVER
    with pytest.raises(errors.InvalidArgument):
        face.set("foo", "bar", expire=0)


def test_long_keys_and_bad_ones(face: Any) -> None:
    face.set("k" * 4096, 1)
    assert face.get("k" * 4096) == 1
    with pytest.raises(errors.TooLarge):
        face.set("k" * 4097, 1)


def test_a_bad_namespace(url: str) -> None:
    for namespace in ("a-b", "a b", "", "ä", "a;b\n"):
        with pytest.raises(ValueError, match="namespace"):
            PostgresBackend(url, namespace)


def test_a50_expired_entries_are_deleted_by_themselves(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCACHE_SCHEMA", "python_cachekit")
    backend = PostgresBackend(url, cleanup_interval=0.05, auto_cleanup=False)  # type: ignore[arg-type]
    backend.set("foo", "bar", expire=datetime.timedelta(milliseconds=1))
    time.sleep(0.3)
    assert backend.cache.stats().expired == 1
    cleaning = PostgresBackend(url, cleanup_interval=1)
    until = time.monotonic() + 5
    while backend.cache.stats().expired:
        assert time.monotonic() < until
        time.sleep(0.01)
    cleaning.close()
    backend.close()


def test_pickles_are_never_read(backend: PostgresBackend, tmp_path: Any) -> None:
    class Attack:
        def __reduce__(self) -> Any:
            return open, (str(tmp_path / "touched"), "w")

    for format in (0, 1, 2, 3, 100):
        backend.cache.put("k", pgcache.Encoded(pickle.dumps(Attack()), format))
        try:
            assert isinstance(backend.get("k"), bytes)  # as it is
        except errors.SerializationError:
            pass
    assert list(tmp_path.iterdir()) == []


def test_python_objects_with_a_signature(make: Callable[..., PostgresBackend]) -> None:
    backend = make(serializer=pgcache.SignedPickle(b"k" * 32))
    value = {"when": datetime.date(2026, 1, 1), 1: (1, {2})}
    backend.set("k", value)
    assert backend.get("k") == value


# ---- The decorator and the dependency ---------------------------------------------------------------------------------------------------


class Item(BaseModel):
    name: str
    value: int
    when: datetime.date = datetime.date(2026, 1, 1)


class Application:
    """One with an endpoint of each kind, which counts what it computes."""

    def __init__(self, backend: CacheBackend | None) -> None:
        self.cache, self.app, self.runs = FastAPICache(), FastAPI(), list[Any]()
        cache, app, runs = self.cache, self.app, self.runs
        if backend is not None:
            cache.init_app(app, backend, default_expire=120)

        @app.get("/async")
        @cache.cached(expire=10, name="async")
        async def endpoint(x: int, request: Request, response: Response) -> dict[str, int]:
            runs.append(x)
            return {"result": x * 2}

        @app.get("/sync")
        @cache.cached(expire=10, name="sync")
        def sync_endpoint(x: int) -> dict[str, int]:
            runs.append(x)
            return {"result": x * 3}

        @app.get("/custom")
        @cache.cached(namespace="custom", key_builder=lambda x: f"custom:{x}", expire=15)
        async def custom(x: int) -> dict[str, int]:
            runs.append(x)
            return {"custom_key": x}

        @app.get("/skip")
        @cache.cached(name="skip")
        async def skip(x: int, skip_cache: bool = False) -> dict[str, Any]:
            runs.append(x)
            return {"result": x, "skip_cache": skip_cache}

        @app.get("/bypass")
        @cache.cached(name="bypass", bypass=lambda request: "x-internal" in request.headers)
        async def bypass(request: Request) -> int:
            runs.append(0)
            return len(runs)

        @app.get("/model", response_model=Item)
        @cache.cached(name="model")
        async def model(name: str, value: int) -> Any:
            runs.append(name)
            return Item(name=name, value=value)

        @app.get("/none")
        @cache.cached(name="none")
        def none() -> None:
            runs.append(None)

        @app.get("/fails")
        @cache.cached(name="fails")
        def fails() -> None:
            runs.append(None)
            raise LookupError("mine")

        @app.get("/stream")
        @cache.cached(name="stream")
        def stream() -> StreamingResponse:
            runs.append(None)
            return StreamingResponse(iter(["a", "b"]))

        @app.get("/response")
        @cache.cached(name="response")
        def response() -> JSONResponse:
            runs.append(None)
            return JSONResponse({"a": 1})

        @app.get("/response_async")
        @cache.cached(name="response_async")
        async def response_async() -> Any:
            runs.append(None)
            return Response(status_code=418)

        @app.get("/profile/{user}")
        async def profile(user: int, kept: Annotated[CacheBackend, Depends(cache.get_cache)]) -> dict[str, Any]:
            found = await kept.aget(f"profile:{user}")
            if found:
                return {"profile": found, "cached": True}
            await kept.aset(f"profile:{user}", {"user": user}, expire=60)
            return {"profile": {"user": user}, "cached": False}

        @app.get("/injected")
        @cache.cached(name="injected")
        async def injected(x: int, kept: Annotated[CacheBackend, Depends(cache.get_cache)]) -> int:
            runs.append(x)
            return x


@pytest.fixture
def application(backend: PostgresBackend) -> Application:
    return Application(backend)


@pytest.fixture
def client(application: Application) -> Iterator[TestClient]:
    with TestClient(application.app) as client:
        yield client


@pytest.mark.parametrize(("path", "result"), [("/async", {"result": 20}), ("/sync", {"result": 30}), ("/custom", {"custom_key": 10})])
def test_a70_an_endpoint_computes_once(application: Application, client: TestClient, path: str, result: Any) -> None:
    for _ in range(3):
        answer = client.get(path, params={"x": 10})
        assert (answer.status_code, answer.json()) == (200, result)
    assert application.runs == [10]
    client.get(path, params={"x": 11})
    assert application.runs == [10, 11]


def test_keys_of_ones_own(client: TestClient, backend: PostgresBackend) -> None:
    client.get("/custom", params={"x": 42})
    assert backend.get("custom:custom:42") == {"custom_key": 42}


def test_a73_the_client_does_not_decide_what_is_skipped(application: Application, client: TestClient) -> None:
    for skip in (None, True, False):
        answer = client.get("/skip", params={"x": 3, **({} if skip is None else {"skip_cache": skip})})
        assert answer.json() == {"result": 3, "skip_cache": False}
    assert application.runs == [3]


def test_a73_the_server_does(application: Application, client: TestClient) -> None:
    assert [client.get("/bypass").json() for _ in range(2)] == [1, 1]
    assert client.get("/bypass", headers={"X-Internal": "1"}).json() == 2
    assert client.get("/bypass").json() == 1
    runs: list[int] = []

    @application.cache.cached(name="plain")
    def function(x: int) -> int:
        runs.append(x)
        return x

    assert [function(1), function(x=1), function(1, skip_cache=True)] == [1, 1, 1]  # type: ignore[call-arg]
    assert runs == [1, 1]


def test_a73_the_backend_is_injected(client: TestClient, application: Application) -> None:
    assert [client.get("/profile/123").json()["cached"] for _ in range(2)] == [False, True]
    assert [client.get("/injected", params={"x": 1}).json() for _ in range(2)] == [1, 1]
    assert application.runs == [1]
    with pytest.raises(RuntimeError, match="init_app"):
        FastAPICache().get_cache()


class Paging:
    """A class as a dependency, as FastAPI's tutorial has them; without a representation by value."""

    def __init__(self, skip: int = 0) -> None:
        self.skip = skip


def user_of(request: Request) -> str:
    return request.headers["x-user"]


def paging_of(skip: int = 0, limit: int = 10) -> dict[str, int]:
    return {"skip": skip, "limit": limit}


def test_a71_what_is_injected_parts_those_who_ask(backend: PostgresBackend, caplog: pytest.LogCaptureFixture) -> None:
    cache, app, runs = FastAPICache(), FastAPI(), list[Any]()
    cache.init_app(app, backend)

    @app.get("/me")
    @cache.cached(name="me")
    def me(user: Annotated[str, Depends(user_of)]) -> str:
        runs.append(user)
        return user

    @app.get("/pages")
    @cache.cached(name="pages")
    async def pages(paging: dict[str, int] = Depends(paging_of)) -> dict[str, int]:  # noqa: B008
        runs.append(paging)
        return paging

    @app.get("/objects")
    @cache.cached(name="objects")
    async def objects(paging: Annotated[Paging, Depends()]) -> int:
        runs.append(paging.skip)
        return paging.skip

    @app.get("/chosen")
    @cache.cached(key_builder=lambda paging: f"chosen:{paging.skip}")
    async def chosen(paging: Annotated[Paging, Depends()]) -> int:
        runs.append(paging.skip)
        return paging.skip

    with TestClient(app) as client:
        for _ in range(2):
            for user in ("ada", "eve"):
                assert client.get("/me", headers={"X-User": user}).json() == user
        assert runs == ["ada", "eve"]
        for skip in (0, 10, 0):
            assert client.get("/pages", params={"skip": skip}).json() == {"skip": skip, "limit": 10}
        assert len(runs) == 4
        for skip in (1, 2, 1):
            assert client.get("/objects", params={"skip": skip}).json() == skip
        assert runs[4:] == [1, 2, 1]  # not kept
        assert caplog.text.count("objects is not kept: its dependency paging has no") == 1
        for skip in (1, 2, 1):
            assert client.get("/chosen", params={"skip": skip}).json() == skip
        assert runs[7:] == [1, 2]


def test_how_long_others_wait(application: Application) -> None:
    runs: list[float] = []

    @application.cache.cached(60, None, "ns", True, lock_timeout=20, lock_wait=0.1, name="slow")
    async def slow(seconds: float) -> float:
        runs.append(seconds)
        await asyncio.sleep(seconds)
        return seconds

    async def scene() -> float:
        first = asyncio.create_task(slow(1.5))
        await asyncio.sleep(0.3)
        began = time.monotonic()
        second = asyncio.create_task(slow(1.5))
        while len(runs) < 2:
            await asyncio.sleep(0.01)
        waited = time.monotonic() - began
        assert await asyncio.gather(first, second) == [1.5, 1.5]
        return waited

    assert 0.05 < asyncio.run(scene()) < 1


def test_models_and_dates(application: Application, client: TestClient) -> None:
    for _ in range(2):
        assert client.get("/model", params={"name": "foo", "value": 1}).json() == {"name": "foo", "value": 1, "when": "2026-01-01"}
    assert application.runs == ["foo"]


def test_a72_what_is_kept_and_what_is_not(application: Application, client: TestClient) -> None:
    assert [client.get("/none").json() for _ in range(2)] == [None, None]
    assert len(application.runs) == 1
    for _ in range(2):
        with pytest.raises(LookupError):
            client.get("/fails")
    assert len(application.runs) == 3
    assert [client.get("/stream").text for _ in range(2)] == ["ab", "ab"]
    assert len(application.runs) == 5
    assert [client.get("/response").json() for _ in range(2)] == [{"a": 1}, {"a": 1}]
    assert [client.get("/response_async").status_code for _ in range(2)] == [418, 418]
    assert len(application.runs) == 9


def test_a72_without_a_server_functions_serve_themselves(application: Application, client: TestClient, backend: PostgresBackend) -> None:
    backend.cache.close()
    for path in ("/async", "/sync", "/custom"):
        assert client.get(path, params={"x": 1}).status_code == 200
    assert application.runs == [1, 1, 1]
    assert backend.cache.fallbacks == 3


def test_a40_concurrent_misses_compute_once(application: Application) -> None:
    runs: list[int] = []

    @application.cache.cached(name="heavy")
    async def heavy(x: int) -> int:
        await asyncio.sleep(0.05)
        runs.append(x)
        return x

    async def scene() -> list[int]:
        return await asyncio.gather(*(heavy(7) for _ in range(10)))

    assert asyncio.run(scene()) == [7] * 10
    assert runs == [7]


def test_a71_keys(application: Application) -> None:
    cache, runs = application.cache, list[Any]()

    class One:
        def __cache_key__(self) -> None:
            return None

        @cache.cached(name="One.find")
        def find(self, x: int, y: int = 2) -> str:
            runs.append(("One", x, y))
            return "one"

    class Other(One):
        @cache.cached(name="Other.find")
        def find(self, x: int, y: int = 2) -> str:
            runs.append(("Other", x, y))
            return "other"

    assert {One().find(1, 2), One().find(1, y=2), One().find(x=1, y=2), One().find(1)} == {"one"}
    assert Other().find(1) == "other"
    assert runs == [("One", 1, 2), ("Other", 1, 2)]
    with pytest.raises(errors.UncacheableCall):
        One().find(object())  # type: ignore[arg-type]


def test_without_a_backend_functions_serve_themselves() -> None:
    application = Application(None)
    with TestClient(application.app) as client:
        for _ in range(2):
            assert client.get("/async", params={"x": 1}).json() == {"result": 2}
            assert client.get("/sync", params={"x": 1}).json() == {"result": 3}
    assert application.runs == [1] * 4


def test_other_backends(make: Callable[..., PostgresBackend]) -> None:
    class Dictionary(CacheBackend):
        def __init__(self) -> None:
            self.kept: dict[str, Any] = {}
            self.expires: set[Any] = set()

        def get(self, key: str, default: Any = None) -> Any:
            return self.kept.get(key, default)

        def set(self, key: str, value: Any, expire: Any = None) -> None:
            self.kept[key] = value
            self.expires.add(expire)

        def delete(self, key: str) -> None:
            self.kept.pop(key, None)

        def clear(self) -> None:
            self.kept.clear()

        def has(self, key: str) -> bool:
            return key in self.kept

        async def aget(self, key: str, default: Any = None) -> Any:
            return self.get(key, default)

        async def aset(self, key: str, value: Any, expire: Any = None) -> None:
            self.set(key, value, expire)

        async def adelete(self, key: str) -> None:
            self.delete(key)

        async def aclear(self) -> None:
            self.clear()

        async def ahas(self, key: str) -> bool:
            return self.has(key)

    mine = Dictionary()
    application = Application(mine)
    with TestClient(application.app) as client:
        for _ in range(2):
            assert client.get("/async", params={"x": 1}).json() == {"result": 2}
            assert client.get("/sync", params={"x": 1}).json() == {"result": 3}
            assert client.get("/custom", params={"x": 1}).json() == {"custom_key": 1}
            client.get("/skip", params={"x": 1})
            assert client.get("/none").json() is None
        assert application.runs == [1] * 4 + [None]
        assert mine.expires == {10, 15, 120}
        assert "custom:custom:1" in mine.kept
        application.cache.init_app(application.app, mine, default_expire=7)
        client.get("/skip", params={"x": 2})
        assert mine.expires == {10, 15, 120, 7}
    application.cache.init_app(application.app, make())  # another one from now on
    with TestClient(application.app) as client:
        client.get("/sync", params={"x": 1})
    assert application.runs == [1, 1, 1, 1, None, 2, 1]
    assert set(vars(CacheBackend)["__abstractmethods__"]) == {
        "get", "set", "delete", "clear", "has", "aget", "aset", "adelete", "aclear", "ahas",
    }  # fmt: skip


def test_the_life_of_an_application(make: Callable[..., PostgresBackend]) -> None:
    cache, backend = FastAPICache(), make()
    app = FastAPI(lifespan=cache.lifespan_handler)
    cache.init_app(app, backend)
    with TestClient(app):
        assert app.state.cache is cache
        assert cache.get_cache() is backend
    assert backend.cache.closed
    with pytest.raises(RuntimeError):
        cache.get_cache()


@pytest.mark.parametrize(("methods", "called"), [(["aclose", "close"], ["aclose"]), (["close"], ["close"]), ([], [])])
def test_how_a_backend_is_closed(methods: list[str], called: list[str]) -> None:
    calls: list[str] = []

    async def aclose() -> None:
        calls.append("aclose")

    backend: Any = type("Backend", (), {})()
    for name in methods:
        setattr(backend, name, aclose if name == "aclose" else lambda: calls.append("close"))
    cache = FastAPICache()
    cache.init_app(FastAPI(), backend)
    with TestClient(FastAPI(lifespan=cache.lifespan_handler)):
        pass
    assert calls == called


def test_importing_reads_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCACHE_TIMEOUT_MS", "nonsense")
    FastAPICache()
    with pytest.raises(errors.BadSetting):
        pgcache.NullCache()


def test_decorated_functions_look_as_before() -> None:
    @fastapi_cachekit.cache.cached(name="looks")
    async def looks(x: int) -> int:
        """Words."""
        return x

    assert inspect.iscoroutinefunction(looks)
    assert (looks.__name__, looks.__doc__, str(inspect.signature(looks))) == ("looks", "Words.", "(x: int) -> int")
    assert asyncio.run(looks(1)) == 1
    with pytest.raises(TypeError, match="yields"):
        fastapi_cachekit.cache.cached(name="yields")(iterates)


def iterates() -> Iterator[int]:
    yield 1
