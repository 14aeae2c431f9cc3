#!/usr/bin/env python3
"""The Python clients of `make bench ONLY=bindings`: one client in one process, see bindings/bench/run for the protocol.

SPDX-License-Identifier: MIT

Usage: clients.py CLIENT    raw, face, face-json, async, psycache, postgres-cache, fastapi-cachekit, redis
"""

import asyncio
import os
import sys
import time

NUMBER = 1000
KEYS = [f"key:{number * 7919 % NUMBER:06}" for number in range(NUMBER)]
BYTE_KEYS = [key.encode() for key in KEYS]
SMALL, LARGE = b"x" * 100, b"x" * 1024
SMALL_TEXT, LARGE_TEXT = {"v": "x" * 92}, {"v": "x" * 1016}  # as JSON as long as the others
DSN = os.environ.get("PGCACHE_URL", "")
TTL = 3600
NEAR, STORE = f"near-{os.getpid()}", f"store-{os.getpid()}"  # its own: what another client writes would end our copies
STALENESS = 60000  # so that a busy machine measures hits, too


# ---- Clients: near(key), get(key), put(key), those that it has; fill() stores all keys. ------------------------------------------


class Raw:
    """The compiled layer below the face: what a hit costs with nothing around it."""

    keys = BYTE_KEYS

    def __init__(self):
        from pgcache import _pgcache

        self.raw = _pgcache
        self.near_cache, self.store_cache = self.open(NEAR, "67108864"), self.open(STORE, "0")

    def open(self, namespace, near_max_bytes):
        raw = self.raw
        _, config = raw.config_new()
        raw.config_load_environment(config)
        raw.config_set(config, "namespace", namespace)
        raw.config_set(config, "near_max_bytes", near_max_bytes)
        raw.config_set(config, "near_staleness_ms", str(STALENESS))
        return raw.new(config)[1]

    def near_all(self, keys):
        near, cache = self.raw.near, self.near_cache
        for key in keys:
            near(cache, key, None)

    def get_all(self, keys):
        get, cache = self.raw.get, self.store_cache
        for key in keys:
            get(cache, key, None)

    def put_all(self, keys):
        put, cache = self.raw.put, self.store_cache
        for key in keys:
            put(cache, key, LARGE, 0, 3600000, None)

    def fill(self):
        for key in self.keys:
            self.raw.put(self.near_cache, key, SMALL, 0, 3600000, None)
        self.put_all(self.keys)

    def get(self, key):
        return self.raw.get(self.store_cache, key, None)[1]

    def holds(self, key):
        """Whether what is measured as a hit in this process's memory will be one; reads it, if not."""
        if self.raw.near(self.near_cache, key, None) is not None:
            return True
        self.raw.get(self.near_cache, key, None)
        return False


class Face:
    """pgcache as applications use it, with byte strings."""

    keys, small, large = BYTE_KEYS, SMALL, LARGE

    def __init__(self):
        from pgcache import Cache

        self.near_cache = Cache(namespace=NEAR, near_staleness_ms=STALENESS, janitor=None)
        self.store_cache = Cache(namespace=STORE, near_max_bytes=0, janitor=None)
        self.near, self.get = self.near_cache.get, self.store_cache.get

    def holds(self, key):
        return self.near_cache.peek(key) is not None or self.near_cache.get(key) is None  # which reads it

    def put(self, key):
        self.store_cache.put(key, self.large, ttl=TTL)

    def fill(self):
        for key in self.keys:
            self.near_cache.put(key, self.small, ttl=TTL)
            self.put(key)


class FaceJson(Face):
    """The same with text keys and documents."""

    keys, small, large = KEYS, SMALL_TEXT, LARGE_TEXT


class Psycache:
    keys = KEYS

    def __init__(self):
        import psycache
        import psycopg
        from psycache.psycopg_pool import PsycopgCachePool
        from psycopg_pool import ConnectionPool

        with psycopg.connect(DSN, autocommit=True) as connection:
            psycache.init_db(connection)
        self.cache = psycache.PostgresCache(PsycopgCachePool(ConnectionPool(DSN, min_size=1, open=True)))
        self.get = self.cache.get_raw

    def put(self, key):
        self.cache.put_raw(key, LARGE_TEXT, ttl=TTL)

    def fill(self):
        for key in self.keys:
            self.put(key)


class Cachekit:
    keys = KEYS

    def __init__(self):
        from fast_cache import PostgresBackend

        self.cache = PostgresBackend(DSN, auto_cleanup=False)
        self.get = self.cache.get

    def put(self, key):
        self.cache.set(key, LARGE, expire=TTL)

    def fill(self):
        for key in self.keys:
            self.put(key)


class Redis:
    keys = BYTE_KEYS

    def __init__(self):
        import redis

        self.cache = redis.Redis(unix_socket_path=os.environ["REDIS_SOCKET"])
        self.get = self.cache.get

    def put(self, key):
        self.cache.set(key, LARGE, ex=TTL)

    def fill(self):
        for key in self.keys:
            self.put(key)


