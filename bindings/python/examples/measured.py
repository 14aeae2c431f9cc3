"""What can be seen of a cache: metrics for Prometheus, a provider of one's own, and a queue of events. PGCACHE_URL says where.

SPDX-License-Identifier: MIT
"""

import prometheus_client

from pgcache import Cache, Operation, Outcome
from pgcache.prometheus import PgcacheCollector


class Printing:
    """A provider: told by the thread that calls the cache."""

    def begin(self, operation: Operation) -> str:
        return f"{operation.name} {operation.span_name}"

    def end(self, begun: str, outcome: Outcome) -> None:
        print(begun, outcome.outcome, outcome.bytes)


def main() -> None:
    with Cache(providers=[Printing()]) as cache:
        cache.init(span_name="start")
        registry = prometheus_client.CollectorRegistry()
        registry.register(PgcacheCollector(cache))

        with cache.observe(operations=True, states=False) as observer:
            cache.put("k", b"12345", ttl=60, span_name="checkout")
            cache.get("k", span_name="checkout")
            event = observer.take(wait=1)
        print(event.operation if event else None, event.bytes if event else None)

        text = prometheus_client.generate_latest(registry).decode()
        print([line for line in text.splitlines() if line.startswith("pgcache_hits_total") and "checkout" in line])
        for sample in cache.snapshot():
            if sample.name == "pgcache_operation_duration_seconds" and sample.labels["operation"] == "put":
                print(sample.count, sample.percentile(99) < 10)


if __name__ == "__main__":
    main()
