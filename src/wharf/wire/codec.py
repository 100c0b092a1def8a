"""Docker's JSON <-> the dataclasses of spec/, generically, as Go's encoding/json does it.

A field's JSON name is its name in Pascal case unless its metadata has `json`; `omitempty` in the metadata, or in
`OMITTED` below, leaves an empty value out. Reading: null means the default, unknown keys are ignored, keys match
whatever their case, a wrong type is Invalid with Go's words.
"""

import dataclasses
import functools
import types
import typing
from collections.abc import Callable
from typing import Any, TypeVar, Union

import msgspec

from wharf.errors import Invalid
from wharf.spec import container as c

T = TypeVar("T")
Reader = Callable[[Any, str], Any]

MAX_INTEGER = (1 << 63) - 1

_NO_CONFIG = "exposed_ports healthcheck args_escaped network_disabled mac_address stop_signal stop_timeout shell"
_NO_HOST = "annotations storage_opt tmpfs sysctls runtime kernel_memory kernel_memory_tcp mounts init"

OMITTED: dict[type, frozenset[str]] = {
    c.ContainerConfig: frozenset(_NO_CONFIG.split()),
    c.HostConfig: frozenset(_NO_HOST.split()),
    c.MountPoint: frozenset(("type", "name", "driver")),
}
"""Fields with `omitempty` in moby's types."""

OMIT_ALL: frozenset[type] = frozenset(
    {
        c.Healthcheck,
        c.MountRequest,
        c.BindOptions,
        c.VolumeOptions,
        c.ImageOptions,
        c.TmpfsOptions,
        c.DriverConfig,
        c.EndpointIPAMConfig,
    }
)
"""Types all of whose fields have `omitempty`."""

GO_NAMES = {
    "ContainerConfig": "container.CreateRequest",
    "ExecConfig": "container.ExecOptions",
    "ExecStart": "container.ExecStartOptions",
    "VolumeCreate": "volume.CreateOptions",
}
"""What moby calls the types at the top of bodies, by our class."""

_GO_PREFIXES = {"ContainerConfig": ""}
"""Go embeds the config without a name of its own, so its fields have no struct name in errors."""

WORDS: frozenset[tuple[type, str]] = frozenset(
    {
        (c.ContainerConfig, "cmd"),
        (c.ContainerConfig, "entrypoint"),
        (c.ContainerConfig, "shell"),
        (c.HostConfig, "cap_add"),
        (c.HostConfig, "cap_drop"),
        (c.ExecConfig, "cmd"),
    }
)
"""Lists that may also come as one string (moby's strslice)."""

_POINTERS = frozenset((bool, int))
_SCALARS = frozenset((str, int, float, bool, type(None)))


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    name: str
    json: str
    omit: bool
    pointer: bool
    """A pointer in Go: only null is empty, not 0 or false."""


def json_name(field: "dataclasses.Field[Any]") -> str:
    """The key of a dataclass field in Docker's JSON."""
    named = field.metadata.get("json")
    return str(named) if named else "".join(part[:1].upper() + part[1:] for part in field.name.split("_"))


@functools.cache
def _fields(cls: type) -> tuple[_Field, ...]:
    omitted = OMITTED.get(cls, frozenset())
    everything = cls in OMIT_ALL
    return tuple(
        _Field(
            field.name,
            json_name(field),
            everything or field.name in omitted or bool(field.metadata.get("omitempty")),
            field.default is None,
        )
        for field in dataclasses.fields(cls)
        if field.metadata.get("json") != "-"
    )


