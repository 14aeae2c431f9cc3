"""The tutorial's application, run as it is, over HTTP. SPDX-License-Identifier: MIT"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from serving import Answer, ask

import pgcache

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
ROWS, CUSTOMERS = 12_000, 2_000
BOUND = 0.5  # seconds: what is older than that is seen by all, see near_staleness_ms


@pytest.fixture(scope="module")
def shop(url: str) -> str:
    """A database with the table of dellstore2, and as many orders: 6 of each customer."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE shop TEMPLATE template0")
    there = make_conninfo(url, dbname="shop")
    with psycopg.connect(there) as connection:
        connection.execute(
            "CREATE TABLE orders (orderid serial PRIMARY KEY, orderdate date NOT NULL, customerid integer,"
            " netamount numeric(12,2) NOT NULL, tax numeric(12,2) NOT NULL, totalamount numeric(12,2) NOT NULL)"
        )
        connection.execute(
            "INSERT INTO orders (orderdate, customerid, netamount, tax, totalamount)"
            f" SELECT date '2004-01-01' + n % 366, n % {CUSTOMERS}, n % 400, n % 400 * 0.0825, n % 400 * 1.0825"
            f" FROM generate_series(1, {ROWS}) n"
        )
    return there


class Shop:
    """`python -m orders`, while the block lasts."""

    def __init__(self, **environment: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "orders"], cwd=EXAMPLES, text=True,
            env={**os.environ, "PORT": "0", "PGCACHE_NEAR_STALENESS_MS": str(round(BOUND * 1000)), **environment},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        self.port = int(line.rpartition(":")[2]) if line else 0
        self.said = line

    def ask(self, path: str, method: str = "GET", body: Any = None) -> Answer:
        return ask(self.port, path, method, body)

    def count(self, customer: int | None = None) -> Any:
        return self.ask("/count" if customer is None else f"/count?customerid={customer}").json["count"]

    def end(self) -> tuple[int, str, str]:
        """The exit code, and what was written beside the line of the beginning."""
        if self.said:
            self._process.send_signal(signal.SIGTERM)
        output, errors = self._process.communicate(timeout=20)
        return self._process.returncode, output, errors


@pytest.fixture
def start(shop: str) -> Iterator[Callable[..., Shop]]:
    started: list[Shop] = []

    def run(**environment: str) -> Shop:
        started.append(Shop(**{"DATABASE_URL": shop, **environment}))
        return started[-1]

    yield run
    for one in started:
        if one._process.poll() is None:
            one._process.kill()
            one._process.communicate()


def settled(shop: Shop, expected: int, customer: int | None = None) -> None:
    """What has changed is seen within the bound."""
    until = time.monotonic() + BOUND + 1  # the machine may be busy
    while shop.count(customer) != expected:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a74_the_tutorial_s_requests(start: Callable[..., Shop]) -> None:
    shop = start()
    assert shop.said == f"listening on http://127.0.0.1:{shop.port}\n"
    first, second = shop.ask("/count"), shop.ask("/count")
    assert (first.x_cache, first.body) == ("MISS", b'{"count":12000}')
    assert (second.x_cache, second.body) == ("HIT", first.body)  # an int, too
    assert [shop.ask("/count?customerid=7").x_cache for _ in range(2)] == ["MISS", "HIT"]
    assert (shop.count(7), shop.count(9999)) == (6, 0)

    order = {"orderdate": "2023-03-10", "customerid": 9999, "netamount": 23.0, "tax": 2.0}
    assert shop.ask("/add/", "POST", order).body == b'{"updated":{"customer":9999}}'
    settled(shop, 1, 9999)
    settled(shop, 12001)
    assert shop.ask("/add/", "POST").body == b'{"updated":{"customer":9999}}'
    assert shop.ask("/add/", "POST", {"customerid": 7}).body == b'{"updated":{"customer":7}}'
    settled(shop, 2, 9999)
    settled(shop, 7, 7)
    settled(shop, 12003)
    assert shop.end() == (0, "", "")


def test_a74_what_is_no_customer(start: Callable[..., Shop]) -> None:
    served = start()
    before = served.count()
    for customer in ("x", "", "1.5", "7;--", str(2**31), "1" * 100):
        assert served.ask(f"/count?customerid={customer}").status == 422, customer
    for order in ({"customerid": "x"}, {"customerid": 2**31}, {"tax": 1e300}, {"orderdate": "yesterday"}, [1]):
        assert served.ask("/add/", "POST", order).status == 422, order
    assert served.count() == before
    assert served.end() == (0, "", "")


def test_a74_settings_from_the_environment(start: Callable[..., Shop], shop: str) -> None:
    served = start(DATABASE_URL="", PG_SERVICE_URI=shop, CACHE_TIMEOUT_SECONDS="two minutes")
    assert served.ask("/count").status == 200
    with pgcache.Cache(shop, janitor=None) as cache:
        entry = cache.get_entry("num_orders:all")
    assert entry is not None
    assert 100 < entry.ttl <= 120
    code, _, errors = served.end()
    assert code == 0
    assert "WARNING" in errors
    assert "'two minutes'" in errors
    served = start(DATABASE_URL="")
    assert served.said == ""
    code, _, errors = served.end()
    assert code != 0
    assert "DATABASE_URL" in errors


def test_a74_a_concurrent_reader_never_brings_back_the_old_count(start: Callable[..., Shop], shop: str) -> None:
    """Two processes, one of which takes the orders, beside readers of both and orders that some other program inserts."""
    shops = [start(), start()]
    base = shops[0].count()
    begun: list[float] = []
    added: list[float] = []
    seen: list[tuple[float, float, int]] = []
    done = threading.Event()

    def read(served: Shop) -> None:
        while not done.is_set():
            at = time.monotonic()
            count = served.count()
            seen.append((at, time.monotonic(), count))

    readers = [threading.Thread(target=read, args=(served,)) for served in shops * 2]
    for reader in readers:
        reader.start()
    with psycopg.connect(shop, autocommit=True) as connection:
        until = time.monotonic() + BOUND + 1
        while time.monotonic() < until or len(added) < 20:
            begun.append(time.monotonic())
            if len(begun) % 2:
                shops[0].ask("/add/", "POST")
            else:
                connection.execute("INSERT INTO orders (orderdate, customerid, netamount, tax, totalamount) VALUES (now(), 7, 1, 1, 2)")
            added.append(time.monotonic())
            time.sleep(0.02)
    for served in shops:
        settled(served, base + len(added))
    time.sleep(0.1)
    done.set()
    for reader in readers:
        reader.join(20)
    assert len(seen) > len(added)
    for at, answered, count in seen:
        least = base + sum(when < at - BOUND for when in added)
        most = base + sum(when <= answered for when in begun)
        assert least <= count <= most
    assert [served.count() for served in shops] == [base + len(added)] * 2
    assert [served.end()[0] for served in shops] == [0, 0]
