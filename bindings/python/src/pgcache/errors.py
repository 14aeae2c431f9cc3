"""Exceptions: one base, `Error`, and a class for each status that programs handle apart.

Messages are the library's: what happened, to what, and what to do; never a key, a value or a password.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

from typing import Any

from . import _pgcache
from ._status import Status


class Error(Exception):
    """Anything that went wrong in pgcache.

    status    what it was, a `Status`
    sqlstate  the server's five-character code, or ""
    outputs   what the call gave all the same, for the package's own use
    """

    status: Status = Status.SERVER_ERROR

    def __init__(self, message: str, *, status: Status | None = None, sqlstate: str = "", outputs: Any = None) -> None:
        super().__init__(message)
        if status is not None:
            self.status = status
        self.sqlstate = sqlstate
        self.outputs = outputs

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), str(self), int(self.status), self.sqlstate)


def _restore(cls: type[Error], message: str, status: int, sqlstate: str) -> Error:
    return cls(message, status=Status(status), sqlstate=sqlstate)


class InvalidArgument(Error, ValueError):
    """An argument is wrong: empty, out of range, unknown."""

    status = Status.INVALID


class TooLarge(Error, ValueError):
    """A key or value is longer than allowed."""

    status = Status.TOO_LARGE


class BadSetting(Error, ValueError):
    """A setting's name or value is wrong; the message names the nearest setting or what is allowed."""

    status = Status.BAD_SETTING


class OutOfMemory(Error, MemoryError):
    """This process is out of memory, threads or descriptors."""

    status = Status.NO_MEMORY


class Closed(Error):
    """The cache was closed."""

    status = Status.CLOSED


class Timeout(Error, TimeoutError):
    """The deadline passed, and nothing was changed."""

    status = Status.TIMEOUT


class UnknownOutcome(Error):
    """A write was sent and its answer never came: it may or may not have happened."""

    status = Status.UNKNOWN


class Unavailable(Error, ConnectionError):
    """The server cannot be reached, is starting up or is shutting down."""

    status = Status.UNAVAILABLE


class TooManyConnections(Unavailable):
    """The server has no connection left."""

    status = Status.TOO_MANY_CONNECTIONS


class Denied(Error):
    """Log-in refused, no such role or database, or a missing privilege."""

    status = Status.DENIED


class ReadOnly(Error):
    """The server is a standby or read-only."""

    status = Status.READ_ONLY


class Full(Error):
    """The server's disk or memory is full."""

    status = Status.FULL


class ServerTooOld(Error):
    """The server is older than PostgreSQL 15."""

    status = Status.SERVER_TOO_OLD


class SchemaError(Error):
    """The cache's schema in the database is not as the library needs it."""


class SchemaMissing(SchemaError):
    """The schema is not there: call `init()`."""

    status = Status.SCHEMA_MISSING


class SchemaOlder(SchemaError):
    """The schema is older than the library: call `upgrade()`."""

    status = Status.SCHEMA_OLDER


class SchemaNewer(SchemaError):
    """The schema is newer than the library."""

    status = Status.SCHEMA_NEWER


class SchemaChanged(SchemaError):
    """Something in the schema was changed or dropped by hand."""

    status = Status.SCHEMA_CHANGED


class SchemaDiffers(SchemaError):
    """The setting `table` or `digests` disagrees with the schema."""

    status = Status.SCHEMA_DIFFERS


class NotACounter(Error, TypeError):
    """The entry to be incremented does not hold a decimal 64-bit integer."""

    status = Status.NOT_A_COUNTER


class CounterOverflow(Error, OverflowError):
    """The counter would not fit 64 bits; it is unchanged."""

    status = Status.OVERFLOW


class Conflict(Error):
    """The server gave up a conflict (deadlock, lock) repeatedly; nothing was changed."""

    status = Status.CONFLICT


class ServerError(Error):
    """Any other error of the server; see `sqlstate`."""

    status = Status.SERVER_ERROR


class Unsupported(Error):
    """Not possible with the cache's settings."""

    status = Status.UNSUPPORTED


class QueueFull(Error):
    """Too many requests are under way; nothing was submitted."""

    status = Status.QUEUE_FULL


class Cancelled(Error):
    """The request was cancelled; nothing was changed."""

    status = Status.CANCELLED


class Busy(Error):
    """A load: there is no value, and somebody else was still loading it when `wait` was over."""

    status = Status.BUSY


class SerializationError(Error, ValueError):
    """A value cannot be turned into bytes, or bytes not back into a value."""

    status = Status.INVALID


class UnknownFormat(SerializationError):
    """The bytes are of a format that no serializer of this cache reads.

    format  its number
    """

    def __init__(self, message: str, *, format: int = 0, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.format = format


class UncacheableCall(Error, TypeError):
    """A cached function was called with an argument that has no representation by value, so that there is no key."""

    status = Status.INVALID


_classes = {
    cls.status: cls
    for cls in (
        InvalidArgument, TooLarge, BadSetting, OutOfMemory, Closed, Timeout, UnknownOutcome, Unavailable,
        TooManyConnections, Denied, ReadOnly, Full, ServerTooOld, SchemaMissing, SchemaOlder, SchemaNewer, SchemaChanged,
        SchemaDiffers, NotACounter, CounterOverflow, Conflict, ServerError, Unsupported, QueueFull, Cancelled,
    )
}  # fmt: skip


def make(status: int, message: str, sqlstate: str = "", outputs: Any = None) -> Error:
    """The exception for a status of the library."""
    known = Status(status)
    return _classes.get(known, ServerError)(message, status=known, sqlstate=sqlstate, outputs=outputs)


_pgcache.raise_with(make)
