"""Responses of FastAPI's endpoints, kept in the cache. The package fastapi is needed.

    cache = AsyncCache("postgresql://localhost/shop")
    responses = ResponseCache(cache)
    app = FastAPI()
    responses.init_app(app, init=True)

    @app.get("/orders/{customer}")
    @responses.cached(ttl=60, stale=600, tags=lambda request: [f"customer:{request.path_params['customer']}"])
    async def orders(customer: int) -> list[Order]: ...

    @app.post("/orders/")
    async def add(order: Order, cache: Annotated[AsyncCache, Depends(responses.get_cache)]) -> None: ...

What is kept is the whole response to a GET, for all who ask for the same URL: what its endpoint depends on (Depends) is done for each
request all the same, so that whoever may not ask is refused. For results of functions instead of responses see `Cache.cached()`.

Every answer of such an endpoint says `X-Cache`: HIT, MISS, STALE (given at once, and refreshed behind it), BYPASS (neither read nor stored;
so it goes for a few seconds after an answer that may not be kept), ERROR (the cache failed, and the endpoint answered). What may be kept
has an `ETag`, and `If-None-Match` is answered with 304. What a client sends decides nothing else: neither its Cache-Control nor its
parameters.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import inspect
import logging
import re
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Union
from urllib.parse import quote, unquote

try:
    from fastapi import Depends, FastAPI, Request, Response
    from fastapi.concurrency import run_in_threadpool
    from fastapi.security import APIKeyHeader
    from starlette.datastructures import Headers, MutableHeaders
    from starlette.middleware import Middleware
except ImportError as missing:
    raise ImportError("pgcache.fastapi needs FastAPI: pip install 'pgcache[fastapi]'") from missing

from ._load import AsyncLoad
from ._options import NEVER, Duration, Key
from ._status import Status
from .aio import AsyncCache
from .cache import Cache
from .errors import Error, SerializationError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ._records import Entry

__all__ = ["ResponseCache"]

log = logging.getLogger("pgcache")

RawHeaders = list[tuple[bytes, bytes]]
TagsOf = Union[Iterable[Key], Callable[[Request], Iterable[Key]]]
Decision = Callable[[Request], bool]

_NOTE_SECONDS = 5  # how long is remembered that an answer may not be kept, so that nobody waits for it in line
_LEASE_SECONDS = 10  # how long an endpoint may take: what comes later is not kept, and another one is asked meanwhile
_AT_LEAST = 0.05  # seconds to store an answer, however long it took to get the lease: out of one deadline
_LONGEST_KEY = 1024
_EXCHANGE = "pgcache.exchange"  # in the scope of a request
_PARAMETER = "pgcache_request"  # of an endpoint, beside its own
_STATUS_LINE = b"HTTP/1.1 200 OK"

_OF_MORE = ("range", "if-range", "if-match", "if-unmodified-since", "upgrade", "transfer-encoding")
"""What requests have that are about more than the whole answer, or have a body."""
_ADDRESS = tuple(f"x-forwarded-{what}" for what in ("host", "port", "prefix", "proto", "protocol", "scheme", "ssl"))
"""What an application may make its own address of, beside the host: it stands in answers then, and any client may say it."""
_CONDITIONS = (b"if-none-match", b"if-modified-since")
"""What has an endpoint give no whole answer; what is kept is compared here."""

_OF_CONNECTIONS = frozenset((
    b"connection", b"content-length", b"date", b"keep-alive", b"proxy-connection", b"server", b"te", b"trailer", b"transfer-encoding",
    b"upgrade", b"x-cache",
))  # fmt: skip
_OF_NOT_MODIFIED = frozenset((b"cache-control", b"content-location", b"etag", b"expires", b"vary", b"x-cache"))
_ETAG = re.compile(r'(?:W/)?("[^"]*")')


# ---- Rules ---------------------------------------------------------------------------------------------------------------------


def _words(headers: Headers, name: str) -> set[str]:
    """The members of a list in a header, without what they are set to."""
    return {word.partition("=")[0].strip().lower() for line in headers.getlist(name) for word in line.split(",")} - {""}


def _address(headers: Headers) -> list[tuple[str, str]]:
    """What a request says of the address that it was sent to, before it was forwarded; not who sent it, which matters to nobody."""
    pairs = [pair.strip() for line in headers.getlist("forwarded") for pair in re.split("[,;]", line)]
    forwarded = [("forwarded", pair) for pair in pairs if pair.partition("=")[0].lower() not in ("for", "by", "")]
    return [(name, value) for name in _ADDRESS for value in headers.getlist(name)] + forwarded


def _credentials(request: Request) -> set[str]:
    """Names of headers that say who asks, with those that FastAPI's own security takes for keys."""
    names, left = {"authorization", "cookie"}, [getattr(request.scope.get("route"), "dependant", None)]
    while left:
        dependant = left.pop()
        if dependant is not None:
            left += dependant.dependencies
            if isinstance(dependant.call, APIKeyHeader):
                names.add(dependant.call.model.name.lower())
    return names


