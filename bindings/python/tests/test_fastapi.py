"""Endpoints of FastAPI, over real HTTP. SPDX-License-Identifier: MIT"""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Annotated, Any

import psycopg
import pytest
from fastapi import BackgroundTasks, Body, Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse
from fastapi.security import APIKeyHeader
from pydantic import BaseModel
from serving import Answer, Serving, Stage
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import HTTPConnection

import pgcache
from pgcache import AsyncCache
from pgcache.fastapi import ResponseCache


class Web:
    """An application with a cache of responses, whose endpoints count how often they are run."""

    def __init__(self, cache: AsyncCache, serving: Serving, stage: Stage) -> None:
        self.cache = cache
        self.app = stage.app = FastAPI()
        self.responses = ResponseCache(cache)
        self.responses.init_app(self.app)
        self.calls = 0
        self._serving = serving

    def endpoint(self, answer: Callable[[int], Any] = lambda calls: {"calls": calls}, path: str = "/", **how: Any) -> None:
        how.setdefault("ttl", 60)

        @self.app.api_route(path, methods=["GET", "HEAD", "POST"], response_model=None)
        @self.responses.cached(**how)
        async def endpoint() -> Any:
            self.calls += 1
            return answer(self.calls)

    @property
    def port(self) -> int:
        return self._serving.port

    def ask(self, path: str = "/", method: str = "GET", body: Any = None, **headers: str) -> Answer:
        return self._serving.ask(path, method, body, **headers)

    def words(self, *paths: str) -> list[str]:
        return [self.ask(path).x_cache for path in paths]


@pytest.fixture(scope="module")
def stage() -> Stage:
    return Stage()


@pytest.fixture(scope="module")
def serving(stage: Stage) -> Iterator[Serving]:
    with Serving(stage) as serving:
        yield serving


@pytest.fixture
def make_web(serving: Serving, stage: Stage) -> Iterator[Callable[[AsyncCache], Web]]:
    made: list[Web] = []

    def make(cache: AsyncCache) -> Web:
        made.append(Web(cache, serving, stage))
        return made[-1]

    yield make
    for web in made:
        stage.run(web.cache.close())


@pytest.fixture
def web(make_web: Callable[[AsyncCache], Web], aio: AsyncCache) -> Web:
    return make_web(aio)


# ---- [A70] [A71]: an endpoint computes once ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", ["response", "value"])
def test_a70_an_endpoint_that_is_called_twice_computes_once(web: Web, kept: str) -> None:
    calls: list[str] = []

    def decorate(name: str) -> Any:
        return web.responses.cached(60) if kept == "response" else web.cache.cached(60, name=name)

    @web.app.get("/async/{number}")
    @decorate("async")
    async def asynchronous(number: int) -> dict[str, int]:
        calls.append("async")
        return {"square": number * number}

    @web.app.get("/sync/{number}")
    @decorate("sync")
    def synchronous(number: int) -> dict[str, int]:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        calls.append("sync")
        return {"square": number * number}

    for kind in ("async", "sync"):
        assert [web.ask(f"/{kind}/7").json for _ in range(2)] == [{"square": 49}] * 2
        assert web.ask(f"/{kind}/8").json == {"square": 64}
    assert calls == ["async", "async", "sync", "sync"]


async def session() -> object:
    return object()


def test_a71_what_belongs_to_a_request_never_enters_the_key(web: Web) -> None:
    calls: list[int] = []

    @web.app.get("/value")
    @web.cache.cached(60, name="value")
    def value(
        x: int,
        request: Request,
        response: Response,
        tasks: BackgroundTasks,
        database: Annotated[object, Depends(session)],
    ) -> int:
        calls.append(x)
        return x

    assert [web.ask(path).json for path in ("/value?x=1", "/value?x=1&y=2", "/value?x=01", "/value?x=2")] == [1, 1, 1, 2]
    assert calls == [1, 2]


def test_a71_a_response_is_kept_for_its_url(web: Web) -> None:
    web.endpoint(path="/a")
    web.endpoint(path="/a/{x}")
    paths = ["/a", "/a?x=1", "/a?x=2", "/a?x=1&x=2", "/a/x", "/a/%78", "/a/x%3Fy", "/a/x?y"]
    assert web.words(*paths) == ["MISS"] * len(paths)
    assert web.words(*paths) == ["HIT"] * len(paths)
    assert web.ask("/a", Host="other").x_cache == "MISS"
    assert web.ask("/a?long=" + "x" * 5000).x_cache == "MISS"
    assert web.ask("/a?long=" + "x" * 5000).x_cache == "HIT"
    assert web.ask("/a?long=" + "x" * 4999 + "y").x_cache == "MISS"


class Shown(BaseModel):
    x: int


