"""What the environment says.

    DATABASE_URL           where the table `orders` is, and the cache; or PG_SERVICE_URI
    CACHE_TIMEOUT_SECONDS  how long a count is kept if nobody orders: 120 if not given, or if that is no number
    PORT                   where to listen; 0, as if not given: on any port that is free

SPDX-License-Identifier: MIT
"""

import logging
import os

log = logging.getLogger("orders")

CACHE_TIMEOUT_SECONDS = 120


def database_url() -> str:
    url = os.environ.get("DATABASE_URL") or os.environ.get("PG_SERVICE_URI")
    if not url:
        raise SystemExit("orders: the environment has no DATABASE_URL")
    return url


def cache_timeout() -> int:
    given = os.environ.get("CACHE_TIMEOUT_SECONDS", str(CACHE_TIMEOUT_SECONDS))
    if given.isascii() and given.isdigit() and int(given) > 0:
        return int(given)
    log.warning("CACHE_TIMEOUT_SECONDS is %r, which is no number of seconds: %d it is", given, CACHE_TIMEOUT_SECONDS)
    return CACHE_TIMEOUT_SECONDS


def port() -> int:
    return int(os.environ.get("PORT") or "0")
