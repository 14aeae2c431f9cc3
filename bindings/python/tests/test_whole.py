"""The package as a whole: nothing of the library left out, two faces that are one, docstrings, examples, the command.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pgcache
from pgcache import AsyncCache, Cache, Status, _pgcache, aio, cache

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
HEADER = (ROOT / "abi" / "pgcache.h").read_text(encoding="utf-8")
STUB = Path(inspect.getfile(pgcache)).parent / "_pgcache.pyi"


def fields_of(struct: str) -> set[str]:
    """The members of a struct, as the header has them."""
    body = re.search(rf"typedef struct {struct} \{{(.*?)\n\}} {struct};", HEADER, re.DOTALL)
    assert body is not None
    code = re.sub(r"/\*.*?\*/", "", body.group(1), flags=re.DOTALL)
    return set(re.findall(r"(\w+)(?:\[\w+\])?;", code)) - {"struct_size"}


def test_structs_are_whole(plain: Cache, own: Any) -> None:
    handle = plain._handle
    with plain.observe(operations=True, states=False) as observer:
        plain.put("k", 1)
        event = _pgcache.observer_next(observer._raw, 1000)[1]  # type: ignore[arg-type]
    assert event is not None
    assert set(_pgcache.read_counters(handle)[1]) == fields_of("pgcache_counters")
    assert set(_pgcache.stats(handle, None)[1]) == fields_of("pgcache_store_stats")
    assert set(_pgcache.read_usage(handle, 10, None, None)[1][0]) == fields_of("pgcache_usage")
    assert set(_pgcache.cleanup_some(own._handle, (0, 0, 0), 1, None)[1]) == fields_of("pgcache_cleanup_progress")
    assert set(_pgcache.config_describe(0)[1]) == fields_of("pgcache_setting")
    assert set(event) == fields_of("pgcache_event") - {"key_len"}
    assert {field.name for field in dataclasses.fields(pgcache.StoreStats)} == fields_of("pgcache_store_stats")
    assert len(fields_of("pgcache_load_options")) == 9
    plans = pgcache.KeepOptions.__annotations__.keys() | {"ttl"}
    assert plans == {name.removesuffix("_ms") for name in fields_of("pgcache_load_options")}


def test_statuses_are_those_of_the_library() -> None:
    for status in Status:
        assert _pgcache.status_name(status) == f"PGCACHE_{status.name}"
        assert getattr(_pgcache, status.name) == status
    declared = re.findall(r"^  PGCACHE_(\w+) = (-?\d+),? ", HEADER, re.MULTILINE)
    assert {(status.name, str(status.value)) for status in Status} <= set(declared)
    numbers = {int(number) for name, number in declared if name in Status.__members__ or int(number) < 0}
    assert numbers == {int(status) for status in Status}


def test_the_stub_says_what_there_is() -> None:
    stub = ast.parse(STUB.read_text(encoding="utf-8"))
    functions = {node.name for node in stub.body if isinstance(node, ast.FunctionDef)}
    constants = {node.target.id for node in stub.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}
    there = {name for name in dir(_pgcache) if not name.startswith("_") and not name.startswith("SWIG")}
    assert functions == {name for name in there if callable(getattr(_pgcache, name)) and name != "Owned"}
    assert {name for name in constants if not name.startswith("Raw")} == there - functions - {"Owned"}


def public(cls: type) -> dict[str, Any]:
    return {name: member for name, member in inspect.getmembers(cls) if not name.startswith("_")}


def test_both_faces_are_one() -> None:
    """The same operations with the same arguments, in the same order."""
    one, other = public(Cache), public(AsyncCache)
    assert one.keys() - {"aio"} == other.keys() - {"sync"}
    for name, member in one.items():
        if callable(member):
            mine, its = inspect.signature(member), inspect.signature(other[name])
            assert list(mine.parameters.items()) == list(its.parameters.items()) or name == "get_or_load", name
    order = [
        [node.name for node in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
        for module in (cache, aio)
    ]
    names = [[name for name in dict.fromkeys(names) if not name.startswith("_") and name not in ("aio", "sync")] for names in order]
    assert names[0] == names[1]


MODULES = [
    "pgcache", "pgcache.errors", "pgcache.serializers", "pgcache.django", "pgcache.fastapi", "pgcache.opentelemetry", "pgcache.prometheus",
    "pgcache.psycopg", "pgcache.sentry", "pgcache.sqlalchemy", "pgcache.compat", "pgcache.compat.fastapi_cachekit",
    "pgcache.compat.postgres_cache", "pgcache.compat.psycache", "pgcache.compat.psycache.instrumentation",
    "pgcache.compat.psycache.instrumentation.prometheus", "pgcache.compat.psycache.instrumentation.sentry",
    "pgcache.compat.psycache.psycopg_pool", "pgcache.compat.psycache.sqlalchemy", "pgcache.compat.psycache.typing",
]  # fmt: skip


@pytest.mark.parametrize("module", MODULES)
def test_everything_is_documented(module: str) -> None:
    there = importlib.import_module(module)
    for name, thing in vars(there).items():
        if name.startswith("_") or not callable(thing) or not getattr(thing, "__module__", "").startswith("pgcache"):
            continue
        assert thing.__doc__, f"{module}.{name}"
        for member, function in vars(thing).items() if inspect.isclass(thing) else ():
            if not member.startswith("_") and (inspect.isfunction(function) or isinstance(function, property)):
                assert function.__doc__, f"{module}.{name}.{member}"
    assert set(getattr(there, "__all__", ())) <= set(vars(there))


OPTIONAL = {
    "pgcache.django": ("django", "django"),
    "pgcache.fastapi": ("fastapi", "fastapi"),
    "pgcache.opentelemetry": ("opentelemetry", "opentelemetry"),
    "pgcache.prometheus": ("prometheus_client", "prometheus"),
    "pgcache.sentry": ("sentry_sdk", "sentry"),
    "pgcache.psycopg": ("psycopg", "psycopg"),
    "pgcache.sqlalchemy": ("sqlalchemy", "sqlalchemy"),
    "pgcache.compat.psycache": ("psycopg", "psycopg"),
    "pgcache.compat.psycache.instrumentation.prometheus": ("prometheus_client", "prometheus"),
    "pgcache.compat.psycache.instrumentation.sentry": ("sentry_sdk", "sentry"),
    "pgcache.compat.fastapi_cachekit": ("fastapi", "fastapi"),
}
"""What needs a package, and the extra that brings it."""


def python(program: str) -> None:
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("module", OPTIONAL)
def test_a_package_that_is_missing(module: str) -> None:
    package, extra = OPTIONAL[module]
    python(
        f"import sys; sys.modules[{package!r}] = None\n"
        f"try: import {module}\n"
        f"except ImportError as failure: told = str(failure)\n"
        f"""assert "pip install 'pgcache[{extra}]'" in told"""
    )
    assert f"\n{extra} = [" in (HERE.parent / "pyproject.toml").read_text(encoding="utf-8")


def test_importing_pgcache_imports_no_package() -> None:
    packages = {package for package, _ in OPTIONAL.values()}
    python(f"import sys, pgcache, pgcache.compat.postgres_cache; assert not {packages!r} & set(sys.modules)")


def test_versions() -> None:
    assert pgcache.library_version() == _pgcache.VERSION_STRING == pgcache.__version__
    project = (HERE.parent / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{pgcache.__version__}"' in project
    assert _pgcache.version_number() == 10000


EXAMPLES = {
    "hello.py": "{'text': 'hello'}\nnothing there\nb'\\x89PNG' 0 True\n101\nTrue False\n",
    "order_count.py": "1 1\n2 2\n3 3\n",
    "event_loop.py": "328350\n{42} 1\nmine\n",
    "cached_functions.py": "0.1 0.1 1\n0.1 2\n1.5 1.5\n",
    "measured.py": (
        "init start ok None\nput checkout ok 5\nget checkout hit 5\nput 5\n"
        '[\'pgcache_hits_total{source="store",span_name="checkout"} 1.0\']\n1 True\n'
    ),
}


@pytest.mark.parametrize("name", sorted(path.name for path in (HERE.parent / "examples").glob("*.py")))
def test_examples(url: str, name: str) -> None:
    schema = "python_example_" + name.removesuffix(".py")
    environment = {**os.environ, "PGCACHE_URL": url, "PGCACHE_SCHEMA": schema}
    program = [sys.executable, str(HERE.parent / "examples" / name)]
    ended = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == EXAMPLES[name]


def test_the_command() -> None:
    ended = subprocess.run([sys.executable, "-m", "pgcache", "version"], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "1.0.0" in ended.stdout
    without = {**os.environ, "PATH": "/nonexistent"}
    ended = subprocess.run([sys.executable, "-m", "pgcache"], env=without, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "make install" in ended.stderr