class Stored(Shown):
    secret: str = "hidden"


def test_an_endpoint_keeps_its_face(web: Web) -> None:
    @web.app.get("/model")
    @web.responses.cached(60)
    async def model(x: int, request: Request, more: Annotated[str, Header()] = "none") -> Shown:
        """Doc."""
        assert request.url.path == "/model"
        return Stored(x=x)

    assert model.__doc__ == "Doc."
    assert [web.ask("/model?x=3").json for _ in range(2)] == [{"x": 3}] * 2
    assert (web.ask("/model").status, web.ask("/model?x=no").status) == (422, 422)
    (operation,) = web.ask("/openapi.json").json["paths"]["/model"].values()
    assert [parameter["name"] for parameter in operation["parameters"]] == ["x", "more"]


# ---- [A72]: what is kept ---------------------------------------------------------------------------------------------------------


def test_a72_none_is_kept(web: Web) -> None:
    web.endpoint(lambda calls: None)
    answers = [web.ask() for _ in range(2)]
    assert [(answer.status, answer.body, answer.x_cache) for answer in answers] == [(200, b"null", "MISS"), (200, b"null", "HIT")]
    assert answers[0].content_type == answers[1].content_type == "application/json"
    assert web.calls == 1


def test_a72_what_an_endpoint_raises_is_not_kept(web: Web) -> None:
    def answer(calls: int) -> int:
        if calls < 3:
            raise LookupError("mine")
        return calls

    web.endpoint(answer)
    assert [web.ask().status for _ in range(4)] == [500, 500, 200, 200]
    assert web.calls == 3


def streamed(calls: int) -> Response:
    async def parts() -> Any:
        yield b"first"
        yield b"second"

    return StreamingResponse(parts())


def refused(calls: int) -> Response:
    raise HTTPException(404, "none")


NOT_KEPT: dict[str, tuple[Callable[[int], Any], dict[str, Any]]] = {
    "a stream": (streamed, {}),
    "a cookie": (lambda calls: PlainTextResponse("x", headers={"Set-Cookie": "a=b"}), {}),
    "no-store": (lambda calls: PlainTextResponse("x", headers={"Cache-Control": "max-age=9, No-Store"}), {}),
    "private": (lambda calls: PlainTextResponse("x", headers={"Cache-Control": 'private="x"'}), {}),
    "Vary: *": (lambda calls: PlainTextResponse("x", headers={"Vary": "*"}), {"vary": ["Accept"]}),
    "another Vary": (lambda calls: PlainTextResponse("x", headers={"Vary": "Accept, Origin"}), {"vary": ["Accept"]}),
    "not found": (lambda calls: PlainTextResponse("x", 404), {}),
    "raised not found": (refused, {}),
    "created": (lambda calls: PlainTextResponse("x", 201), {}),
    "moved": (lambda calls: Response(status_code=302, headers={"Location": "/"}), {}),
    "long": (lambda calls: PlainTextResponse("x" * 101), {"max_body": 100}),
}


@pytest.mark.parametrize("kind", NOT_KEPT)
def test_a72_what_may_not_be_kept(web: Web, kind: str) -> None:
    answer, how = NOT_KEPT[kind]
    web.endpoint(answer, **how)
    answers = [web.ask() for _ in range(3)]
    assert [one.x_cache for one in answers] == ["MISS", "BYPASS", "BYPASS"]
    assert len({(one.status, one.body, one.etag, one.cache_control) for one in answers}) == 1
    assert web.calls == 3


def test_a72_an_answer_that_is_not_whole_is_not_kept(web: Web) -> None:
    web.endpoint(lambda calls: PlainTextResponse("x", headers={"Content-Length": "5"}))
    for _ in range(2):
        with pytest.raises(http.client.IncompleteRead):
            web.ask()
    assert web.calls == 2


class Refused(Exception):
    pass


def test_a72_what_becomes_of_an_exception_is_not_kept(web: Web) -> None:
    """Whatever its status is."""

    @web.app.exception_handler(Refused)
    async def say(request: Request, refused: Exception) -> Response:
        return PlainTextResponse("sorry")

    def answer(calls: int) -> str:
        if calls < 3:
            raise Refused
        return "answer"

    web.endpoint(answer)
    assert [(one.x_cache, one.body) for one in (web.ask(), web.ask(), web.ask())] == [
        ("MISS", b"sorry"), ("BYPASS", b"sorry"), ("BYPASS", b'"answer"')
    ]  # fmt: skip


