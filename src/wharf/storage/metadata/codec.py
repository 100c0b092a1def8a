"""Records as JSON text: dataclasses of `wharf.spec` written without their default values, and read back.

Plain `json` with a hook: a record of a hundred fields, nearly all at their defaults, becomes a short text in some
tens of microseconds, which matters as a container is written several times on the way to its start.
Unknown keys are ignored, so an older Wharf can open what a newer one wrote within one schema version.
"""

import dataclasses
import functools
import json
import types
import typing
from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

from wharf.spec.digest import Digest

T = TypeVar("T")
_Reader = Callable[[Any], Any]
_MISSING = object()


def encode(record: Any) -> str:
    """JSON text of a dataclass; fields at their defaults are left out."""
    return json.dumps(record, default=_default, separators=(",", ":"), ensure_ascii=False)


def encode_value(record: Any) -> Any:
    """The same as plain dicts and lists."""
    return json.loads(encode(record))


def decode(cls: type[T], text: str) -> T:
    """The dataclass that `encode` wrote. Raises ValueError, TypeError or Invalid on damaged text."""
    return decode_value(cls, json.loads(text))


def decode_value(cls: type[T], raw: Any) -> T:
    """As `decode`, from parsed JSON."""
    annotation: Any = cls
    return typing.cast(T, _reader(annotation)(raw))


def _default(value: Any) -> Any:
    if isinstance(value, Digest):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, frozenset | set):
        return sorted(value)
    if not dataclasses.is_dataclass(value):
        raise TypeError(f"{type(value).__name__} cannot be stored")
    out, cls = {}, typing.cast(Any, type(value))
    for name, default in _defaults(cls):
        item = getattr(value, name)
        if item != default or default is _MISSING:
            out[name] = item
    return out


@functools.lru_cache(maxsize=256)
def _defaults(cls: type) -> tuple[tuple[str, Any], ...]:
    pairs = []
    for item in dataclasses.fields(cls):
        default = item.default
        if default is dataclasses.MISSING:
            factory = item.default_factory
            default = _MISSING if factory is dataclasses.MISSING else factory()
        pairs.append((item.name, default))
    return tuple(pairs)


@functools.lru_cache(maxsize=256)
def _reader(annotation: Any) -> _Reader:
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Digest:
        return Digest.parse
    if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        return _dataclass_reader(annotation)
    if origin in (typing.Union, types.UnionType):
        inner = [arg for arg in args if arg is not type(None)]
        read = _reader(inner[0]) if len(inner) == 1 else _same
        return _same if read is _same else lambda raw: None if raw is None else read(raw)
    if origin in (list, tuple, frozenset):
        return _sequence_reader(origin, args)
    if origin is dict:
        read = _reader(args[1])
        return _same if read is _same else lambda raw: {key: read(item) for key, item in raw.items()}
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return annotation
    return _same


def _sequence_reader(origin: Any, args: tuple[Any, ...]) -> _Reader:
    read = _reader(args[0]) if args else _same
    if origin is list:
        return _same if read is _same else lambda raw: [read(item) for item in raw]
    make: Callable[[Any], Any] = origin
    return lambda raw: make(read(item) for item in raw)


def _dataclass_reader(cls: type) -> _Reader:
    hints = typing.get_type_hints(cls)
    readers: dict[str, _Reader] = {}

    def read(raw: Any) -> Any:
        if not readers:  # filled late: a dataclass may hold itself
            readers.update({item.name: _reader(hints[item.name]) for item in dataclasses.fields(cls) if item.init})
        known = {name: readers[name](value) for name, value in raw.items() if name in readers}
        return cls(**known)

    return read


def _same(raw: Any) -> Any:
    return raw
