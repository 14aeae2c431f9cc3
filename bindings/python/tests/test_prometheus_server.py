"""A real Prometheus scrapes what the collector and the metrics under psycache's names say, and answers queries about it.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import prometheus_client
import psycopg_pool
import pytest

import pgcache
from pgcache.compat import psycache
from pgcache.compat.psycache.instrumentation.prometheus import PrometheusInstrumentation
from pgcache.compat.psycache.psycopg_pool import PsycopgCachePool
from pgcache.prometheus import PgcacheCollector

PATIENCE = 60.0  # seconds for what takes one or two on a quiet machine


class Quiet(WSGIRequestHandler):
    """Says nothing of requests."""

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def exposed(registry: prometheus_client.CollectorRegistry) -> Iterator[int]:
    """The port on which a registry is to be had."""
    server = make_server("127.0.0.1", 0, prometheus_client.make_wsgi_app(registry), handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def prometheus(folder: Path, ports: list[int]) -> Iterator[str]:
    """The address of a Prometheus that scrapes these ports of the loopback four times a second."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed (Debian: prometheus)")
    targets = [f"127.0.0.1:{port}" for port in ports]
    configuration = {
        "global": {"scrape_interval": "250ms", "scrape_timeout": "250ms"},
        "scrape_configs": [{"job_name": "pgcache", "static_configs": [{"targets": targets}]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(configuration))  # which is YAML, too
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / "log").open("w") as log, subprocess.Popen([program, *options], stdout=log, stderr=log, cwd=folder) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def numbers(address: str, expression: str) -> list[float]:
    query = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"{address}/api/v1/query?{query}", timeout=10) as answer:
        told: dict[str, Any] = json.load(answer)
    return [float(sample["value"][1]) for sample in told["data"]["result"]]


def eventually(address: str, expression: str, wanted: list[float]) -> None:
    end = time.monotonic() + PATIENCE
    found: object = None
    while time.monotonic() < end:
        try:
            found = numbers(address, expression)
        except OSError as failure:  # it has not begun to listen
            found = failure
        if found == wanted:
            return
        time.sleep(0.1)
    pytest.fail(f"{expression} gives {found} instead of {wanted}")


def test_a60_a_prometheus_scrapes_it(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCACHE_SCHEMA", "python_prometheus")
    odd = 'a "quoted" \\ name\nof two lines'
    with (
        pgcache.Cache(url, janitor=None) as cache,
        psycopg_pool.ConnectionPool(url, min_size=1) as pool,
        exposed(prometheus_client.REGISTRY) as of_psycache,
    ):
        cache.init()
        registry = prometheus_client.CollectorRegistry()
        registry.register(PgcacheCollector(cache))
        cache.put("k", b"v" * 100, span_name="checkout")
        for _ in range(3):
            cache.get("k", span_name="checkout", from_store=True)
        cache.get("none", span_name=odd)
        mine = psycache.PostgresCache(PsycopgCachePool(pool), instrumentations=(PrometheusInstrumentation(),))
        mine.put_raw("k", {"a": 1}, ttl=60, span_name="scraped")
        mine.get_raw("k", span_name="scraped")
        mine.get_raw("none", span_name="scraped")
        with exposed(registry) as of_pgcache, prometheus(tmp_path, [of_pgcache, of_psycache]) as address:
            eventually(address, "sum(up)", [2])
            eventually(address, 'sum(pgcache_hits_total{span_name="checkout"})', [3])
            eventually(address, f"sum(pgcache_misses_total{{span_name={json.dumps(odd)}}})", [1])
            eventually(address, 'sum(pgcache_operation_duration_seconds_count{operation="get",span_name="checkout"})', [3])
            durations = 'pgcache_operation_duration_seconds_bucket{operation="get",span_name="checkout"}'
            eventually(address, f"histogram_quantile(0.5, sum by (le) ({durations})) > bool 0", [1])
            for name, count in (("psycache_hits_total", 1), ("psycache_misses_total", 1), ("psycache_get_duration_seconds_count", 2)):
                eventually(address, f'{name}{{span_name="scraped"}}', [count])
            eventually(address, 'histogram_quantile(0.9, psycache_item_size_bytes_bucket{span_name="scraped"}) > bool 0', [1])
        psycache.close()