def test_a72_a_stream_passes_before_its_first_part(web: Web) -> None:
    go_on = threading.Event()

    @web.app.get("/")
    @web.responses.cached(60)
    async def events() -> Response:
        async def parts() -> Any:
            while not go_on.is_set():
                await asyncio.sleep(0.01)
            yield b"event"

        return StreamingResponse(parts())

    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=3)
    try:
        connection.request("GET", "/")
        begun = connection.getresponse()  # its headers
        assert begun.getheader("X-Cache") == "MISS"
        with ThreadPoolExecutor(1) as client:
            other = client.submit(web.ask)
            time.sleep(0.1)
            go_on.set()
            assert other.result().x_cache == "BYPASS"
        assert begun.read() == b"event"
    finally:
        go_on.set()
        connection.close()


def test_a72_what_is_too_long_for_the_cache_leaves_a_note(make_web: Any, url: str, schema: str) -> None:
    web = make_web(AsyncCache(url, schema=schema, namespace="too-long", janitor=None, max_value_bytes=1000))
    web.cache.sync.init()
    web.endpoint(lambda calls: PlainTextResponse("x" * 2000))
    assert web.words("/", "/") == ["MISS", "BYPASS"]


def test_a72_nobody_waits_for_what_may_not_be_kept(web: Web) -> None:
    meet = threading.Barrier(3, timeout=10)

    @web.app.get("/")
    @web.responses.cached(60)
    def meeting() -> Response:
        web.calls += 1
        if web.calls > 1:
            meet.wait()  # only together
        return PlainTextResponse("x", headers={"Cache-Control": "no-store"})

    assert web.words("/") == ["MISS"]
    with ThreadPoolExecutor(3) as clients:
        assert list(clients.map(lambda _: web.ask().x_cache, range(3))) == ["BYPASS"] * 3


@pytest.mark.parametrize("on_error", ["miss", "error"])
def test_a72_the_cache_is_down(make_web: Any, on_error: str) -> None:
    web = make_web(AsyncCache("host=/nonexistent dbname=x", janitor=None, timeout_ms=150, on_error=on_error))
    web.endpoint(max_age=60)
    for number in (1, 2):
        began = time.monotonic()
        answer = web.ask()
        assert time.monotonic() - began < 10  # far less than without a deadline, on a busy machine, too
        assert (answer.status, answer.x_cache, answer.json) == (200, "ERROR", {"calls": number})
        assert answer.cache_control == "max-age=0"
    assert web.ask(method="HEAD").status == 200
    assert sum(sample.value for sample in web.cache.snapshot() if sample.name == "pgcache_loads_total") == 0
    failed = [
        one for one in web.cache.snapshot() if one.name == "pgcache_operation_duration_seconds" and one.labels["operation"] == "load_begin"
    ]
    assert sum(one.count for one in failed) >= 2


def test_a72_a_cache_that_answers_no_more_takes_no_more_than_its_deadline(make_web: Any, url: str) -> None:
    web = make_web(AsyncCache(url, schema="python_locked", janitor=None, timeout_ms=400))
    web.cache.sync.init()

    def lock(calls: int) -> str:
        locking.execute("LOCK TABLE python_locked.entries IN ACCESS EXCLUSIVE MODE")
        return "locked"

    web.endpoint(lock)
    with psycopg.connect(url) as locking:
        began = time.monotonic()
        answer = web.ask()
        assert time.monotonic() - began < 10  # far less than without a deadline, on a busy machine, too
        assert (answer.x_cache, answer.json) == ("ERROR", "locked")


def test_a_cache_that_is_switched_off(make_web: Any) -> None:
    web = make_web(AsyncCache("null:"))
    web.endpoint()
    assert web.words("/", "/") == ["MISS", "MISS"]


def test_a72_something_else_under_the_key(web: Web, plain: pgcache.Cache) -> None:
    web.endpoint(key=lambda request: "k")
    cut_off = b'HTTP/1.1 200 OK\r\netag: "x"'
    for value in ({"a": 1}, b"bytes", b"HTTP/1.1 200 OK\r\n\r\nbody", cut_off, pgcache.Encoded(b"?", 99)):
        plain.put("k", value, ttl=60)
        answer = web.ask()
        assert (answer.status, answer.x_cache) == (200, "ERROR")
    assert web.calls == 5


def test_a72_something_else_that_is_stale_is_left_alone(web: Web, plain: pgcache.Cache) -> None:
    web.endpoint(key=lambda request: "k", stale=60)
    with plain.load_begin("k", ttl=0.1, stale=60) as load:
        load.fill({"of": "others"})
    time.sleep(0.15)
    assert web.words("/", "/") == ["ERROR", "ERROR"]
    time.sleep(0.05)
    assert plain.get_or_load("k", lambda: {"new": 1}, ttl=60, stale=60) == {"of": "others"}


