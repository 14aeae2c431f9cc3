#!/usr/bin/env python3
"""The workload of postgres-cache's own benchmark (benchmarks/cache_benchmark.py of github.com/chaliy/postgres-cache, 0.1.1, with the
numbers of its README: 24 writers, 48 readers, 96 keys), written anew after its description, with pgcache as further backends and a Redis
in Valkey's place.

One asyncio process. Each writer stores 400 times a small document under a random key, for 5 s, and pauses for 0 to 5 ms after each;
each reader reads 800 random keys and pauses for 0 to 2 ms after each. A client of its own for each. Operations a second of a kind:
all of them by the time from the first one's begin to the last one's end.

SPDX-License-Identifier: MIT

Usage: workload.py BACKEND    pgcache, pgcache-shared (one handle for all, as applications use it), postgres-cache,
                              postgres-cache-no-local, postgres-cache-no-notify, redis, dict (a dictionary of the process: what the
                              pauses and the event loop themselves allow)
Prints one line of JSON.
"""

import asyncio
import json
import os
import random
import statistics
import sys
import time

WRITERS, READERS, KEYS = 24, 48, 96
WRITES, READS = 400, 800
WRITER_PAUSE, READER_PAUSE, TTL = 0.005, 0.002, 5.0
NAMES = [f"workload:{number}" for number in range(KEYS)]
DSN = os.environ.get("PGCACHE_URL", "")


# ---- Backends: a client has get(key), put(key, document), close() ------------------------------------------------------------------


class Pgcache:
    shared = None

    @classmethod
    async def prepare(cls, wanted):
        from pgcache import AsyncCache

        cls.make = AsyncCache
        first = AsyncCache(janitor=None)
        await first.flush()
        if "shared" in wanted:
            cls.shared = first
        else:
            await first.close()

    async def open(self):
        self.cache = self.shared or self.make(janitor=None)
        self.get = self.cache.get

    async def put(self, key, document):
        await self.cache.put(key, document, ttl=TTL)

    async def close(self):
        await self.cache.close()


class PostgresCache:
    settings = None

    @classmethod
    async def prepare(cls, wanted):
        import asyncpg
        from postgres_cache import CacheSettings, PostgresCache

        options = {"postgres-cache-no-local": {"local_max_entries": 0}, "postgres-cache-no-notify": {"disable_notiffy": True}}
        cls.make, cls.settings = PostgresCache, CacheSettings(dsn=DSN, **options.get(wanted, {}))
        await PostgresCache.init_db(cls.settings)
        from postgres_cache.schema import resolve_schema_names

        connection = await asyncpg.connect(dsn=DSN)
        await connection.execute(f"TRUNCATE {resolve_schema_names(cls.settings.schema_prefix).entries_table}")
        await connection.close()

    async def open(self):
        self.cache = type(self).make(self.settings)
        await self.cache.connect()
        self.get = self.cache.get

    async def put(self, key, document):
        await self.cache.set(key, document, ttl_seconds=TTL)

    async def close(self):
        await self.cache.close()


class Redis:
    @classmethod
    async def prepare(cls, _wanted):
        from redis import asyncio as redis

        cls.make = redis.Redis
        first = redis.Redis(unix_socket_path=os.environ["REDIS_SOCKET"])
        await first.flushdb()
        await first.aclose()

    async def open(self):
        self.cache = type(self).make(unix_socket_path=os.environ["REDIS_SOCKET"], decode_responses=True)

    async def get(self, key):
        found = await self.cache.get(key)
        return None if found is None else json.loads(found)

    async def put(self, key, document):
        await self.cache.set(key, json.dumps(document), px=int(TTL * 1000))

    async def close(self):
        await self.cache.aclose()


class Dict:
    @classmethod
    async def prepare(cls, _wanted):
        cls.entries = {}

    async def open(self):
        pass

    async def get(self, key):
        return self.entries.get(key)

    async def put(self, key, document):
        self.entries[key] = document

    async def close(self):
        pass


BACKENDS = {"dict": Dict, "pgcache": Pgcache, "pgcache-shared": Pgcache, "redis": Redis, "postgres-cache": PostgresCache,
            "postgres-cache-no-local": PostgresCache, "postgres-cache-no-notify": PostgresCache}


# ---- The workload --------------------------------------------------------------------------------------------------------------------


class Task:
    """One writer or reader: what its operations took, and when it began and ended."""

    def __init__(self, client):
        self.client, self.took, self.hits = client, [], 0

    async def write(self, writer):
        self.began = time.perf_counter()
        for iteration in range(WRITES):
            document = {"writer": writer, "iteration": iteration, "ts": time.time()}
            began = time.perf_counter()
            await self.client.put(random.choice(NAMES), document)
            self.took.append(time.perf_counter() - began)
            await asyncio.sleep(random.uniform(0, WRITER_PAUSE))
        self.ended = time.perf_counter()

    async def read(self):
        self.began = time.perf_counter()
        for _ in range(READS):
            began = time.perf_counter()
            found = await self.client.get(random.choice(NAMES))
            self.took.append(time.perf_counter() - began)
            self.hits += found is not None
            await asyncio.sleep(random.uniform(0, READER_PAUSE))
        self.ended = time.perf_counter()


def figures(tasks):
    took = [one for task in tasks for one in task.took]
    seconds = max(task.ended for task in tasks) - min(task.began for task in tasks)
    return {"per_second": len(took) / seconds, "mean_ms": statistics.mean(took) * 1000,
            "p95_ms": statistics.quantiles(took, n=20)[-1] * 1000}


async def main(name):
    backend = BACKENDS[name]
    await backend.prepare(name)
    clients = [backend() for _ in range(WRITERS + READERS)]
    await asyncio.gather(*(client.open() for client in clients))
    writers = [Task(client) for client in clients[:WRITERS]]
    readers = [Task(client) for client in clients[WRITERS:]]
    await asyncio.gather(*(task.write(number) for number, task in enumerate(writers)), *(task.read() for task in readers))
    print(json.dumps({"writes": figures(writers), "reads": figures(readers),
                      "hit_rate": sum(task.hits for task in readers) / (READERS * READS)}), flush=True)
    await asyncio.gather(*(client.close() for client in clients))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