@dataclass(frozen=True)
class _Rule:
    """What was said of an endpoint, see `ResponseCache.cached()`."""

    ttl: Duration | None
    fresh: float
    stale: Duration
    namespace: str | None
    tags: TagsOf
    key: Callable[[Request], Key] | None
    vary: tuple[str, ...]
    public: bool
    bypass: Decision | None
    refresh: Decision | None
    max_age: int | None
    max_body: int

    def passes(self, request: Request) -> bool:
        """Whether the cache has nothing to do with a request."""
        if request.method not in ("GET", "HEAD") or (self.bypass is not None and self.bypass(request)):
            return True
        if any(name in request.headers for name in _OF_MORE) or request.headers.get("content-length", "0") != "0":
            return True
        if self.public or self.key is not None:
            return False
        credentials = _credentials(request)
        by_middleware = getattr(request.scope.get("user"), "is_authenticated", False) and credentials.isdisjoint(self.vary)
        return by_middleware or any(name in request.headers for name in credentials.difference(self.vary))

    def is_of_new_session(self, request: Request) -> bool:
        """Whether an answer may be for the session alone that a dependency has begun, and that is not known by a cookie yet."""
        return bool(request.scope.get("session")) and "cookie" not in request.headers and not self.public and self.key is None

    def key_of(self, request: Request) -> bytes:
        """What answers to equal requests are kept under. Its parts are set apart by what no URL has, so that none can pass for another's;
        values of headers may be secret, and are not to be read in it."""
        said: list[Any] = [request.headers.getlist(name) for name in self.vary]
        if self.key is not None:
            given = self.key(request)
            key = given.encode() if isinstance(given, str) else given
        else:
            scope = request.scope
            host, path, query = quote(request.headers.get("host", "").lower(), ":[]"), scope["path"], scope["query_string"]
            asked = scope.get("raw_path") or quote(path).encode()
            if unquote(asked.decode("latin-1")) != path:  # some middleware made another one of it, such as a tenant's
                asked += b" " + quote(path).encode()
            key = f"{scope['scheme']}://{host} ".encode() + asked + (b"?" + query if query else b"")
            said += _address(request.headers)
        if said:
            key = key + b" " + hashlib.sha256(repr(said).encode()).hexdigest().encode()
        return key if len(key) <= _LONGEST_KEY else b"sha256:" + hashlib.sha256(key).hexdigest().encode()

    def tags_of(self, request: Request) -> tuple[Key, ...]:
        """What the answer to a request depends on."""
        return tuple(self.tags(request) if callable(self.tags) else self.tags)

    def may_keep(self, status: int, raw: RawHeaders) -> bool:
        """Whether an answer may be kept (RFC 9111, section 3). What does not say how long it is, is a stream."""
        headers = Headers(raw=raw)
        length = headers.get("content-length", "")
        return (
            status == 200
            and length.isdecimal()
            and int(length) <= self.max_body
            and "set-cookie" not in headers
            and not _words(headers, "cache-control") & {"no-store", "private"}
            and _words(headers, "vary") <= set(self.vary)  # * is no name
            and not any(mark in part for pair in raw for part in pair for mark in (b"\r", b"\n"))
        )

    def control(self, left: float) -> str:
        """Cache-Control, where the endpoint says none. left: how many seconds the entry is still fresh."""
        return "no-cache" if self.max_age is None else f"max-age={int(max(0, min(self.max_age, left)))}"


def _complete(rule: _Rule, raw: RawHeaders, body: bytes) -> RawHeaders:
    """The headers of an answer that may be kept, with those that all of these have."""
    headers = MutableHeaders(raw=[(name.lower(), value) for name, value in raw])
    headers.setdefault("etag", f'"{hashlib.sha256(body).hexdigest()[:32]}"')
    named = _words(headers, "vary")
    for name in rule.vary:
        if name not in named:
            headers.add_vary_header(name)
    return headers.raw