def test_what_is_stored_is_a_message_of_http(web: Web, plain: pgcache.Cache) -> None:
    web.endpoint(lambda calls: PlainTextResponse("body", headers={"X-Own": "1"}), key=lambda request: "k")
    web.ask()
    stored = plain.get("k")
    assert stored.startswith(b"HTTP/1.1 200 OK\r\n")
    head, _, body = stored.partition(b"\r\n\r\n")
    assert sorted(line.split(b":")[0] for line in head.split(b"\r\n")[1:]) == [b"content-type", b"etag", b"x-own"]
    assert body == b"body"


# ---- [A73]: bypass, refresh, dependency injection ----------------------------------------------------------------------------------


def test_a73_bypass_and_refresh_are_the_server_s_to_decide(web: Web) -> None:
    web.endpoint(
        bypass=lambda request: request.headers.get("x-staff") == "bypass",
        refresh=lambda request: request.headers.get("x-staff") == "refresh",
    )
    assert [web.ask().json["calls"] for _ in range(2)] == [1, 1]
    answer = web.ask(X_Staff="bypass")
    assert (answer.x_cache, answer.json, answer.etag) == ("BYPASS", {"calls": 2}, None)
    assert web.ask().json == {"calls": 1}
    answer = web.ask(X_Staff="refresh")
    assert (answer.x_cache, answer.json) == ("MISS", {"calls": 3})
    assert web.ask().json == {"calls": 3}
    for asked in ({"Cache_Control": "no-cache"}, {"Cache_Control": "no-store, max-age=0"}, {"Pragma": "no-cache"}):
        assert web.ask(**asked).x_cache == "HIT"
    web.ask("/?skip_cache=true")
    assert web.ask("/?skip_cache=true").x_cache == "HIT"
    assert web.ask(method="HEAD", X_Staff="refresh").x_cache == "MISS"
    assert web.ask().json == {"calls": 3}


def test_a73_dependency_injection_gives_the_cache(web: Web) -> None:
    depends = Depends(web.responses.get_cache)

    @web.app.get("/{key}")
    async def read(key: str, cache: AsyncCache = depends) -> Any:
        return await cache.get(key)

    @web.app.post("/{key}")
    async def write(key: str, cache: AsyncCache = depends) -> None:
        await cache.put(key, {"written": key})

    web.ask("/k", "POST")
    assert web.ask("/k").json == {"written": "k"}


def test_whoever_may_not_ask_is_refused_on_a_hit_too(web: Web) -> None:
    def guard(x_token: Annotated[str, Header()]) -> None:
        if x_token != "secret":
            raise HTTPException(403)

    @web.app.get("/", dependencies=[Depends(guard)])
    @web.responses.cached(60)
    async def guarded() -> str:
        return "for some"

    assert [web.ask(X_Token=token).status for token in ("secret", "wrong", "secret")] == [200, 403, 200]
    assert web.ask(X_Token="secret").x_cache == "HIT"


def test_headers_that_dependencies_set_are_of_each_request(web: Web, plain: pgcache.Cache) -> None:
    def account(x_key: Annotated[str, Header()], response: Response) -> None:
        response.headers["X-Account"] = x_key
        response.headers["X-Own"] = "0"
        response.headers["Cache-Control"] = "max-age=7"
        if x_key == "new":
            response.set_cookie("visitor", "1")

    @web.app.get("/", dependencies=[Depends(account)])
    @web.responses.cached(60, key=lambda request: "k")
    async def endpoint(response: Response) -> str:
        response.headers["X-Own"] = "1"
        return "x"

    answers = [web.ask(X_Key=key) for key in ("first", "second", "new")]
    assert [answer.x_cache for answer in answers] == ["MISS", "HIT", "HIT"]
    assert [answer.headers.get_all("x-account") for answer in answers] == [["first"], ["second"], ["new"]]
    assert {(answer.x_own, answer.cache_control) for answer in answers} == {("1", "max-age=7")}
    assert [answer.set_cookie is None for answer in answers] == [True, True, False]
    assert b"first" not in plain.get("k")


# ---- Who asks ----------------------------------------------------------------------------------------------------------------------


CREDENTIALS: list[dict[str, str]] = [{"Authorization": "Basic x"}, {"Cookie": "a=b"}]


@pytest.mark.parametrize("header", CREDENTIALS, ids=lambda header: next(iter(header)))
def test_credentials_pass_unless_it_is_said_what_they_mean(web: Web, header: dict[str, str]) -> None:
    (name,) = header
    web.endpoint(path="/plain")
    web.endpoint(path="/vary", vary=[name])
    web.endpoint(path="/public", public=True)
    web.endpoint(path="/key", key=lambda request: request.url.path)
    assert web.ask("/plain").x_cache == "MISS"
    assert web.ask("/plain", **header).x_cache == "BYPASS"
    assert [web.ask("/vary", **given).x_cache for given in (header, {}, {name: "other"}, header, {})] == ["MISS"] * 3 + ["HIT"] * 2
    for path in ("/public", "/key"):
        assert [web.ask(path, **given).x_cache for given in (header, {}, {name: "other"})] == ["MISS", "HIT", "HIT"]
    assert web.ask("/vary", **header).vary == name.lower()
    assert [key.key for key in web.cache.sync.keys() if header[name].encode() in key.key] == []


