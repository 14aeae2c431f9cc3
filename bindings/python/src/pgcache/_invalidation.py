"""Invalidation inside of the application's own transaction: the SQL for its own connection. SPDX-License-Identifier: MIT"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from ._options import Key
from .errors import InvalidArgument

if TYPE_CHECKING:
    from typing_extensions import LiteralString


@dataclass(frozen=True)
class Invalidation:
    """SQL that ends all entries that depend on some tags and keys, at the commit of the transaction that it is run in; after a rollback
    nothing has happened.

        invalidation = cache.invalidation(tags=["customer:7"])
        cursor.execute(invalidation.sql, invalidation.arguments)        # psycopg: %s
        await connection.execute(invalidation.numbered, *invalidation.arguments)    # asyncpg: $1

    sql        with %s, as psycopg has it
    numbered   with $1, $2, $3, as asyncpg has it
    arguments  tags, keys and the namespace: two lists of text, and text
    """

    sql: LiteralString
    numbered: LiteralString
    arguments: tuple[list[str], list[str], str]


def _names(given: Iterable[Key]) -> list[str]:
    if isinstance(given, (str, bytes)):
        raise TypeError("tags and keys are sequences of names; for a single one write [name]")
    try:
        return [name if isinstance(name, str) else bytes(name).decode() for name in given]
    except UnicodeDecodeError as why:
        raise InvalidArgument("a tag or key is not UTF-8: SQL takes text; use invalidate() outside of the transaction") from why


def invalidation(schema: str, namespace: str, tags: Iterable[Key], keys: Iterable[Key]) -> Invalidation:
    """See `Cache.invalidation()`."""
    if not namespace:
        raise InvalidArgument("a namespace is not empty")
    quoted = schema.replace('"', '""')
    call = f'SELECT "{quoted}".invalidate(tags => {{}}::text[], keys => {{}}::text[], namespace => {{}}::text)'

    def text(*names: str) -> LiteralString:  # the schema's name is of a few letters, which the library has checked
        return cast("LiteralString", call.format(*names))  # type: ignore[redundant-cast]

    arguments = _names(tags), _names(keys), namespace
    return Invalidation(text("%s", "%s", "%s"), text("$1", "$2", "$3"), arguments)