def _is_current(asked: Headers, etag: str) -> bool:
    """Whether If-None-Match has it (RFC 9110, section 13.1.2)."""
    said = ",".join(asked.getlist("if-none-match")).strip()
    return said == "*" or etag.removeprefix("W/") in _ETAG.findall(said)


def _told(rule: _Rule, asked: Headers, raw: RawHeaders, word: str, left: float) -> tuple[int, RawHeaders]:
    """The status and headers of an answer that may be kept, for one client."""
    headers = MutableHeaders(raw=list(raw))
    headers["x-cache"] = word
    headers.setdefault("cache-control", rule.control(left))
    if _is_current(asked, headers["etag"]):
        return 304, [(name, value) for name, value in headers.raw if name in _OF_NOT_MODIFIED]
    return 200, headers.raw


def _message(raw: RawHeaders, body: bytes) -> bytes:
    """What is stored: a response as HTTP/1.1 has it, without what belongs to a connection."""
    lines = [_STATUS_LINE, *(name + b": " + value for name, value in raw if name not in _OF_CONNECTIONS)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _parsed(stored: Any) -> tuple[RawHeaders, bytes] | None:
    """The headers and the body of what is stored, or None: it is nothing of ours."""
    if not isinstance(stored, bytes) or not stored.startswith(_STATUS_LINE + b"\r\n"):
        return None
    head, end, body = stored.partition(b"\r\n\r\n")
    pairs = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    raw = [(name.lower(), value.strip()) for name, _, value in pairs if name.lower() not in _OF_CONNECTIONS]
    if not end or not any(name == b"etag" for name, _ in raw):
        return None
    return [*raw, (b"content-length", str(len(body)).encode())], body


# ---- One request ---------------------------------------------------------------------------------------------------------------


class _Exchange:
    """One request and what becomes of it: the endpoint's wrapper decides, and the middleware does it when the answer comes."""

    def __init__(self, *, storing: bool) -> None:
        self.word = ""
        """What X-Cache says; "": the endpoint is not cached, or its answer says it itself."""
        self.rule: _Rule | None = None
        """None: the answer is not to be kept."""
        self.asked = Headers(raw=[])
        self.own: RawHeaders = []
        """What the endpoint's dependencies have set for this request: it is not kept."""
        self.load: AsyncLoad | None = None
        """The lease to fill in the answer, if it is ours."""
        self.behind: AsyncLoad | None = None
        """The lease to do the request again when the stale answer is sent."""
        self.refreshing = False
        """Whether this is such a repetition."""
        self.left = 0.0
        """How many seconds the cache may still take."""
        self._storing = storing

    def again(self) -> _Exchange | None:
        """The repetition, if there is to be one."""
        if self.behind is None:
            return None
        other = _Exchange(storing=self._storing)
        other.load, other.left, other.refreshing = self.behind, self.left, True
        self.behind = None
        return other

    async def store(self, data: bytes) -> bool:
        """Ends the load with an answer, and says whether it is kept."""
        load, self.load = self.load, None
        if load is None:
            return False
        try:
            version = await asyncio.wait_for(load.fill(data), self.left)
        except asyncio.TimeoutError:
            version = 0
        except Error as failure:
            if failure.status == Status.INVALID:  # such as a tag without a name: what a program does wrong it shall hear
                raise
            if failure.status == Status.TOO_LARGE:  # for the cache's own limit; the load goes on
                self.load = load
                await self.leave_note(200)
                return False
            version = 0
        if version == 0 and self._storing:  # so it is, too, with a lease that the cache made up because the server failed
            self.word = "ERROR"
        return bool(version)

    async def leave_note(self, status: int) -> None:
        """Ends the load with an answer that may not be kept, so that nobody waits in line for the next one. 304: the next one may be."""
        await self._end(AsyncLoad.fail if status == 304 or (self.refreshing and status >= 500) else AsyncLoad.fill_absent)

    async def fail(self) -> None:
        """Ends the load without an answer."""
        await self._end(AsyncLoad.fail)

    async def _end(self, end: Callable[[AsyncLoad], Coroutine[Any, Any, Any]]) -> None:
        load, self.load = self.load, None
        if load is not None:
            with contextlib.suppress(Error, asyncio.TimeoutError):  # then its time runs out
                await asyncio.wait_for(end(load), self.left)


class _Answer:
    """An answer on its way out: held until it is whole, if it may be kept."""

    def __init__(self, exchange: _Exchange, send: Send) -> None:
        self._exchange, self._send = exchange, send
        self._start: Message | None = None
        self._body = b""
        self._passes = False

    async def send(self, message: Message) -> None:
        exchange, kind = self._exchange, message["type"]
        if self._passes or not exchange.word or (self._start is None and kind != "http.response.start"):
            await self._send(message)
        elif self._start is None:
            if exchange.rule is not None and exchange.rule.may_keep(message["status"], list(message.get("headers", ()))):
                self._start = message
            else:
                await exchange.leave_note(message["status"])
                await self._let_pass(message)
        elif kind == "http.response.body" and self._is_as_told(self._start, message):
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish(self._start)
        else:
            await exchange.leave_note(self._start["status"])
            await self._let_pass(self._start)
            if self._body:
                await self._send({"type": "http.response.body", "body": self._body, "more_body": True})
            await self._send(message)

    def _is_as_told(self, start: Message, message: Message) -> bool:
        """Whether the body may still become as long as it is said to be, and is so at its end."""
        told, length = int(Headers(raw=list(start["headers"]))["content-length"]), len(self._body) + len(message.get("body", b""))
        return length <= told if message.get("more_body", False) else length == told

    async def _let_pass(self, start: Message) -> None:
        """What comes is sent as the endpoint made it."""
        self._passes = True
        headers = MutableHeaders(raw=list(start.get("headers", ())))
        headers["x-cache"] = self._exchange.word
        await self._send({**start, "headers": headers.raw})

    async def _finish(self, start: Message) -> None:
        exchange, rule, body = self._exchange, self._exchange.rule, self._body
        assert rule is not None
        raw = _complete(rule, list(start["headers"]), body)
        stored = [pair for pair in raw if pair not in exchange.own or pair[0] == b"etag"]
        kept = await exchange.store(_message(stored, body))  # before it is sent: a slow client is not to hold up those who wait
        status, told = _told(rule, exchange.asked, raw, exchange.word, rule.fresh if kept else 0)
        self._passes = True
        await self._send({**start, "status": status, "headers": told})
        await self._send({"type": "http.response.body", "body": body if status == 200 else b""})


class _CacheMiddleware:
    """Stands next to the endpoints, inside of all other middleware: what that does to answers it does for each client."""

    def __init__(self, app: ASGIApp, storing: bool) -> None:
        self._app, self._storing = app, storing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        once_more = dict(scope)  # routers write into it
        exchange = _Exchange(storing=self._storing)
        await self._run(exchange, scope, receive, send)
        again = exchange.again()
        if again is not None:
            try:
                await asyncio.wait_for(self._run(again, once_more, _Nobody().receive, _send_nowhere), _LEASE_SECONDS)
            except Exception as failure:
                log.warning("a refresh in the background failed: %s", type(failure).__name__)

    async def _run(self, exchange: _Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        scope[_EXCHANGE] = exchange
        try:
            await self._app(scope, receive, _Answer(exchange, send).send)
            await exchange.fail()  # if it is done again, and is refused before it comes to the endpoint
        except Exception:
            await exchange.fail()
            raise
        finally:
            exchange.load = None  # of one that is cancelled: given back without waiting


class _Nobody:
    """In place of a client who has its answer, when its request is done again: it has said all, and does not go away."""

    def __init__(self) -> None:
        self._asked = False

    async def receive(self) -> Message:
        if self._asked:
            await asyncio.Event().wait()
        self._asked = True
        return {"type": "http.request", "body": b"", "more_body": False}


async def _send_nowhere(message: Message) -> None:
    """To nobody."""


def _session(request: Request) -> str:
    """What middleware knows of a session. It sets the cookie outside of here, where that is not seen, when there is something else."""
    return repr(request.scope.get("session"))


def _hide_conditions(request: Request) -> None:
    """So that the endpoint gives the whole answer, which is to be kept."""
    shown: RawHeaders = request.scope["headers"]  # the list that request.headers reads
    shown[:] = [pair for pair in shown if pair[0] not in _CONDITIONS]


async def _the_request(request: Request, response: Response) -> tuple[Request, Response]:
    """With the response that dependencies set headers of."""
    return request, response


# ---- The application -----------------------------------------------------------------------------------------------------------


class ResponseCache:
    """Keeps responses of endpoints in a cache. One for each application."""

    def __init__(self, cache: Cache | AsyncCache) -> None:
        self._cache = cache.aio if isinstance(cache, Cache) else cache

    def init_app(self, app: FastAPI, *, init: bool = False) -> None:
        """Makes the cache a part of an application, before that starts: the cache is closed when its life span ends, so both are made
        anew for the next one. init: makes the cache's schema, if it is not there, when the life span begins. Raises RuntimeError for an
        application that runs."""
        if app.middleware_stack is not None:
            raise RuntimeError("the application has started already: call init_app() before")
        storing = not self._cache.setting("url").startswith("null:")
        app.user_middleware.append(Middleware(_CacheMiddleware, storing=storing))  # innermost; add_middleware() would be outermost
        of_app = app.router.lifespan_context

        @asynccontextmanager
        async def lifespan(started: Any) -> AsyncIterator[Any]:
            async with self._cache:
                if init:
                    await self._cache.init()
                async with of_app(started) as state:
                    yield state

        app.router.lifespan_context = lifespan

    async def get_cache(self) -> AsyncCache:
        """The cache, for endpoints that use it themselves: `Annotated[AsyncCache, Depends(responses.get_cache)]`."""
        return self._cache

    def cached(
        self,
        ttl: Duration | None = None,
        *,
        stale: Duration = 0,
        namespace: str | None = None,
        tags: TagsOf = (),
        key: Callable[[Request], Key] | None = None,
        vary: Sequence[str] = (),
        public: bool = False,
        bypass: Decision | None = None,
        refresh: Decision | None = None,
        max_age: int | None = None,
        max_body: int = 1024 * 1024,
    ) -> Callable[[Callable[..., Any]], Callable[..., Coroutine[Any, Any, Any]]]:
        """Keeps the responses of an endpoint to GET, sync or async; HEAD is answered from them. Below the decorator of the route.

        ttl        how long a response is fresh; the setting `default_ttl_ms` if None
        stale      for so long after that it is given at once, while the request is done again behind it
        namespace  the part of the cache that the responses live in
        tags       what they depend on: names, or a function of the request
        key        a function of the request that gives the key; scheme, host, path and query if None, with what X-Forwarded-Host
                   and the like say of these
        vary       names of headers whose values belong to the key, and to the response's Vary: all that a response depends on, such as one
                   of your own that says who asks
        public     True: responses do not depend on Authorization, Cookie, the header of an APIKeyHeader or `request.user`. Otherwise a
                   request that has one is passed to the endpoint, unless `vary` names it, or there is a `key`
        bypass     a function of the request: where it gives true, nothing is read or stored
        refresh    a function of the request: where it gives true, nothing is read, and the answer is stored
        max_age    `Cache-Control: max-age` of at most so many seconds, and never more than what the entry has left. None: `no-cache`, so
                   that clients ask each time, and are never shown what was invalidated. An endpoint's own Cache-Control is left alone
        max_body   a longer body is not kept

        Kept is a response with status 200 that has no Set-Cookie, begins no session, has no Cache-Control `no-store` or `private`, no Vary
        beyond `vary`, and is no stream, if it is there within 10 seconds. A request with a body, a Range or an If-Match is passed to the
        endpoint. Of those who ask for the same one asks the endpoint, the others wait for its answer; after an answer that may not be kept
        nobody waits for a few seconds. Headers that dependencies set are of each request. What the endpoint raises is its caller's, and
        when the cache fails, each is answered by the endpoint."""
        if isinstance(vary, str) or isinstance(tags, (str, bytes)):
            raise TypeError("vary and tags are sequences of names; for a single one write [name]")
        names = tuple(name.lower() for name in vary)
        rule = _Rule(ttl, self._seconds(ttl), stale, namespace, tags, key, names, public, bypass, refresh, max_age, max_body)

        def decorate(endpoint: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
            if inspect.isgeneratorfunction(endpoint) or inspect.isasyncgenfunction(endpoint):
                raise TypeError("an endpoint that yields gives a stream, which is not kept")
            run = endpoint if inspect.iscoroutinefunction(endpoint) else functools.partial(run_in_threadpool, endpoint)

            @functools.wraps(endpoint)
            async def wrapped(*args: Any, **kwargs: Any) -> Any:
                asked: tuple[Request, Response] | None = kwargs.pop(_PARAMETER, None)
                if asked is None:  # the program itself calls
                    return await run(*args, **kwargs)
                request, exchange = asked[0], self._exchange(asked[0])
                exchange.own = list(asked[1].raw_headers)
                found = await self._look(rule, request, exchange)
                if found is not None:
                    return found
                session = _session(request)
                try:
                    made = await run(*args, **kwargs)
                except Exception:
                    exchange.rule = None  # what some handler of exceptions makes of it is not kept
                    raise
                if _session(request) != session or rule.is_of_new_session(request):
                    exchange.rule = None
                return made

            # FastAPI fills one parameter with the request, which may be the endpoint's: this one asks by way of a dependency.
            try:
                signature = inspect.signature(endpoint, eval_str=True)  # where its names are known; older FastAPIs would not look there
            except Exception:  # whatever the annotations raise, FastAPI will say it
                signature = inspect.signature(endpoint)
            ours = inspect.Parameter(_PARAMETER, inspect.Parameter.KEYWORD_ONLY, default=Depends(_the_request), annotation=Any)
            wrapped.__signature__ = signature.replace(  # type: ignore[attr-defined]
                parameters=[*signature.parameters.values(), ours]
            )
            return wrapped

        return decorate

    def _seconds(self, ttl: Duration | None) -> float:
        if ttl is not None:
            return ttl.total_seconds() if isinstance(ttl, timedelta) else float(ttl)
        told = self._cache.setting("default_ttl_ms")
        return NEVER if told == "never" else int(told) / 1000

    def _exchange(self, request: Request) -> _Exchange:
        exchange = request.scope.get(_EXCHANGE)
        if not isinstance(exchange, _Exchange):
            raise RuntimeError("this application has no cache of responses: call init_app(app)")
        return exchange

    async def _look(self, rule: _Rule, request: Request, exchange: _Exchange) -> Response | None:
        """The answer that is kept; or None: the endpoint is to answer, and the exchange knows what with it then."""
        exchange.asked = Headers(raw=request.headers.raw[:])
        if exchange.refreshing:
            exchange.word, exchange.rule = "MISS", rule  # not earlier: what others answer before it comes here is not kept
            _hide_conditions(request)
            return None
        if rule.passes(request):
            exchange.word = "BYPASS"
            return None
        exchange.word = "MISS"
        began = time.monotonic()
        try:
            return await (self._read if request.method == "HEAD" else self._read_or_load)(rule, request, exchange)
        except SerializationError:  # something else is stored under the key
            exchange.word = "ERROR"
        except Error as failure:
            if failure.status in (Status.INVALID, Status.BAD_SETTING):  # what a program does wrong it shall hear
                raise
            exchange.word = "ERROR"
        finally:
            exchange.left = max(_AT_LEAST, int(self._cache.setting("timeout_ms")) / 1000 - (time.monotonic() - began))
        return None

    async def _read(self, rule: _Rule, request: Request, exchange: _Exchange) -> Response | None:
        """For HEAD, which stores nothing."""
        if rule.refresh is not None and rule.refresh(request):
            return None
        entry = await self._cache.get_entry(rule.key_of(request), namespace=rule.namespace)
        return None if entry is None else _response(rule, exchange, entry, "HIT")

    async def _read_or_load(self, rule: _Rule, request: Request, exchange: _Exchange) -> Response | None:
        key = rule.key_of(request)
        exchange.rule = rule
        if rule.refresh is not None and rule.refresh(request):
            await self._cache.remove(key, namespace=rule.namespace)
        else:
            near = self._cache.peek(key, namespace=rule.namespace)
            if near is not None:
                return _response(rule, exchange, near, "HIT")
        load = await self._cache.load_begin(
            key,
            ttl=rule.ttl,
            stale=rule.stale,
            absent_ttl=_NOTE_SECONDS,
            lease=_LEASE_SECONDS,
            namespace=rule.namespace,
            tags=rule.tags_of(request),
        )
        if load.entry is None:
            if load.leased:
                exchange.load = load
                _hide_conditions(request)
            if load.status == Status.MISS:  # the note that answers may not be kept
                exchange.word, exchange.rule = "BYPASS", None
            return None
        response = _response(rule, exchange, load.entry, "STALE" if load.entry.stale else "HIT")
        if load.leased and response is not None:  # what is not ours is left alone: clients choose hosts and paths
            exchange.behind = load
        return response


def _response(rule: _Rule, exchange: _Exchange, entry: Entry, word: str) -> Response | None:
    """What is kept, as an answer; None: it is nothing of ours."""
    parsed = _parsed(entry.value)
    if parsed is None:
        exchange.word = "ERROR"
        return None
    raw, body = parsed
    names = {name for name, _ in raw}  # those of the endpoint
    raw += [pair for pair in exchange.own if pair[0] not in names]
    status, headers = _told(rule, exchange.asked, raw, word, 0 if entry.stale else entry.ttl)
    exchange.word = ""
    response = Response(body if status == 200 else b"", status)
    response.raw_headers = headers
    return response