MORE = ["Range", "If-Range", "If-Match", "If-Unmodified-Since", "Upgrade"]


@pytest.mark.parametrize("header", MORE)
def test_requests_for_more_than_the_whole_answer_pass(web: Web, header: str) -> None:
    web.endpoint(lambda calls: PlainTextResponse("x", 206 if calls == 1 else 200))
    assert web.ask(**{header: "x"}).x_cache == "BYPASS"  # and leaves no note
    assert web.words("/", "/") == ["MISS", "HIT"]
    assert web.ask(**{header: "x"}).x_cache == "BYPASS"


def test_requests_with_a_body_pass(web: Web) -> None:
    """The answer may depend on it, which is in no key."""

    @web.app.get("/")
    @web.responses.cached(60)
    async def search(text: Annotated[str, Body()] = "none") -> str:
        return text

    assert [(one.x_cache, one.json) for one in (web.ask(body="a"), web.ask(), web.ask(body="b"), web.ask())] == [
        ("BYPASS", "a"), ("MISS", "none"), ("BYPASS", "b"), ("HIT", "none")
    ]  # fmt: skip
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=5)
    connection.request("GET", "/", iter([b'"in chunks"']), {"Content-Type": "application/json"}, encode_chunked=True)
    assert connection.getresponse().read() == b'"in chunks"'
    connection.close()


def test_an_endpoint_that_compares_itself_gives_the_whole_answer(web: Web) -> None:
    @web.app.get("/")
    @web.responses.cached(60)
    async def compares(request: Request) -> Response:
        return Response(status_code=304) if {"if-none-match", "if-modified-since"} & set(request.headers) else PlainTextResponse("x")

    @web.app.get("/parameter")
    @web.responses.cached(60)
    async def compares_earlier(if_none_match: Annotated[str, Header()] = "") -> Response:
        return Response(status_code=304) if if_none_match else PlainTextResponse("x")

    asked = {"If_None_Match": '"old"', "If_Modified_Since": "Sat, 01 Jan 2000 00:00:00 GMT"}
    assert [(one.status, one.x_cache) for one in (web.ask(**asked), web.ask())] == [(200, "MISS"), (200, "HIT")]
    asked = {"If_None_Match": '"old"'}
    answers = [web.ask("/parameter", **given) for given in (asked, asked, {}, asked)]
    assert [(one.status, one.x_cache) for one in answers] == [(304, "MISS"), (304, "MISS"), (200, "MISS"), (200, "HIT")]


def test_a_path_that_middleware_has_made_another_one_of(web: Web) -> None:
    web.endpoint(lambda calls: str(calls), path="/{tenant}/orders")

    class Tenants:
        def __init__(self, app: Any) -> None:
            self._app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            tenant = dict(scope["headers"]).get(b"x-tenant", b"none").decode()
            await self._app({**scope, "path": f"/{tenant}{scope['path']}"}, receive, send)

    web.app.add_middleware(Tenants)
    assert [web.ask("/orders", X_Tenant=tenant).json for tenant in ("a", "b", "a", "b")] == ["1", "2", "1", "2"]


def test_what_an_application_may_take_for_its_address_is_part_of_the_key(web: Web) -> None:
    web.endpoint(lambda calls: str(calls))
    false = [{"X_Forwarded_Host": "evil"}, {"X_Forwarded_Prefix": "/evil"}, {"Forwarded": "for=1.2.3.4;host=evil"}, {"Host": "x /y"}]
    assert [web.ask(**said).x_cache for said in false] == ["MISS"] * 4
    assert [web.ask(**said).x_cache for said in ({}, {"Forwarded": "for=1.2.3.4;by=5"}, {"X_Forwarded_For": "1.2.3.4"})] == [
        "MISS", "HIT", "HIT"
    ]  # fmt: skip


def test_keys_of_fastapi_s_own_security_are_credentials(web: Web) -> None:
    key_of = Depends(APIKeyHeader(name="X-Key", auto_error=False))

    def name(key: Any = key_of) -> str:
        return f"owner of {key}"

    who = Depends(name)
    for path, how in {"/plain": {}, "/vary": {"vary": ["X-Key"]}, "/public": {"public": True}}.items():

        @web.app.get(path)
        @web.responses.cached(60, **how)
        async def mine(owner: str = who) -> str:
            return owner

    asked: list[dict[str, str]] = [{"X_Key": "a"}, {}, {"X_Key": "b"}, {"X_Key": "a"}]
    told = ["owner of a", "owner of None", "owner of b", "owner of a"]
    for path, words in {"/plain": ["BYPASS", "MISS", "BYPASS", "BYPASS"], "/vary": ["MISS", "MISS", "MISS", "HIT"]}.items():
        answers = [web.ask(path, **given) for given in asked]
        assert ([answer.json for answer in answers], [answer.x_cache for answer in answers]) == (told, words)
    assert [web.ask("/public", **given).x_cache for given in asked] == ["MISS", "HIT", "HIT", "HIT"]


