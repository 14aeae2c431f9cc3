"""PostgreSQL as a cache: the one that an application already runs.

`Cache` is for code that waits, `AsyncCache` the same for event loops, `NullCache` a cache that is switched off. `@cache.cached()` keeps the
results of functions. pgcache.serializers has ways to encode values, pgcache.errors the exceptions, pgcache.prometheus,
pgcache.opentelemetry and pgcache.sentry metrics and spans, pgcache.fastapi and pgcache.django the cache of these frameworks,
pgcache.psycopg and pgcache.sqlalchemy changes of the cache in the application's own transactions, pgcache.compat the faces of other
caches.

SPDX-License-Identifier: MIT
"""

from . import _pgcache
from ._instruments import Operation, Outcome, Provider
from ._invalidation import Invalidation, Statement
from ._janitor import AsyncJanitor, Janitor
from ._load import AsyncLoad, Load
from ._loading import ABSENT, Absent
from ._observer import Event, EventKind, Level, Observer
from ._options import NEVER, CachedOptions, Duration, KeepOptions, Key, LoadOptions, Options, ReadOptions, WriteOptions
from ._records import Cleaned, Dependents, Entry, KeyInfo, Setting, StoreStats, Swap, Usage
from ._settings import SettingValue, init_sql, settings
from ._snapshot import Sample, Snapshot
from ._status import Status
from .aio import AsyncCache
from .cache import Cache, NullCache
from .cached import call_key
from .errors import Error
from .serializers import Encoded, Serializer, SignedPickle

__version__ = "1.0.0"


def library_version() -> str:
    """The version of the C library that runs, such as "1.0.0". Any thread."""
    return _pgcache.version()


__all__ = [
    "ABSENT", "Absent", "AsyncCache", "AsyncJanitor", "AsyncLoad", "Cache", "CachedOptions", "Cleaned", "Dependents", "Duration",
    "Encoded", "Entry", "Error", "Event", "EventKind", "Invalidation", "Janitor", "KeepOptions", "Key", "KeyInfo", "Level",
    "Load", "LoadOptions", "NEVER", "NullCache", "Observer", "Operation", "Options", "Outcome", "Provider", "ReadOptions",
    "Sample", "Serializer", "Setting", "SettingValue", "SignedPickle", "Snapshot", "Statement", "Status", "StoreStats", "Swap", "Usage",
    "WriteOptions", "call_key", "init_sql", "library_version", "settings",
]  # fmt: skip
