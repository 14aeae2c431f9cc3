"""Functions whose results are kept: by their arguments, for all processes. PGCACHE_URL says where. SPDX-License-Identifier: MIT"""

import asyncio
from dataclasses import dataclass

from pgcache import Cache, call_key

cache = Cache()
calls = 0


@dataclass(frozen=True)
class Customer:
    id: int


@cache.cached(ttl=60, tags=["customer:{customer.id}"])
def discount(customer: Customer, *, season: str = "winter") -> float:
    global calls
    calls += 1
    return 0.1 if season == "winter" else 0.0


@cache.cached(ttl=60, key="rate:{currency}", bypass=lambda currency: currency == "EUR")
async def rate(currency: str) -> float:
    await asyncio.sleep(0.01)
    return 1.5


def main() -> None:
    cache.init()
    cache.invalidate(tags=["customer:7"])
    print(discount(Customer(7)), discount(customer=Customer(7), season="winter"), calls)
    cache.invalidate(keys=[call_key(discount, Customer(7))])
    cache.fence()
    print(discount(Customer(7)), calls)
    print(asyncio.run(rate("USD")), asyncio.run(rate("EUR")))
    cache.close()


if __name__ == "__main__":
    main()
