"""Keys of calls: equal calls of a function have equal keys, however their arguments are passed; all others have others.

Only values enter a key, never the identity or the repr of an object: what has no representation by value is refused.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
import hashlib
import inspect
import ipaddress
import os
import pathlib
import typing
import uuid
import zoneinfo
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from .errors import UncacheableCall

_READABLE = 200  # bytes of a key; a longer one is a digest

_PLAIN = (type(None), bool, int, float, str, bytes)
_WITH_ZONES = (datetime.datetime, datetime.time)
_SIMPLE = (
    complex, decimal.Decimal, fractions.Fraction, datetime.date, datetime.timedelta, datetime.timezone, zoneinfo.ZoneInfo, uuid.UUID,
    ipaddress.IPv4Address, ipaddress.IPv6Address, range,
)  # fmt: skip
_CONTAINERS = (dict, list, tuple, set, frozenset, str, bytes, bytearray, int, float)  # hold something beside fields

# What belongs to one request of a web framework, and no key may depend on: by module and name of the class, so that the framework
# need not be there.
_OF_REQUESTS = frozenset(
    (module, name)
    for module, names in {
        "starlette.requests": ("HTTPConnection", "Request"),
        "starlette.responses": ("Response",),
        "starlette.websockets": ("WebSocket",),
        "starlette.background": ("BackgroundTask", "BackgroundTasks"),
        "fastapi.background": ("BackgroundTasks",),
        "fastapi.security.oauth2": ("SecurityScopes",),
    }.items()
    for name in names
)
_INJECTED = frozenset((("fastapi.params", "Depends"), ("fastapi.params", "Security")))


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _is_one_of(cls: type, names: frozenset[tuple[str, str]]) -> bool:
    return any((base.__module__, base.__qualname__) in names for base in cls.__mro__)


def _is_of_fields(value: object) -> bool:
    """Whether the fields of a dataclass are all there is of a value."""
    return dataclasses.is_dataclass(value) and not isinstance(value, _CONTAINERS)


def represent(value: Any) -> str:
    """A text that is the same for equal values of one type, and different for all others. Raises `UncacheableCall`."""
    cls = type(value)
    if cls in _PLAIN:
        return repr(value)
    if cls in _WITH_ZONES:
        zone = value.tzinfo
        return f"{cls.__name__}:{value.replace(tzinfo=None)!r}{'' if zone is None else represent(zone)}"
    if cls in _SIMPLE or isinstance(value, pathlib.PurePath):
        return f"{_name(cls)}:{value!r}"
    own = getattr(cls, "__cache_key__", None)
    if own is not None:
        return f"{_name(cls)}:{represent(own(value))}"
    if isinstance(value, type):
        return f"class {_name(value)}"
    if isinstance(value, enum.Flag):  # several together have no name
        return f"{_name(cls)}:{represent(value.value)}"
    if isinstance(value, enum.Enum):
        return f"{_name(cls)}.{value.name}"
    if _is_of_fields(value):
        fields = (getattr(value, field.name) for field in dataclasses.fields(value) if field.compare)
        return f"{_name(cls)}{_all(fields)}"
    if cls in (tuple, list) or (isinstance(value, tuple) and hasattr(cls, "_fields")):
        return f"{'' if cls is tuple else cls.__name__ if cls is list else _name(cls)}{_all(value)}"
    if cls in (set, frozenset):
        return f"set{_all(sorted(value, key=represent))}"
    if isinstance(value, dict) and cls is dict:
        return f"{{{','.join(sorted(f'{represent(key)}:{represent(item)}' for key, item in value.items()))}}}"
    if hasattr(cls, "__pydantic_private__") and isinstance(known := getattr(cls, "model_fields", None), Mapping):
        # Not what model_dump() gives: that leaves out what is marked so, and what a subclass has beyond a field's type.
        model: Any = value
        of_fields = {name: item for name, item in vars(model).items() if name in known}
        return f"{_name(cls)}{_all((of_fields, model.__pydantic_extra__, model.__pydantic_private__))}"
    raise UncacheableCall(
        f"an argument of type {_name(cls)} has no representation by value: give the class a method __cache_key__() that returns one, "
        "or the decorator a key="
    )


def is_simple(value: Any) -> bool:
    """Whether the words for a value are those that people know it by: a number, a text, a date."""
    return type(value) in (*_PLAIN, *_WITH_ZONES, *_SIMPLE) or isinstance(value, (pathlib.PurePath, enum.Enum))


def _all(values: Any) -> str:
    return f"({','.join(map(represent, values))})"


def _notes(hint: Any) -> Iterator[Any]:
    """What an annotation says beside its type, also inside of an Optional."""
    yield from getattr(hint, "__metadata__", ())
    for inner in typing.get_args(hint):
        yield from _notes(inner)


def full_name(function: Callable[..., Any]) -> str:
    """What a function is called in every process, and no other one is. Raises TypeError for what has no such name."""
    inner = inspect.unwrap(function)
    code = getattr(inner, "__code__", None)
    bound = [name for name in code.co_freevars if name != "__class__"] if code is not None else []
    if bound:
        raise TypeError(f"{inner.__qualname__} depends on variables of the function around it ({', '.join(bound)}): {_GIVE_A_NAME}")
    if inspect.ismethod(inner) or not hasattr(inner, "__qualname__") or inner.__qualname__.endswith("<lambda>"):
        raise TypeError(f"this {type(inner).__name__} has no name of its own: {_GIVE_A_NAME}")
    return f"{_module(inner)}.{inner.__qualname__}"


_GIVE_A_NAME = "others of its kind would share its keys; give the decorator a name=, or a key="


def _module(function: Callable[..., Any]) -> str:
    """The module of a function; that of a program by what others import it as, or by its file."""
    if function.__module__ not in ("__main__", "__mp_main__"):
        return function.__module__
    of_program = getattr(function, "__globals__", {})
    spec, file = of_program.get("__spec__"), of_program.get("__file__")
    return spec.name if spec is not None else os.path.abspath(file) if file is not None else "__main__"


class CallKeys:
    """Makes keys for the calls of one function. name: None if it makes none without being given it."""

    def __init__(self, function: Callable[..., Any], name: str | None) -> None:
        self._signature = inspect.signature(function)
        self._name = name
        self._function = function
        self._left_out: frozenset[str] | None = None

    def arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call by name, defaults included. Raises TypeError as the call would."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    def key(self, arguments: Mapping[str, Any], vary_on: Any = None) -> str:
        """The key of a call: readable if it is short. vary_on: a value that it depends on beside its arguments, if not None."""
        left_out = self.injected()
        parts = [
            f"{name}={self._of_keywords(value) if self._is_keywords(name) else represent(value)}"
            for name, value in arguments.items()
            if name not in left_out and not _is_one_of(type(value), _OF_REQUESTS)
        ]
        if vary_on is not None:
            parts.append(f"|{represent(vary_on)}")
        text = f"{self._name}({', '.join(parts)})"
        encoded = text.encode("utf-8", "backslashreplace")
        return text if len(encoded) <= _READABLE and text.isascii() else f"{self._name}:{hashlib.sha256(encoded).hexdigest()}"

    def _is_keywords(self, name: str) -> bool:
        return self._signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD

    def _of_keywords(self, given: Mapping[str, Any]) -> str:
        return represent({name: value for name, value in given.items() if not _is_one_of(type(value), _OF_REQUESTS)})

    def injected(self) -> frozenset[str]:
        """Parameters that a framework fills with what it was told to depend on."""
        if self._left_out is None:
            try:
                hints = typing.get_type_hints(self._function, include_extras=True)
            except Exception:  # names that cannot be resolved at run time
                hints = {}
            self._left_out = frozenset(
                name
                for name, parameter in self._signature.parameters.items()
                if _is_one_of(type(parameter.default), _INJECTED)
                or any(_is_one_of(type(note), _INJECTED) for note in _notes(hints.get(name)))
            )
        return self._left_out


def is_stream(value: Any) -> bool:
    """Whether a value can be read but once, so that nobody else could: an iterator, a file, a streamed response."""
    return any(hasattr(value, name) for name in ("__next__", "__anext__", "readinto", "body_iterator"))
