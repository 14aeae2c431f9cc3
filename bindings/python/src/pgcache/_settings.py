"""Settings: what they are called, and how keywords and the environment become a configuration of the library.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Union

from . import _pgcache
from ._options import milliseconds
from ._records import Setting
from .errors import BadSetting

if TYPE_CHECKING:
    from ._pgcache import Owned

SettingValue = Union[str, int, bool, timedelta, None]
"""A setting's value: text or a number as the library has it, True and False for on and off, a timedelta for what is in
milliseconds; None puts the default back."""

_OURS = {"on_error": "miss"}  # where a cache in a web application differs from the library


def _text(value: SettingValue) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, timedelta):
        return str(milliseconds(value))
    if isinstance(value, int):
        return str(value)
    raise BadSetting(f"a setting is text, a number, True, False, a timedelta or None, not {type(value).__name__}")


def configuration(url: str | None, environment: bool, settings: dict[str, SettingValue]) -> Owned:
    """A configuration: this package's defaults, then the environment, then what was given."""
    _, config = _pgcache.config_new()
    for name, value in _OURS.items():
        _pgcache.config_set(config, name, value)
    if environment:
        _pgcache.config_load_environment(config)
    if url is not None:
        _pgcache.config_set(config, "url", url)
    for name, given in settings.items():
        _pgcache.config_set(config, name, _text(given))
    return config


def settings() -> list[Setting]:
    """All settings of the library, with their defaults, environment variables and meaning. Any thread."""
    found: list[Setting] = []
    while True:
        status, raw = _pgcache.config_describe(len(found))
        if status != _pgcache.OK:
            return found
        found.append(Setting(**raw))


def init_sql(**given: SettingValue) -> str:
    """The SQL that `Cache.init()` would run for the settings `schema`, `table`, `values` and those of roles, for an administrator.

    Asks no server. Raises `BadSetting`. Any thread."""
    _, raw = _pgcache.init_sql(configuration(None, True, given))
    return raw[0].decode() if raw is not None else ""
