"""The cache inside of transactions of SQLAlchemy: statements to be executed beside the application's own, by a Session, an AsyncSession or
a connection, with whatever driver; they take effect with the commit. The package SQLAlchemy is needed.

    from pgcache.sqlalchemy import invalidate, put

    with Session(engine) as session, session.begin():
        session.add(Order(customer_id=7))
        session.execute(invalidate(cache, tags=["customer:7"]))
        session.execute(put(cache, "customer:7:name", "Ada", ttl=60))

    async with AsyncSession(engine) as session, session.begin():
        await session.execute(invalidate(cache, tags=["customer:7"]))

Nobody reads what is not committed, and after the commit nobody what it has ended; after a rollback, also to a savepoint, nothing has
happened.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Union

try:
    from sqlalchemy import ARRAY, BigInteger, Integer, LargeBinary, Text, bindparam, text
except ImportError as missing:
    raise ImportError("pgcache.sqlalchemy needs SQLAlchemy: pip install 'pgcache[sqlalchemy]'") from missing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Engine, TextClause
    from sqlalchemy.ext.asyncio import AsyncEngine
    from sqlalchemy.types import TypeEngine

    from . import AsyncCache, Cache, Duration, Key, Statement

    AnyCache = Union[Cache, AsyncCache]

__all__ = ["invalidate", "put", "url_of"]


def url_of(engine: Engine | AsyncEngine) -> str:
    """The address of an engine, for `Cache(url_of(engine))`, with the password: keep it secret. It is all that the engine's URL says;
    what its `connect_args` or `creator` add, or what its driver alone knows, such as ports in the query's hosts, has to be told to the
    cache itself."""
    return engine.url.set(drivername="postgresql").render_as_string(hide_password=False)


def invalidate(cache: AnyCache, *, tags: Iterable[Key] = (), keys: Iterable[Key] = (), namespace: str | None = None) -> TextClause:
    """A statement that ends all entries that depend on these tags and keys when its transaction is committed, see
    `Cache.invalidation()`. Raises `InvalidArgument`."""
    return _clause(cache.invalidation(tags=tags, keys=keys, namespace=namespace), (ARRAY(Text), ARRAY(Text), Text()))


def put(cache: AnyCache, key: Key, value: Any, ttl: Duration | None = None, *, namespace: str | None = None) -> TextClause:
    """A statement that stores an entry when its transaction is committed, and gives its version, see `Cache.put_statement()`, and what
    that raises."""
    statement = cache.put_statement(key, value, ttl, namespace=namespace)
    return _clause(statement, (LargeBinary(), LargeBinary(), BigInteger(), Text(), Integer()))


def _clause(statement: Statement, types: tuple[TypeEngine[Any], ...]) -> TextClause:
    """A statement in SQLAlchemy's terms: $1::text would not be seen as a parameter, (:p1)::text is."""
    given = enumerate(zip(statement.arguments, types), start=1)
    parameters = [bindparam(f"p{number}", value, type_) for number, (value, type_) in given]
    return text(re.sub(r"\$(\d)", r"(:p\1)", statement.numbered)).bindparams(*parameters)
