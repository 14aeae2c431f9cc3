"""What calls of the library found, or why they failed. SPDX-License-Identifier: MIT"""

from __future__ import annotations

import enum

from . import _pgcache


class Status(enum.IntEnum):
    """What a call found (0 and above) or why it failed (below 0); the numbers are the library's."""

    OK = 0
    MISS = 1
    EXISTS = 2
    TOO_SMALL = 3
    STALE = 4
    LEASE = 5
    BUSY = 6
    REFUSED = 7
    INVALID = -1
    TOO_LARGE = -2
    BAD_SETTING = -3
    NO_MEMORY = -4
    CLOSED = -5
    TIMEOUT = -6
    UNKNOWN = -7
    UNAVAILABLE = -8
    TOO_MANY_CONNECTIONS = -9
    DENIED = -10
    READ_ONLY = -11
    FULL = -12
    SERVER_TOO_OLD = -13
    SCHEMA_MISSING = -14
    SCHEMA_OLDER = -15
    SCHEMA_NEWER = -16
    SCHEMA_CHANGED = -17
    SCHEMA_DIFFERS = -18
    NOT_A_COUNTER = -19
    OVERFLOW = -20
    CONFLICT = -21
    SERVER_ERROR = -22
    UNSUPPORTED = -23
    QUEUE_FULL = -24
    CANCELLED = -25

    @classmethod
    def _missing_(cls, value: object) -> Status:
        """A newer library may have more: what to take them for is said in its header."""
        return cls.SERVER_ERROR if isinstance(value, int) and value < 0 else cls.MISS

    @property
    def text(self) -> str:
        """One sentence on what the status means."""
        return _pgcache.status_text(self.value)
