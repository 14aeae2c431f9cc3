"""Serves `GET /count`, `GET /count?customerid=7` and `POST /add/`, over FastAPI and uvicorn. See settings.py for the environment.

SPDX-License-Identifier: MIT
"""

import datetime
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, Request, Response
from psycopg_pool import AsyncConnectionPool
from pydantic import BaseModel, Field

from pgcache import AsyncCache
from pgcache.errors import Denied

from . import settings
from .store import Orders, watch_orders

Customer = Annotated[int, Field(ge=-(2**31), lt=2**31)]  # what the column holds
Amount = Annotated[float, Field(ge=0, lt=1e9)]


class Order(BaseModel):
    """A new order; what is not said is the tutorial's."""

    orderdate: datetime.date = datetime.date(2023, 3, 10)
    customerid: Customer = 9999
    netamount: Amount = 23.0
    tax: Amount = 2.0


def application(url: str, listening: socket.socket) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncCache(url) as cache, AsyncConnectionPool(url, open=False) as pool:
            with suppress(Denied):  # then an administrator has to have made it
                await cache.init()
            async with pool.connection() as connection:
                tags = await watch_orders(connection, cache)
            app.state.orders = Orders(pool, cache, tags, settings.cache_timeout())
            print(f"listening on http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
            yield

    app = FastAPI(title="Orders", lifespan=lifespan)

    async def orders(request: Request) -> Orders:
        stored: Orders = request.app.state.orders
        return stored

    @app.get("/count")
    async def count(response: Response, orders: Annotated[Orders, Depends(orders)], customerid: Customer | None = None) -> dict[str, int]:
        counted, known = await orders.count(customerid)
        response.headers["X-Cache"] = "HIT" if known else "MISS"
        return {"count": counted}

    @app.post("/add/")
    async def add(orders: Annotated[Orders, Depends(orders)], order: Order | None = None) -> dict[str, dict[str, int]]:
        order = order or Order()
        await orders.add(order.orderdate, order.customerid, order.netamount, order.tax)
        return {"updated": {"customer": order.customerid}}

    return app


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(levelname)s: %(message)s")
    url = settings.database_url()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn ends what is under way first, and raises it again
    with socket.create_server(("127.0.0.1", settings.port())) as listening:
        server = uvicorn.Server(uvicorn.Config(application(url, listening), log_level="warning"))
        server.run(sockets=[listening])
        if not server.started:
            sys.exit(1)


if __name__ == "__main__":
    main()