class Async:
    """pgcache in an event loop."""

    asynchronous = True
    keys = BYTE_KEYS

    async def open(self):
        from pgcache import AsyncCache

        self.near_cache = AsyncCache(namespace=NEAR, near_staleness_ms=STALENESS, janitor=None)
        self.store_cache = AsyncCache(namespace=STORE, near_max_bytes=0, janitor=None)
        self.near, self.get = self.near_cache.get, self.store_cache.get

    def holds(self, key):
        return self.near_cache.peek(key) is not None

    async def put(self, key):
        await self.store_cache.put(key, LARGE, ttl=TTL)

    async def fill(self):
        for key in self.keys:
            await self.near_cache.put(key, SMALL, ttl=TTL)
            await self.put(key)


class PostgresCache:
    asynchronous = True
    keys = KEYS

    async def open(self):
        from postgres_cache import CacheSettings, PostgresCache

        await PostgresCache.init_db(CacheSettings(dsn=DSN))
        self.near_cache = PostgresCache(CacheSettings(dsn=DSN))
        self.store_cache = PostgresCache(CacheSettings(dsn=DSN, local_max_entries=0))
        await self.near_cache.connect()
        await self.store_cache.connect()
        self.near, self.get = self.near_cache.get, self.store_cache.get

    async def put(self, key):
        await self.store_cache.set(key, LARGE_TEXT, ttl_seconds=TTL)

    async def fill(self):
        for key in self.keys:
            await self.put(key)


# ---- Measuring --------------------------------------------------------------------------------------------------------------------

# Nanoseconds of one operation: of a near hit on a processor, of the others by the clock.
CLOCKS = {"near": time.thread_time_ns, "get": time.perf_counter_ns, "put": time.perf_counter_ns}
AT_ONCE = {"near": NUMBER, "get": 20, "put": 20}


def parts(client, operation):
    step = AT_ONCE[operation]
    return [client.keys[first : first + step] for first in range(0, NUMBER, step)]


def check_hits(client, operation):
    """What was measured were hits, of clients that would not notice."""
    if operation == "near" and not all(holds(client, key) for key in client.keys):
        sys.exit("clients.py: the near cache does not hold the keys any more")


def in_turn(one):
    def all_of(keys):
        for key in keys:
            one(key)
    return all_of


def measure(client, operation, seconds):
    clock, slices = CLOCKS[operation], parts(client, operation)
    all_of = getattr(client, operation + "_all", None) or in_turn(getattr(client, operation))
    count, began, until = 0, clock(), time.perf_counter() + seconds
    while time.perf_counter() < until:
        all_of(slices[count % len(slices)])
        count += 1
    return (clock() - began) / (count * AT_ONCE[operation])


async def measure_async(client, operation, seconds):
    clock, one, slices = CLOCKS[operation], getattr(client, operation), parts(client, operation)
    count, began, until = 0, clock(), time.perf_counter() + seconds
    while time.perf_counter() < until:
        keys = slices[count % len(slices)]
        for key in keys:
            await one(key)
        count += 1
    return (clock() - began) / (count * AT_ONCE[operation])


def has(client, operation):
    return hasattr(client, operation) or hasattr(client, operation + "_all")


def holds(client, key):
    return not hasattr(client, "holds") or client.holds(key)


def ready(client):
    print("ready", *(operation for operation in CLOCKS if has(client, operation)), flush=True)


def answer(nanoseconds):
    print(f"{nanoseconds:.1f}", flush=True)


def serve(client):
    client.fill()
    for _ in range(100):
        if all([client.get(key) is not None for key in client.keys]) and all([holds(client, key) for key in client.keys]):
            break
        time.sleep(0.05)
    else:
        sys.exit("clients.py: a key is gone, or not held by the near cache")
    ready(client)
    for line in sys.stdin:
        operation, seconds = line.split()
        answer(measure(client, operation, float(seconds)))
        check_hits(client, operation)


async def serve_async(client):
    await client.open()
    await client.fill()
    for _ in range(100):
        if has(client, "near"):
            await measure_async(client, "near", 0.05)
        if all([await client.get(key) is not None for key in client.keys]) and all(holds(client, key) for key in client.keys):
            break
    else:
        sys.exit("clients.py: a key is gone, or not held by the near cache")
    ready(client)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        operation, seconds = line.split()
        answer(await measure_async(client, operation, float(seconds)))
        check_hits(client, operation)


def main(name):
    client = {"raw": Raw, "face": Face, "face-json": FaceJson, "async": Async, "psycache": Psycache,
              "postgres-cache": PostgresCache, "fastapi-cachekit": Cachekit, "redis": Redis}[name]()
    if getattr(client, "asynchronous", False):
        asyncio.run(serve_async(client))
    else:
        serve(client)
    sys.stdout.flush()
    os._exit(0)  # the rivals' pools have threads that would be waited for


if __name__ == "__main__":
    main(*sys.argv[1:])
