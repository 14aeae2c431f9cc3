"""The first steps: put, get, what is missing, and what expires. PGCACHE_URL says where. SPDX-License-Identifier: MIT"""

from datetime import timedelta

import pgcache


def main() -> None:
    with pgcache.Cache() as cache:
        cache.init()
        cache.put("greeting", {"text": "hello"}, ttl=60)
        print(cache.get("greeting"))
        print(cache.get("missing", "nothing there"))

        cache.put("picture", b"\x89PNG", ttl=timedelta(hours=1))
        entry = cache.get_entry("picture")
        assert entry is not None
        print(entry.value, entry.format, entry.ttl > 3500)

        print(cache.increment("visits", initial=100))
        print(cache.remove("visits"), cache.remove("visits"))


if __name__ == "__main__":
    main()