def test_whom_middleware_knows_passes(web: Web) -> None:
    class Keys(AuthenticationBackend):
        async def authenticate(self, conn: HTTPConnection) -> Any:
            name = conn.headers.get("x-key")
            return None if name is None else (AuthCredentials(), SimpleUser(name))

    how: dict[str, dict[str, Any]] = {"/plain": {}, "/public": {"public": True}, "/key": {"key": lambda request: "k"}}
    for path, given in how.items():

        @web.app.get(path)
        @web.responses.cached(60, **given)
        async def who(request: Request) -> str:
            return str(request.user.display_name)

    web.app.add_middleware(AuthenticationMiddleware, backend=Keys())
    assert [web.ask("/plain", **given).json for given in ({"X_Key": "a"}, {}, {"X_Key": "b"})] == ["a", "", "b"]
    assert [web.ask(path, X_Key=key).x_cache for path in ("/public", "/key") for key in ("a", "b")] == ["MISS", "HIT"] * 2


@pytest.mark.parametrize("writes", ["dependency", "endpoint"])
def test_what_is_of_a_session_that_has_just_begun_is_not_kept(web: Web, writes: str) -> None:
    """Its cookie is set by middleware around the cache, which does not see it."""

    class Sessions:
        def __init__(self, app: Any) -> None:
            self._app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await self._app({**scope, "session": {"who": "known"} if b"cookie" in dict(scope["headers"]) else {}}, receive, send)

    def token(request: Request) -> str:
        if "/form" in request.url.path and not request.session:
            web.calls += 1
            request.session["token"] = f"secret {web.calls}"
        return str(request.session)

    told = Depends(token if writes == "dependency" else lambda: "")
    for path in ("/form", "/other"):

        @web.app.get(path)
        @web.responses.cached(60, vary=["cookie"])
        async def form(request: Request, told: str = told) -> str:
            return told or token(request)

    web.app.add_middleware(Sessions)
    assert [web.ask("/form").json for _ in range(2)] == ["{'token': 'secret 1'}", "{'token': 'secret 2'}"]
    assert [web.ask(path, **given).x_cache for path in ("/other", "/form") for given in ({"Cookie": "a=b"}, {"Cookie": "a=b"})] == [
        "MISS", "HIT"
    ] * 2  # fmt: skip


def test_the_scheme_is_part_of_the_key(web: Web) -> None:
    web.endpoint(lambda calls: str(calls))
    answers = [web.ask(X_Forwarded_Proto=scheme) for scheme in ("http", "https", "https", "http")]  # which uvicorn believes of this machine
    assert [answer.x_cache for answer in answers] == ["MISS", "MISS", "HIT", "HIT"]


def test_vary(web: Web) -> None:
    web.endpoint(lambda calls: PlainTextResponse(str(calls), headers={"Vary": "Accept"}), vary=["Accept", "Accept-Language"])
    asked = [{}, {"Accept_Language": ""}, {"Accept_Language": "de"}, {"Accept": "de"}, {"Accept_Language": "en"}]
    assert [web.ask(**headers).x_cache for headers in asked] == ["MISS"] * 5
    answers = [web.ask(**headers) for headers in asked]
    assert [answer.x_cache for answer in answers] == ["HIT"] * 5
    assert {answer.vary for answer in answers} == {"Accept, accept-language"}


def test_only_get_is_kept_and_head_answered_from_it(web: Web) -> None:
    web.endpoint(lambda calls: PlainTextResponse("x" * calls, headers={"X-Own": str(calls)}))
    post = web.ask(method="POST")
    assert (post.x_cache, post.x_own, post.etag) == ("BYPASS", "1", None)
    head = web.ask(method="HEAD")
    assert (head.x_cache, head.x_own, head.body) == ("MISS", "2", b"")
    got = web.ask()
    assert (got.x_cache, got.x_own) == ("MISS", "3")
    head = web.ask(method="HEAD")
    assert (head.x_cache, head.x_own, head.body) == ("HIT", "3", b"")
    assert (head.content_length, head.content_type, head.etag) == ("3", got.content_type, got.etag)
    assert web.ask(method="HEAD", If_None_Match=head.etag).status == 304


