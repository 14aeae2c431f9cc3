"""An application of FastAPI behind a real server, and a client that asks it over HTTP. SPDX-License-Identifier: MIT"""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any

import uvicorn


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def __getattr__(self, name: str) -> Any:
        """x_cache, etag, cache_control and so on: headers."""
        return self.headers.get(name.replace("_", "-"))

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(port: int, path: str, method: str = "GET", body: Any = None, **headers: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        data = None if body is None else json.dumps(body)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, data, given if body is None else {"Content-Type": "application/json", **given})
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


class Serving:
    """Serves an application on a port of its own, in a thread, while the block lasts."""

    def __init__(self, app: Any) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="critical", ws="none"))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listening]})

    def __enter__(self) -> Serving:
        self._thread.start()
        until = time.monotonic() + 20
        while not self._server.started:
            assert self._thread.is_alive(), "the application does not start"
            assert time.monotonic() < until
            time.sleep(0.002)
        return self

    def __exit__(self, *failure: object) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        self._listening.close()
        assert not self._thread.is_alive()

    def ask(self, path: str, method: str = "GET", body: Any = None, **headers: str) -> Answer:
        return ask(self.port, path, method, body, **headers)


class Stage:
    """One server for many applications, one after the other. Their life spans are not begun."""

    def __init__(self) -> None:
        self.app: Any = None
        self.loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await self.app(scope, receive, send)
            return
        self.loop = asyncio.get_running_loop()
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})

    def run(self, work: Any) -> Any:
        """Does something in the server's loop."""
        assert self.loop is not None
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)
