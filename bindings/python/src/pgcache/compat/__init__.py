"""The faces of other caches, over pgcache: whoever comes over changes an import.

    pgcache.compat.psycache             psycache
    pgcache.compat.postgres_cache       postgres-cache
    pgcache.compat.fastapi_cachekit     fastapi-cachekit, whose own module is fast_cache

Each says what differs. The words by which they keep entries apart, psycache's `table`, postgres-cache's `schema_prefix` and
fastapi-cachekit's `namespace`, are namespaces of pgcache; without one the setting `namespace` counts. Keys are the same, so `pgcache
import` can bring the entries, and what these write `pgcache.Cache` reads. Settings that they have no word for, such as `schema`, come
from the environment's PGCACHE_*.

SPDX-License-Identifier: MIT
"""
