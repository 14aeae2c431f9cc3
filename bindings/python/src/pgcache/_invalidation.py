"""What is done inside of the application's own transaction: the SQL for its own connection. SPDX-License-Identifier: MIT"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from . import _pgcache
from ._options import Duration, Key, ttl_ms
from .errors import InvalidArgument, TooLarge, Unsupported

if TYPE_CHECKING:
    from typing_extensions import LiteralString


@dataclass(frozen=True)
class Statement:
    """SQL that changes the cache at the commit of the transaction that it is run in; after a rollback nothing has happened.

        statement = cache.put_statement("rate", 1.5, ttl=60)
        cursor.execute(statement.sql, statement.arguments)        # psycopg: %s
        await connection.execute(statement.numbered, *statement.arguments)    # asyncpg: $1

    sql        with %s, as psycopg has it
    numbered   with $1, $2 and so on, as asyncpg has it
    arguments  what stands for these
    """

    sql: LiteralString
    numbered: LiteralString
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Invalidation(Statement):
    """SQL that ends all entries that depend on some tags and keys, at the commit of the transaction that it is run in; after a rollback
    nothing has happened.

        invalidation = cache.invalidation(tags=["customer:7"])
        cursor.execute(invalidation.sql, invalidation.arguments)        # psycopg: %s
        await connection.execute(invalidation.numbered, *invalidation.arguments)    # asyncpg: $1

    sql        with %s, as psycopg has it
    numbered   with $1, $2, $3, as asyncpg has it
    arguments  tags, keys and the namespace: two lists of text, and text
    """

    arguments: tuple[list[str], list[str], str]


def _names(given: Iterable[Key]) -> list[str]:
    if isinstance(given, (str, bytes)):
        raise TypeError("tags and keys are sequences of names; for a single one write [name]")
    try:
        return [name if isinstance(name, str) else bytes(memoryview(name)).decode() for name in given]
    except UnicodeDecodeError as why:
        raise InvalidArgument("a tag or key is not UTF-8: SQL takes text; use invalidate() outside of the transaction") from why


def _call(schema: str, function: str, arguments: str) -> Callable[..., LiteralString]:
    """A call of a function of the cache's schema, whose places for arguments are still to be filled in."""
    quoted = schema.replace('"', '""')
    call = f'SELECT "{quoted}".{function}({arguments})'

    def text(*names: str) -> LiteralString:  # the schema's name is of a few letters, which the library has checked
        return cast("LiteralString", call.format(*names))  # type: ignore[redundant-cast]

    return text


def invalidation(schema: str, namespace: str, tags: Iterable[Key], keys: Iterable[Key]) -> Invalidation:
    """See `Cache.invalidation()`."""
    if not namespace:
        raise InvalidArgument("a namespace is not empty")
    text = _call(schema, "invalidate", "tags => {}::text[], keys => {}::text[], namespace => {}::text")
    arguments = _names(tags), _names(keys), namespace
    return Invalidation(text("%s", "%s", "%s"), text("$1", "$2", "$3"), arguments)


_PUT = "key => {}::bytea, value => {}::bytea, ttl => {}::bigint * interval '1 millisecond', namespace => {}::text, format => {}::integer"

_LONGEST = 3650 * 86_400_000  # milliseconds: as the library, the server shortens what is longer, but only as far as an interval goes


def put_statement(
    setting: Callable[[str], str], namespace: str | None, key: Key, data: bytes, format: int, ttl: Duration | None
) -> Statement:
    """See `Cache.put_statement()`."""
    if setting("encryption") != "off" or setting("digests") != "plain":
        raise Unsupported("SQL cannot encrypt: put() of this cache works outside of the transaction alone")
    name = key.encode() if isinstance(key, str) else bytes(memoryview(key))
    if not name:
        raise InvalidArgument("the key is empty")
    if len(name) > _pgcache.KEY_MAX:
        raise TooLarge(f"a key has up to {_pgcache.KEY_MAX} bytes")
    if len(data) > int(setting("max_value_bytes")):
        raise TooLarge("the value is longer than max_value_bytes")
    span = ttl_ms(ttl)
    if span == _pgcache.TTL_DEFAULT:
        told = setting("default_ttl_ms")
        span = _pgcache.TTL_NEVER if told == "never" else int(told)
    if span <= 0:
        raise InvalidArgument("a ttl is positive")
    text = _call(setting("schema"), "put", _PUT)
    lasts = None if span == _pgcache.TTL_NEVER else min(span, _LONGEST)
    arguments = name, data, lasts, setting("namespace") if namespace is None else namespace, format
    return Statement(text(*["%s"] * 5), text("$1", "$2", "$3", "$4", "$5"), arguments)