# ---- ETag and Cache-Control --------------------------------------------------------------------------------------------------------


def test_etag_and_not_modified(web: Web) -> None:
    web.endpoint(lambda calls: PlainTextResponse("body", headers={"X-Own": "1"}), vary=["Accept"])
    web.endpoint(lambda calls: PlainTextResponse("body", headers={"ETag": 'W/"own, one"'}), path="/own")
    etag = f'"{hashlib.sha256(b"body").hexdigest()[:32]}"'
    assert [web.ask(If_None_Match='"other"').etag for _ in range(2)] == [etag] * 2
    for said in (etag, f'"a", {etag}', f'W/{etag},"b"', "*"):
        answer = web.ask(If_None_Match=said)
        assert (answer.status, answer.body, answer.etag) == (304, b"", etag), said
        assert (answer.cache_control, answer.vary, answer.x_cache) == ("no-cache", "accept", "HIT")
        assert (answer.x_own, answer.content_type) == (None, None)
    for said in ("", "body", etag[1:-1], etag[:-1], '"other"', f'"{etag[1:-2]}"'):
        assert web.ask(If_None_Match=said).status == 200, said
    for _ in range(2):  # on a miss, too
        answer = web.ask("/own", If_None_Match='"a","own, one"')
        assert (answer.status, answer.etag) == (304, 'W/"own, one"')
    assert web.calls == 2


def test_cache_control(web: Web) -> None:
    web.endpoint(path="/asks")
    web.endpoint(lambda calls: PlainTextResponse("x", headers={"Cache-Control": "public, max-age=7"}), path="/own", max_age=3)
    web.endpoint(path="/short", max_age=3)
    web.endpoint(path="/bounded", max_age=1000, ttl=60)
    web.endpoint(path="/default", max_age=1000, ttl=None)
    controls = {path: [web.ask(path).cache_control for _ in range(2)] for path in ("/asks", "/own", "/short", "/bounded", "/default")}
    assert controls["/asks"] == ["no-cache"] * 2
    assert controls["/own"] == ["public, max-age=7"] * 2
    assert controls["/short"] == ["max-age=3"] * 2
    assert controls["/bounded"][0] == "max-age=60"
    assert controls["/bounded"][1] in ("max-age=60", "max-age=59", "max-age=58", "max-age=57")
    assert controls["/default"][0] == "max-age=300"


# ---- Freshness -----------------------------------------------------------------------------------------------------------------------


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_invalidation_by_tag(web: Web, plain: pgcache.Cache) -> None:
    web.endpoint(path="/of/{customer}", tags=lambda request: [f"customer:{request.path_params['customer']}"])
    web.endpoint(path="/all", tags=["all"])
    paths = ["/of/7", "/of/8", "/all"]
    assert web.words(*paths, *paths) == ["MISS"] * 3 + ["HIT"] * 3
    plain.invalidate(tags=["customer:7"])
    plain.fence()
    assert web.words(*paths) == ["MISS", "HIT", "HIT"]


def test_a_tag_that_is_none_is_heard_of(web: Web) -> None:
    web.endpoint(tags=[""])
    assert web.ask().status == 500


def test_what_is_stale_is_given_at_once_and_refreshed_behind_it(web: Web) -> None:
    go_on = threading.Event()

    @web.app.get("/")
    @web.responses.cached(0.2, stale=60, max_age=60)
    def slow(x: int = 0) -> int:
        web.calls += 1
        if web.calls > 1:
            assert go_on.wait(10)
        if web.calls == 2:
            raise LookupError("mine")
        return web.calls

    assert web.words("/") == ["MISS"]
    time.sleep(0.25)
    began = time.monotonic()
    answers = [web.ask() for _ in range(3)]
    assert time.monotonic() - began < 5
    assert [(answer.x_cache, answer.json, answer.cache_control) for answer in answers] == [("STALE", 1, "max-age=0")] * 3
    go_on.set()
    until(lambda: web.calls == 2)
    assert web.ask().json == 1  # the refresh failed, and what is stale stays
    until(lambda: web.ask().json > 2)


def test_a_refresh_that_is_refused_before_it_comes_to_the_endpoint_changes_nothing(web: Web) -> None:
    guarded: list[int] = []

    @web.app.exception_handler(Refused)
    async def say(request: Request, refused: Exception) -> Response:
        return PlainTextResponse("slow down")

    def guard() -> None:
        guarded.append(1)
        if len(guarded) == 3:
            raise Refused

    @web.app.get("/", dependencies=[Depends(guard)])
    @web.responses.cached(0.1, stale=60)
    async def counted() -> int:
        web.calls += 1
        return web.calls

    assert web.words("/") == ["MISS"]
    time.sleep(0.15)
    assert (web.ask().json, web.calls) == (1, 1)
    until(lambda: len(guarded) == 3)
    time.sleep(0.05)
    assert (web.ask().json, web.calls) == (1, 1)
    until(lambda: web.ask().json > 1)