def to_wire(value: Any) -> Any:
    """The JSON shape (dicts, lists, scalars) of a dataclass or of anything made of them; other types become text."""
    kind = type(value)
    if kind in _SCALARS:  # by far the most frequent, and looked up faster than isinstance() finds out
        return value
    if isinstance(value, dict):
        return {str(key): item if type(item) in _SCALARS else to_wire(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_wire(item) for item in value]
    if not dataclasses.is_dataclass(value):
        return value if isinstance(value, str | int | float) else str(value)
    out: dict[str, Any] = {}
    for name, key, omit, pointer in _written(typing.cast(Any, kind)):
        item = getattr(value, name)
        if omit and (item is None or (not item and not (pointer and type(item) in _POINTERS))):
            continue
        out[key] = item if type(item) in _SCALARS else to_wire(item)
    return out


@functools.cache
def _written(cls: type) -> tuple[tuple[str, str, bool, bool], ...]:
    return tuple((field.name, field.json, field.omit, field.pointer) for field in _fields(cls))


def dumps(value: Any) -> bytes:
    """Plain values as compact JSON text."""
    return msgspec.json.encode(value)


def encode(value: Any) -> bytes:
    """`to_wire` as JSON text with the newline that Go's encoder ends with."""
    return msgspec.json.encode(to_wire(value)) + b"\n"


def parse(data: bytes) -> Any:
    """JSON text to plain values; raises Invalid with Go's words."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if "trailing characters" in str(error):
            raise Invalid("unexpected content after JSON") from None
    from wharf.wire.gojson import GoSyntaxError, loads_as_go

    try:
        return loads_as_go(data)
    except GoSyntaxError as error:
        if "after top-level value" in str(error):
            raise Invalid("unexpected content after JSON") from None
        raise Invalid(f"invalid JSON: {error}") from None


def decode(cls: type[T], data: bytes) -> T:
    """JSON text to an instance of a dataclass; raises Invalid naming the field."""
    return from_wire(cls, parse(data))


def from_wire(cls: type[T], raw: Any, where: str | None = None) -> T:
    """Plain values to an instance of a dataclass; raises Invalid naming the field below `where` (the class)."""
    if raw is None:
        return cls()
    if where is None:
        where = _GO_PREFIXES.get(cls.__name__, _go_type(cls).rpartition(".")[2])
    return typing.cast(T, _reader(typing.cast(Any, cls))(raw, where))


@functools.cache
def _dataclass_reader(cls: type) -> Reader:
    hints = typing.get_type_hints(cls)
    table: dict[str, tuple[str, str, Reader]] = {}
    for field in dataclasses.fields(cls):
        name = json_name(field)
        reader = _words if (cls, field.name) in WORDS else _reader(hints[field.name])
        table[name.lower()] = (field.name, name, reader)

    def read(raw: Any, where: str) -> Any:
        if not isinstance(raw, dict):
            raise mismatch(raw, where, _go_type(cls))
        values: dict[str, Any] = {}
        for key, item in raw.items():
            known = table.get(key.lower())
            if known is None or item is None:
                continue
            name, shown, reader = known
            values[name] = reader(item, f"{where}.{shown}")
        return cls(**values)

    return read


@functools.cache
def _reader(hint: Any) -> Reader:
    origin = typing.get_origin(hint)
    if origin in (Union, types.UnionType):
        inner = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        return _reader(inner[0]) if len(inner) == 1 else _anything
    if origin is list:
        return _list_reader(typing.get_args(hint)[0])
    if origin is dict:
        return _dict_reader(typing.get_args(hint)[1])
    if dataclasses.is_dataclass(hint):
        return _dataclass_reader(typing.cast(type, hint))
    return {str: _string, int: _integer, bool: _boolean, float: _number}.get(hint, _anything)


def _list_reader(item_hint: Any) -> Reader:
    item = _reader(item_hint)
    empty = _zero(item_hint)

    def read(raw: Any, where: str) -> Any:
        if not isinstance(raw, list):
            raise mismatch(raw, where, f"[]{_go_name(item_hint)}")
        return [empty() if value is None else item(value, where) for value in raw]

    return read


def _dict_reader(item_hint: Any) -> Reader:
    item = _reader(item_hint)
    nullable = type(None) in typing.get_args(item_hint) or item_hint is Any
    empty = _zero(item_hint)

    def read(raw: Any, where: str) -> Any:
        if not isinstance(raw, dict):
            raise mismatch(raw, where, f"map[string]{_go_name(item_hint)}")
        out: dict[str, Any] = {}
        for key, value in raw.items():
            out[key] = (None if nullable else empty()) if value is None else item(value, where)
        return out

    return read


def _zero(hint: Any) -> Callable[[], Any]:
    """Go's zero value of a type, for null inside lists and maps."""
    if dataclasses.is_dataclass(hint):
        return typing.cast(Callable[[], Any], hint)
    kind = typing.get_origin(hint) or hint
    return kind if kind in (str, int, bool, float, list, dict) else lambda: None


def _anything(raw: Any, where: str) -> Any:
    return raw


def _string(raw: Any, where: str) -> str:
    if not isinstance(raw, str):
        raise mismatch(raw, where, "string")
    return raw


def _integer(raw: Any, where: str) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int):
        raise mismatch(raw, where, "int64")
    if not -MAX_INTEGER - 1 <= raw <= MAX_INTEGER:
        raise Invalid(f"invalid JSON: json: cannot unmarshal number {raw} into Go struct field {where} of type int64")
    return raw


def _boolean(raw: Any, where: str) -> bool:
    if not isinstance(raw, bool):
        raise mismatch(raw, where, "bool")
    return raw


def _number(raw: Any, where: str) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise mismatch(raw, where, "float64")
    return float(raw)


def _words(raw: Any, where: str) -> list[str]:
    if isinstance(raw, str):
        return [raw]
    if not isinstance(raw, list):
        raise mismatch(raw, where, "[]string")
    return ["" if item is None else _string(item, where) for item in raw]


def mismatch(raw: Any, where: str, wanted: str) -> Invalid:
    """Go's UnmarshalTypeError in moby's wrapping."""
    kinds = ((bool, "bool"), (str, "string"), (list, "array"), (dict, "object"))
    word = next((word for kind, word in kinds if isinstance(raw, kind)), "number")
    if "." not in where:
        return Invalid(f"invalid JSON: json: cannot unmarshal {word} into Go value of type {wanted}")
    return Invalid(f"invalid JSON: json: cannot unmarshal {word} into Go struct field {where} of type {wanted}")


def _go_type(cls: type) -> str:
    return GO_NAMES.get(cls.__name__, cls.__name__)


def _go_name(hint: Any) -> str:
    return {str: "string", int: "int64", bool: "bool", float: "float64"}.get(hint, getattr(hint, "__name__", "value"))
