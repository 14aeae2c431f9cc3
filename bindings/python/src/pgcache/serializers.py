"""How values become bytes. An entry carries the number of its format, and is decoded by that, whoever wrote it.

    0  bytes, as they are           every language
    1  JSON (the default)           every language, and SQL
    2  MessagePack                  where a library is installed
    3  signed pickle                Python alone, and only if a cache was given the key

A `bytes` (or anything with a buffer) is always stored as it is, with format 0; all else goes through the cache's serializer.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
import json
import math
import pickle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from .errors import SerializationError, UnknownFormat

if TYPE_CHECKING:
    from types import ModuleType

BYTES = 0
JSON_FORMAT = 1
MESSAGE_PACK_FORMAT = 2
PICKLE_FORMAT = 3


class Serializer(Protocol):
    """What a cache needs of a serializer. Both functions may be called by several threads at once; what they raise reaches the caller
    as `SerializationError`."""

    @property
    def format(self) -> int:
        """The number that is stored beside the bytes: from 100 on for your own."""
        ...

    def dumps(self, value: Any) -> bytes:
        """The bytes of a value."""
        ...

    def loads(self, data: bytes) -> Any:
        """The value of bytes that were stored with this format."""
        ...


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number is too large for a float")
    return number


def _parts(value: Any) -> Iterator[Any]:
    """A value and all that is in it, keys of dictionaries not. It must not hold itself."""
    yield value
    inner: Iterable[Any] = ()
    if isinstance(value, dict):
        inner = value.values()
    elif isinstance(value, (list, tuple)):
        inner = value
    elif is_dataclass(value) and not isinstance(value, type):
        inner = [getattr(value, field.name) for field in fields(value)]
    for one in inner:
        yield from _parts(one)


class Json:
    """JSON by the standard library: UTF-8, integers of any size exact, no NaN or Infinity."""

    format = JSON_FORMAT

    def __init__(self) -> None:
        self._encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
        decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
        self._decode, self._decode_beginning = decoder.decode, decoder.raw_decode

    def dumps(self, value: Any) -> bytes:
        """The JSON text of a value: None, bool, int, float, str, and lists, tuples and dictionaries of these, whose keys are text."""
        text = self._encode(value)
        for one in _parts(value) if "{" in text else ():
            if isinstance(one, dict) and not all(isinstance(key, str) for key in one):  # two of them could become one
                raise TypeError("keys of dictionaries in JSON are text")
        return text.encode()

    def loads(self, data: bytes) -> Any:
        """The value of a JSON text."""
        text = data.decode()
        try:
            value, end = self._decode_beginning(text)
        except ValueError:  # perhaps behind spaces
            return self._decode(text)
        return value if end == len(text) else self._decode(text)


class OrJson:
    """JSON by orjson: faster, knows dataclasses, dates and UUIDs; integers must fit 64 bits. The package orjson is needed."""

    format = JSON_FORMAT

    def __init__(self) -> None:
        import orjson

        self._orjson: ModuleType = orjson

    def dumps(self, value: Any) -> bytes:
        """The JSON text of a value."""
        text: bytes = self._orjson.dumps(value)
        if b"null" in text and any(isinstance(one, float) and not math.isfinite(one) for one in _parts(value)):
            raise ValueError("Out of range float values are not JSON compliant")
        return text

    def loads(self, data: bytes) -> Any:
        """The value of a JSON text."""
        return self._orjson.loads(data)


class MessagePack:
    """MessagePack: smaller than JSON, and knows bytes and dates (UTC). The package msgpack is needed."""

    format = MESSAGE_PACK_FORMAT

    def __init__(self) -> None:
        import msgpack

        self._msgpack: ModuleType = msgpack

    def dumps(self, value: Any) -> bytes:
        """The bytes of a value."""
        packed: bytes = self._msgpack.packb(value, use_bin_type=True, datetime=True)
        return packed

    def loads(self, data: bytes) -> Any:
        """The value of bytes."""
        return self._msgpack.unpackb(data, raw=False, timestamp=3, strict_map_key=False)


class SignedPickle:
    """Pickle, for any Python object. Whoever can write to the cache's table could run code in every reader of an unsigned pickle, so
    each is signed, and what has no valid signature is never unpickled.

    key    the secret, of at least 32 bytes; who has it can run code in the readers
    older  former keys, which are still read
    """

    format = PICKLE_FORMAT
    _SIGNATURE = 32

    def __init__(self, key: bytes, *, older: Iterable[bytes] = ()) -> None:
        """Raises TypeError for what are no bytes, and `SerializationError` for a key that is too short."""
        if isinstance(older, (str, bytes, bytearray, memoryview)):
            raise TypeError("older is a sequence of keys; for a single one write [key]")
        self._keys = [self._checked(one) for one in (key, *older)]

    @staticmethod
    def _checked(key: bytes) -> bytes:
        if not isinstance(key, (bytes, bytearray)):  # bytes(32) would be a key that everybody knows
            raise TypeError(f"a key for signed pickles is of bytes, not of type {type(key).__name__}")
        if len(key) < 32:
            raise SerializationError("a key for signed pickles has at least 32 bytes")
        return bytes(key)

    def _sign(self, key: bytes, data: bytes) -> bytes:
        return hmac.new(key, b"pgcache signed pickle\0" + data, hashlib.sha256).digest()

    def dumps(self, value: Any) -> bytes:
        """The signature of 32 bytes, and the pickle."""
        data = pickle.dumps(value, protocol=4)
        return self._sign(self._keys[0], data) + data

    def loads(self, data: bytes) -> Any:
        """The object, if one of the keys has signed it."""
        signature, pickled = data[: self._SIGNATURE], data[self._SIGNATURE :]
        if not any(hmac.compare_digest(signature, self._sign(key, pickled)) for key in self._keys):
            raise SerializationError("a pickled value is not signed with any key of this cache")
        return pickle.loads(pickled)  # signed by one of us


@dataclass(frozen=True)
class Encoded:
    """A value that is encoded already: its bytes are stored as they are, with this format."""

    data: bytes
    format: int


def default_readers() -> list[Serializer]:
    """What every cache can read: JSON, and MessagePack where its library is installed."""
    readers: list[Serializer] = [Json()]
    if importlib.util.find_spec("msgpack") is not None:
        readers.append(MessagePack())
    return readers


class Codec:
    """The serializer that a cache writes with, and those that it reads with. Threads: any."""

    def __init__(self, serializer: Serializer | None = None, readers: Iterable[Serializer] = ()) -> None:
        self._readers = {reader.format: reader.loads for reader in default_readers()}
        self._readers.update((reader.format, reader.loads) for reader in readers)
        self._serializer: Serializer = serializer or Json()
        self._readers[self._serializer.format] = self._serializer.loads

    def encode(self, value: Any) -> tuple[bytes, int]:
        """The bytes of a value, and their format."""
        if isinstance(value, bytes):
            return value, BYTES
        if isinstance(value, (bytearray, memoryview)):
            return bytes(value), BYTES
        if isinstance(value, Encoded):
            return value.data, value.format
        try:
            return self._serializer.dumps(value), self._serializer.format
        except SerializationError:
            raise
        except Exception as why:  # whatever a value's own methods make of it
            told = why if isinstance(why, (TypeError, ValueError)) else type(why).__name__
            raise SerializationError(f"a value of type {type(value).__name__} cannot be serialized: {told}") from why

    def decode(self, data: bytes, format: int) -> Any:
        """The value of bytes of a format."""
        if format == BYTES:
            return data
        loads = self._readers.get(format)
        if loads is None:
            raise UnknownFormat(f"the entry has format {format}, which no serializer of this cache reads", format=format)
        try:
            return loads(data)
        except SerializationError:
            raise
        except Exception as why:  # whatever a parser makes of bytes that are none of its own
            raise SerializationError(f"the entry is not valid in its format {format}: {type(why).__name__}") from why