@pytest.mark.parametrize("outer", [False, True])
def test_a_refresh_has_a_client_that_has_sent_all_and_stays(web: Web, outer: bool) -> None:
    gone: list[bool] = []

    @web.app.get("/")
    @web.responses.cached(0.1, stale=60)
    async def asking(request: Request, text: Annotated[str, Body()] = "none") -> int:
        assert await request.body() == b""
        gone.append(await request.is_disconnected())
        return len(gone)

    async def go_on(request: Request, call_next: Any) -> Any:
        return await call_next(request)

    if outer:
        web.app.add_middleware(BaseHTTPMiddleware, dispatch=go_on)
    assert web.ask().json == 1
    time.sleep(0.15)
    assert web.ask().x_cache == "STALE"
    until(lambda: len(gone) == 2)
    assert not any(gone)


def test_a_refresh_that_does_not_end_is_ended(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pgcache.fastapi._LEASE_SECONDS", 0.3)
    ended = threading.Event()

    @web.app.get("/")
    @web.responses.cached(0.1, stale=60)
    async def waiting() -> int:
        web.calls += 1
        try:
            await asyncio.sleep(60 if web.calls == 2 else 0)
        finally:
            if web.calls == 2:
                ended.set()
        return web.calls

    assert web.words("/") == ["MISS"]
    time.sleep(0.15)
    assert web.words("/") == ["STALE"]
    assert ended.wait(3)
    until(lambda: web.ask().json > 2)


def test_of_many_who_miss_one_asks_the_endpoint(web: Web) -> None:
    @web.app.get("/")
    @web.responses.cached(60)
    async def slow() -> int:
        web.calls += 1
        await asyncio.sleep(0.2)
        return web.calls

    with ThreadPoolExecutor(20) as clients:
        answers = list(clients.map(lambda _: web.ask(), range(20)))
    assert [answer.json for answer in answers] == [1] * 20
    assert sorted(answer.x_cache for answer in answers) == ["HIT"] * 19 + ["MISS"]


# ---- The application -----------------------------------------------------------------------------------------------------------------


def test_the_life_span(url: str) -> None:
    cache = AsyncCache(url, schema="python_fastapi", namespace="fastapi", janitor=None, on_error="error")
    begun: list[str] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        begun.append("begun")
        await cache.put("k", "of the application")  # the schema is there
        yield {"mine": "state"}
        begun.append(await cache.get("k"))

    app = FastAPI(lifespan=lifespan)
    responses = ResponseCache(cache)
    responses.init_app(app, init=True)

    @app.get("/")
    async def state(request: Request) -> str:
        return str(request.state.mine)

    with Serving(app) as serving:
        assert serving.ask("/").json == "state"
        assert not cache.closed
    assert begun == ["begun", "of the application"]
    assert cache.closed
    with pytest.raises(RuntimeError, match="started"):
        responses.init_app(app)


def test_what_cannot_be_cached_is_refused(web: Web) -> None:
    def numbers() -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError, match="yields"):
        web.responses.cached(60)(numbers)
    with pytest.raises(TypeError, match="vary"):
        web.responses.cached(60, vary="Accept")
    with pytest.raises(TypeError, match="tags"):
        web.responses.cached(60, tags="orders")


def test_an_application_without_the_cache_says_so(web: Web, stage: Stage) -> None:
    web.endpoint()
    stage.app = FastAPI()
    stage.app.include_router(web.app.router)
    assert web.ask().status == 500


def test_called_by_the_program_itself(web: Web) -> None:
    @web.responses.cached(60)
    async def double(x: int) -> int:
        return 2 * x

    assert [asyncio.run(double(x)) for x in (1, 2)] == [2, 4]


def test_other_middleware_does_its_work_for_each_client(web: Web) -> None:
    """Whenever it is added: the cache stands next to the endpoints."""
    web.endpoint(lambda calls: PlainTextResponse("x" * 2000))
    seen: list[str] = []

    async def note(request: Request, go_on: Any) -> Any:
        response = await go_on(request)
        seen.append(response.headers["x-cache"])
        return response

    web.app.add_middleware(GZipMiddleware)
    web.app.add_middleware(BaseHTTPMiddleware, dispatch=note)
    answers = [web.ask(Accept_Encoding=encoding) for encoding in ("gzip", "identity", "gzip")]
    assert [answer.x_cache for answer in answers] == ["MISS", "HIT", "HIT"] == seen
    assert [answer.content_encoding for answer in answers] == ["gzip", None, "gzip"]
    assert answers[1].body == b"x" * 2000
