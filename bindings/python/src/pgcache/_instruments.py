"""Instrumentation of the application's own: objects that are told when an operation begins and ends.

The library counts by itself, see `Cache.snapshot()`; this is for spans and the like, which belong to the caller's own thread or task.
A cache without providers pays nothing for them.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ._status import Status
from .errors import Error

if TYPE_CHECKING:
    from ._options import Key


@dataclass(frozen=True)
class Operation:
    """An operation that begins.

    name       that of the library: "get", "put", "load_begin", "flush" and so on; `get_or_load()` is "load_begin" and "load_fill"
    keys       the keys that it is on; secret by nature: take care where you write them
    namespace  None: the setting `namespace`
    span_name  the caller's own words, or ""
    """

    name: str
    keys: Sequence[Key]
    namespace: str | None
    span_name: str


@dataclass(frozen=True)
class Outcome:
    """How an operation ended.

    outcome  "hit" where what was looked for was there, else the status in small letters: "ok", "miss", "timeout" and so on
    bytes    the size of the values that were read or written, or None
    error    what it raised, or None
    """

    outcome: str
    bytes: int | None
    error: BaseException | None


@runtime_checkable
class Provider(Protocol):
    """The application's own instrumentation: `Cache(..., providers=[...])`. Both are called by the thread or task that calls the cache;
    what they raise reaches it."""

    def begin(self, operation: Operation) -> Any:
        """An operation begins. What it returns `end()` is given."""
        ...

    def end(self, begun: Any, outcome: Outcome) -> None:
        """It ended."""
        ...


_LOOKS = frozenset(("get", "get_into", "exists", "peek", "load_begin"))
_WRITES = frozenset(("put", "add", "replace", "compare_and_swap"))
_BATCHES = frozenset(("get_many", "put_many", "remove_many"))
_KEYED = _LOOKS | _WRITES | {"remove", "touch", "increment"}


def _keys(name: str, arguments: Sequence[Any]) -> Sequence[Key]:
    if name in _KEYED:
        return (arguments[0],)
    if name in _BATCHES:
        return tuple(item[0] if isinstance(item, tuple) else item for item in arguments[0])
    return ()


def _written(name: str, arguments: Sequence[Any]) -> int | None:
    if name in _WRITES:
        return len(arguments[1])
    if name == "load_fill":
        return len(arguments[0])
    if name == "put_many":
        return sum(len(item[1]) for item in arguments[0])
    return None


def _read(name: str, result: Any) -> int | None:
    if name in ("get", "load_begin"):
        return len(result[1][0]) if result[1] is not None else None
    if name == "get_into":
        return int(result[1])
    if name == "get_many":
        return sum(len(value[0]) for _, _, value in result[1] if value is not None)
    return None


class Note:
    """What becomes of an operation while it is observed."""

    __slots__ = ("result",)

    def __init__(self) -> None:
        self.result: Any = None


def _outcome(name: str, arguments: Sequence[Any], result: Any) -> Outcome:
    status = Status(result[0] if isinstance(result, tuple) else result)
    hit = name in _LOOKS and status in (Status.OK, Status.TOO_SMALL)
    size = _written(name, arguments)
    return Outcome("hit" if hit else status.name.lower(), size if size is not None else _read(name, result), None)


@contextmanager
def observed(providers: Sequence[Provider], function: str, arguments: Sequence[Any]) -> Iterator[Note]:
    """Tells providers of a function of the raw layer, whose options come last; its result is to be put into the note."""
    name = function.removeprefix("submit_")
    options = arguments[-1] if arguments else None
    namespace, span_name = (options[1], options[2]) if isinstance(options, tuple) and len(options) == 6 else (None, None)
    operation = Operation(name, _keys(name, arguments), namespace, span_name or "")
    note = Note()
    outcome: Outcome | None = None

    def end(provider: Provider, token: Any) -> None:
        provider.end(token, outcome or _outcome(name, arguments, note.result))

    with ExitStack() as begun:  # all that have begun end, whatever the others raise
        try:
            for provider in providers:
                begun.callback(end, provider, provider.begin(operation))
            yield note
        except BaseException as failure:
            status = failure.status.name.lower() if isinstance(failure, Error) else type(failure).__name__
            outcome = Outcome(status, None, failure)
            raise
