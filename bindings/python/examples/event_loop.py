"""Many at once in an event loop: what waits is sent together, over two connections and without threads. PGCACHE_URL says where.

SPDX-License-Identifier: MIT
"""

import asyncio

import pgcache


async def slow_answer() -> int:
    await asyncio.sleep(0.05)
    return 42


async def main() -> None:
    async with pgcache.AsyncCache() as cache:
        await cache.init()
        await asyncio.gather(*(cache.put(f"square:{n}", n * n, ttl=60) for n in range(100)))
        found = await asyncio.gather(*(cache.get(f"square:{n}") for n in range(100)))
        print(sum(found))

        answers = await asyncio.gather(*(cache.get_or_load("answer", slow_answer, ttl=60) for _ in range(100)))
        print(set(answers), cache.counters()["loads"])
        await cache.remove("answer")

        async with await cache.load_begin("by hand", ttl=60, wait=1) as load:
            if load.leased:
                await load.fill("mine", tags=["example"])
        print(await cache.get("by hand"))
        await cache.invalidate(tags=["example"])


if __name__ == "__main__":
    asyncio.run(main())
