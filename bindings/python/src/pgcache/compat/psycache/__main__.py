"""`python -m pgcache.compat.psycache init-db [--table TABLE] [DSN]`, as `python -m psycache`. SPDX-License-Identifier: MIT"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ... import Cache, Error, init_sql
from . import _namespace_of


def _init_db(dsn: str | None, table: str, schema: str | None) -> int:
    try:
        _namespace_of(table, schema)
        if dsn is None:
            print(init_sql())
            return 0
        with Cache(dsn, janitor=None, near_max_bytes=0) as cache:
            cache.init()
    except (ValueError, Error) as failure:
        print(f"pgcache.compat.psycache: init-db failed: {failure}", file=sys.stderr)
        return 1
    print("pgcache.compat.psycache: the cache is there.")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command; gives its exit status."""
    parser = argparse.ArgumentParser(prog="python -m pgcache.compat.psycache")
    commands = parser.add_subparsers(required=True)
    init_db = commands.add_parser("init-db", description="Makes pgcache's schema in a database, or prints the SQL that would.")
    init_db.add_argument("--table", default="psycache", help="needs no preparation: the namespace that a cache with this table will use")
    init_db.add_argument("--schema", help="the same, as it was before psycache 26.4")
    init_db.add_argument("dsn", nargs="?", metavar="DSN", help="a libpq connection string; the SQL is printed if it is omitted")
    given = parser.parse_args(argv)
    return _init_db(given.dsn, given.table, given.schema)


if __name__ == "__main__":
    raise SystemExit(main())
