"""The cache inside of the application's own transactions: psycopg and SQLAlchemy, sync and async. Each is seen from another handle, whose
near cache holds what the transaction ends.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import psycopg_pool
import pytest
import sqlalchemy
from psycopg.rows import dict_row
from sqlalchemy import orm
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine

import pgcache
import pgcache.psycopg as in_psycopg
import pgcache.sqlalchemy as in_sqlalchemy
from pgcache import errors

Step = Callable[..., Any]


class Rollback(Exception):
    """Ends a block without a commit."""


@pytest.fixture
def other(url: str, plain: pgcache.Cache) -> Iterator[pgcache.Cache]:
    """Another handle of the same cache, with its own near cache."""
    with pgcache.Cache(url, schema=plain.setting("schema"), namespace=plain.setting("namespace"), janitor=None, on_error="error") as cache:
        yield cache


def seen_by(other: pgcache.Cache, key: str) -> Any:
    """What the near cache of another process would give, once it has heard of everything that was committed."""
    other.fence()
    return other.get(key)


def fill(plain: pgcache.Cache, other: pgcache.Cache) -> None:
    plain.remove("new")
    plain.put("tagged", "old", tags=["customer:7"])
    plain.put("keyed", "old")
    assert seen_by(other, "tagged") == seen_by(other, "keyed") == "old"
    assert other.peek("tagged") is not None


def check(
    plain: pgcache.Cache, other: pgcache.Cache, run: Callable[[bool, Callable[[Any], Any]], None], act: Step, savepoint: Step
) -> None:
    """run: does something in a transaction that is committed, or not; act: invalidates and puts; savepoint: does it, too, and goes back."""
    fill(plain, other)
    run(False, act)
    assert [seen_by(other, key) for key in ("tagged", "keyed", "new")] == ["old", "old", None]
    run(True, savepoint)
    assert [seen_by(other, key) for key in ("tagged", "keyed", "new")] == ["old", "old", None]
    run(True, act)
    assert [seen_by(other, key) for key in ("tagged", "keyed", "new")] == [None, None, {"name": "Ada"}]
    entry = other.get_entry("new")
    assert entry is not None
    assert (entry.format, entry.ttl) == (1, pytest.approx(60, abs=5))


# ---- psycopg ----------------------------------------------------------------------------------------------------------------------


def test_psycopg(plain: pgcache.Cache, other: pgcache.Cache, url: str) -> None:
    def act(connection: Any) -> None:
        in_psycopg.invalidate(connection, plain, tags=["customer:7"], keys=["keyed"])
        assert in_psycopg.put(connection, plain, "new", {"name": "Ada"}, ttl=60) > 0
        assert plain.get("tagged") == "old"  # nobody else sees it yet

    def savepoint(connection: Any) -> None:
        with connection.transaction(force_rollback=True):
            act(connection)

    def run(commit: bool, work: Step) -> None:
        with (
            psycopg_pool.ConnectionPool(url, min_size=1, max_size=1, kwargs={"row_factory": dict_row}) as pool,
            pool.connection() as connection,
            connection.transaction(force_rollback=not commit),
        ):
            work(connection)

    check(plain, other, run, act, savepoint)


def test_psycopg_async(plain: pgcache.Cache, other: pgcache.Cache, url: str) -> None:
    async def act(connection: Any) -> None:
        await in_psycopg.invalidate(connection, plain.aio, tags=["customer:7"], keys=["keyed"])
        assert await in_psycopg.put(connection, plain.aio, "new", {"name": "Ada"}, ttl=60) > 0

    async def savepoint(connection: Any) -> None:
        async with connection.transaction(force_rollback=True):
            await act(connection)

    async def in_pool(commit: bool, work: Callable[[Any], Awaitable[None]]) -> None:
        async with (
            psycopg_pool.AsyncConnectionPool(url, min_size=1, max_size=1, open=False) as pool,
            pool.connection() as connection,
            connection.transaction(force_rollback=not commit),
        ):
            await work(connection)

    check(plain, other, lambda commit, work: asyncio.run(in_pool(commit, work)), act, savepoint)


def test_psycopg_a_savepoint_that_is_kept(plain: pgcache.Cache, other: pgcache.Cache, url: str) -> None:
    fill(plain, other)
    with psycopg.connect(url) as connection:
        with connection.transaction():
            in_psycopg.invalidate(connection, plain, tags=["customer:7"])
        with connection.transaction(force_rollback=True):
            in_psycopg.put(connection, plain, "keyed", "never")
            in_psycopg.invalidate(connection, plain, keys=["keyed"])
    assert (seen_by(other, "tagged"), seen_by(other, "keyed")) == (None, "old")


def test_a46_what_was_loaded_before_the_commit_does_not_stay(plain: pgcache.Cache, other: pgcache.Cache, url: str) -> None:
    def load() -> int:
        with psycopg.connect(url) as reader:
            row = reader.execute("SELECT count(*) FROM python_orders").fetchone()
        assert row is not None
        return int(row[0])

    def count() -> int | None:
        return other.get_or_load("count", load, ttl=60, tags=["orders"])

    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS python_orders (id integer)")
        connection.execute("TRUNCATE python_orders")
        connection.commit()
        for number in range(5):
            assert count() == number
            connection.execute("INSERT INTO python_orders VALUES (1)")
            in_psycopg.invalidate(connection, plain, tags=["orders"])
            other.remove("count")
            assert count() == number  # what is committed, loaded anew and stored
            connection.commit()
            other.fence()


def test_psycopg_at_once_without_a_transaction(plain: pgcache.Cache, other: pgcache.Cache, url: str) -> None:
    fill(plain, other)
    with psycopg.connect(url, autocommit=True) as connection:
        in_psycopg.invalidate(connection, plain, keys=["keyed"])
        assert seen_by(other, "keyed") is None


def test_psycopg_whatever_cursors_a_connection_has(plain: pgcache.Cache, other: pgcache.Cache, url: str) -> None:
    for factory in (psycopg.RawCursor, psycopg.ClientCursor):
        fill(plain, other)
        with psycopg.connect(url, cursor_factory=factory) as connection:
            in_psycopg.put(connection, plain, "new", "Ada")
            in_psycopg.invalidate(connection, plain, keys=["keyed"])
        assert (seen_by(other, "keyed"), seen_by(other, "new")) == (None, "Ada")

    async def scene() -> None:
        async with await psycopg.AsyncConnection.connect(url, cursor_factory=psycopg.AsyncRawCursor) as connection:
            await in_psycopg.put(connection, plain, "new", "Eve")

    asyncio.run(scene())
    assert seen_by(other, "new") == "Eve"


def test_psycopg_where_a_connection_leads(url: str, schema: str) -> None:
    with psycopg.connect(url, password="s3cret ' \\") as connection:
        address = in_psycopg.url_of(connection)
    assert psycopg.conninfo.conninfo_to_dict(address)["password"] == "s3cret ' \\"
    with pgcache.Cache(address, schema=schema, janitor=None, on_error="error") as cache:
        assert cache.exists("none") is False
    with psycopg.connect(url) as connection:
        assert "password" not in in_psycopg.url_of(connection)


# ---- SQLAlchemy -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Session", "Connection"])
def test_sqlalchemy(plain: pgcache.Cache, other: pgcache.Cache, engine_url: Any, kind: str) -> None:
    engine = sqlalchemy.create_engine(engine_url("psycopg"))

    def act(session: Any) -> None:
        session.execute(in_sqlalchemy.invalidate(plain, tags=["customer:7"], keys=["keyed"]))
        assert session.execute(in_sqlalchemy.put(plain, "new", {"name": "Ada"}, ttl=60)).scalar_one() > 0

    def savepoint(session: Any) -> None:
        nested = session.begin_nested()
        act(session)
        nested.rollback()

    def run(commit: bool, work: Step) -> None:
        with orm.Session(engine) if kind == "Session" else engine.connect() as session:
            work(session)
            if commit:
                session.commit()

    check(plain, other, run, act, savepoint)
    engine.dispose()


@pytest.mark.parametrize("kind", [AsyncSession, AsyncConnection])
@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_sqlalchemy_async(plain: pgcache.Cache, other: pgcache.Cache, engine_url: Any, driver: str, kind: type) -> None:
    async def act(session: Any) -> None:
        await session.execute(in_sqlalchemy.invalidate(plain.aio, tags=["customer:7"], keys=["keyed"]))
        assert (await session.execute(in_sqlalchemy.put(plain.aio, "new", {"name": "Ada"}, ttl=60))).scalar_one() > 0

    async def savepoint(session: Any) -> None:
        nested = await session.begin_nested()
        await act(session)
        await nested.rollback()

    async def in_engine(commit: bool, work: Callable[[Any], Awaitable[None]]) -> None:
        engine = create_async_engine(engine_url(driver))
        async with AsyncSession(engine) if kind is AsyncSession else engine.connect() as session:
            assert isinstance(session, kind)
            await work(session)
            if commit:
                await session.commit()
        await engine.dispose()

    check(plain, other, lambda commit, work: asyncio.run(in_engine(commit, work)), act, savepoint)


def test_sqlalchemy_where_an_engine_leads(engine_url: Any, schema: str) -> None:
    for engine in (sqlalchemy.create_engine(engine_url("psycopg")), create_async_engine(engine_url("asyncpg"))):
        with pgcache.Cache(in_sqlalchemy.url_of(engine), schema=schema, janitor=None, on_error="error") as cache:
            assert cache.exists("none") is False
    secret = sqlalchemy.create_engine("postgresql+psycopg://ada:p%40ss@db/shop")
    assert in_sqlalchemy.url_of(secret) == "postgresql://ada:p%40ss@db/shop"


# ---- The statements -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [b"\0bytes", None, "text", 17, {"a": [1, None]}])
def test_what_a_transaction_puts(plain: pgcache.Cache, url: str, value: Any) -> None:
    with psycopg.connect(url) as connection:
        for ttl in (None, pgcache.NEVER, 1e18, 0.25):
            in_psycopg.put(connection, plain, b"\xff key", value, ttl)
            connection.commit()
            entry = plain.get_entry(b"\xff key", from_store=True)
            assert entry is not None
            assert entry.value == value
            lasts = {None: 300, 1e18: 3650 * 86400}.get(ttl, ttl)
            assert entry.ttl == lasts or lasts - 5 <= entry.ttl <= lasts
        in_psycopg.put(connection, plain, "elsewhere", value, namespace="test-elsewhere")
    assert plain.get("elsewhere") is None
    assert plain.get("elsewhere", "none", namespace="test-elsewhere") == value


def test_what_is_no_name_cannot_be_invalidated(plain: pgcache.Cache) -> None:
    given: Any
    for given in ([7], [None], [["a"]]):  # bytes(7) would be seven NULs, which nothing depends on
        with pytest.raises(TypeError):
            plain.invalidation(tags=given)
        with pytest.raises(TypeError):
            plain.invalidation(keys=given)
    assert plain.invalidation(tags=[b"a", "b"], keys=[memoryview(b"c")]).arguments[:2] == (["a", "b"], ["c"])  # type: ignore[list-item]


def test_what_a_transaction_cannot_put(plain: pgcache.Cache, url: str, schema: str) -> None:
    for ttl in (0, -1, float("nan")):
        with pytest.raises(errors.InvalidArgument):
            plain.put_statement("k", 1, ttl)
    with pytest.raises(errors.SerializationError):
        plain.put_statement("k", object())
    with pgcache.Cache(url, schema=schema, janitor=None, max_value_bytes=10) as small:
        small.put_statement("k", b"v" * 10)
        with pytest.raises(errors.TooLarge):
            small.put_statement("k", b"v" * 11)
    statement = plain.put_statement("k", "v")
    assert statement.numbered.count("$") == statement.sql.count("%s") == len(statement.arguments) == 5
    plain.put_statement("k" * 4096, 1)
    for key, error in (("", errors.InvalidArgument), ("k" * 4097, errors.TooLarge)):
        with pytest.raises(error):
            plain.put_statement(key, 1)
    with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.InvalidParameterValue):
        in_psycopg.put(connection, plain, "k", 1, namespace="")


@pytest.mark.parametrize("secret", [{"encryption": "on"}, {"encryption": "required"}, {"digests": "keyed"}])
def test_what_is_encrypted_no_transaction_can_put(url: str, schema: str, tmp_path: Path, secret: dict[str, str]) -> None:
    keys = [subprocess.check_output(["pgcache", "keygen", *kind], text=True, timeout=60) for kind in ([], ["digest"])]
    (tmp_path / "keys").touch(mode=0o600)
    (tmp_path / "keys").write_text("".join(keys), encoding="utf-8")
    with (
        pgcache.Cache(url, schema=schema, janitor=None, keys=f"file:{tmp_path / 'keys'}", **secret) as cache,
        pytest.raises(errors.Unsupported),
    ):
        cache.put_statement("k", 1)


def test_the_default_time_to_live_of_what_a_transaction_puts(make: Callable[..., Any]) -> None:
    assert make(default_ttl_ms="never").put_statement("k", 1).arguments[2] is None
    assert make(default_ttl_ms=1500).put_statement("k", 1).arguments[2] == 1500
