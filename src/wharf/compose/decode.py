"""A merged, canonical tree -> typed values by shape (`shapes.py`): durations are nanoseconds, sizes bytes.

A thing stays a dict by its fields' names; a field that is not there has Go's zero value. What is no field is dropped
(the schema has refused it by then), what begins with `x-` is kept under `#extensions`.
"""

from __future__ import annotations

from collections.abc import Callable

from wharf.compose.interpolate import to_bool, to_float, to_int
from wharf.compose.quantities import parse_duration, parse_mode, parse_size
from wharf.compose.scalars import go_print
from wharf.compose.shapes import EXTENSIONS, KINDS
from wharf.compose.shortforms import split_command
from wharf.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_USER_NAMES = (("services",), ("services", "*", "depends_on"), ("volumes",), ("networks",), ("secrets",), ("configs",))


def gather_extensions(value: Any, path: tuple[str, ...] = ()) -> Any:
    """`x-…` keys moved under `#extensions`, but where users choose the keys (in place)."""
    if isinstance(value, list):
        for item in value:
            if isinstance(item, dict):
                gather_extensions(item, (*path, "[]"))
        return value
    names = [key for key in value if key.startswith("x-")]
    if names and (path in _USER_NAMES or (len(path) == 3 and (path[0], "*", path[2]) in _USER_NAMES)):
        names = []
    extras = {key: value.pop(key) for key in names}
    for key, item in value.items():
        if isinstance(item, (dict, list)):
            gather_extensions(item, (*path, key))
    if extras:
        value[EXTENSIONS] = extras
    return value


def decode(value: Any, shape: str, path: str = "") -> dict[str, Any]:
    """A thing of a shape; raises Invalid with the path of what does not fit."""
    if not isinstance(value, dict):
        raise Invalid(f"{path}: expected a mapping, got '{go_print(value)}'")
    kinds = KINDS[shape]
    result: dict[str, Any] = {}
    for key, item in value.items():
        kind = kinds.get(key)
        if kind is None:
            if key == EXTENSIONS:
                result[key] = item
            continue
        if item is not None:
            result[key] = _field(item, kind, f"{path}.{key}" if path else key)
        elif kind in ("labels", "environment", "mapping", "options"):
            continue
    return result


def _field(value: Any, kind: str, path: str) -> Any:
    convert = _CONVERTERS.get(kind)
    if convert is not None:
        try:
            return convert(value)
        except Invalid as error:
            raise Invalid(f"'{path}' {error.message}") from None
    if kind[0] == "[":
        if not isinstance(value, list):
            raise Invalid(f"'{path}' source data must be an array or slice, got {_go_kind(value)}")
        return [_element(item, kind[1:-1], f"{path}[{index}]") for index, item in enumerate(value)]
    if kind[0] == "<":
        return _named(value, kind[1:-1], path)
    return decode(value, kind.lstrip("*"), path)


def _element(value: Any, shape: str, path: str) -> Any:
    return decode(value, shape, path)


def _named(value: Any, shape: str, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Invalid(f"'{path}' expected a map, got '{_go_kind(value)}'")
    result = {}
    for key, item in value.items():
        below = f"{path}[{key}]"
        if key == EXTENSIONS:
            continue
        if shape == "*Ulimit":
            result[key] = _ulimit(item, below)
        elif item is None:
            result[key] = None if shape.startswith("*") else {}
        else:
            result[key] = decode(item, shape.lstrip("*"), below)
    return result


def _ulimit(value: Any, path: str) -> Any:
    if isinstance(value, dict):
        return {name: int(value.get(name) or 0) for name in ("soft", "hard")}
    if isinstance(value, int):
        return {"single": value}
    raise Invalid(f"'{path}' unexpected value type {_go_kind(value)} for ulimit")


def _go_kind(value: Any) -> str:
    return {str: "string", bool: "bool", int: "int", float: "float64", list: "[]interface {}"}.get(
        type(value), "map[string]interface {}"
    )


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise Invalid(f"expected type 'string', got unconvertible type '{_go_kind(value)}', value: '{go_print(value)}'")


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return to_bool(value)
    raise Invalid(f"expected type 'bool', got unconvertible type '{_go_kind(value)}', value: '{go_print(value)}'")


def _int(value: Any) -> int:
    if isinstance(value, str):
        return to_int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Invalid(f"expected type 'int', got unconvertible type '{_go_kind(value)}', value: '{go_print(value)}'")
    return int(value)


def _float(value: Any) -> float:
    if isinstance(value, str):
        return to_float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Invalid(
            f"expected type 'float32', got unconvertible type '{_go_kind(value)}', value: '{go_print(value)}'"
        )
    return float(value)


def _bytes(value: Any) -> int:
    if isinstance(value, str):
        return parse_size(value)
    return value if isinstance(value, int) else 0


def _duration(value: Any) -> int:
    return parse_duration(go_print(value))


def _list(value: Any) -> list[str]:
    return [_text(item) for item in (value if isinstance(value, list) else [value])]


def _strings(value: Any) -> list[str]:
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) for item in items):
        raise Invalid(f"invalid type {_go_kind(value)} for string list")
    return list(items)


def _numbers(value: Any) -> list[str]:
    return [go_print(item) for item in (value if isinstance(value, list) else [value])]


def _mapping(value: Any) -> dict[str, str]:
    """`{A: 1, B: null}` or `[A=1, B]`: what has no value is empty."""
    if isinstance(value, list):
        return {key: rest for key, _, rest in (go_print(item).partition("=") for item in value)}
    if not isinstance(value, dict):
        raise Invalid(f"unexpected value type {_go_kind(value)} for mapping")
    return {key: "" if item is None else go_print(item) for key, item in value.items()}


def _environment(value: Any) -> dict[str, str | None]:
    """`{A: 1, B: null}` or `[A=1, B]`: what has no value is None."""
    if isinstance(value, list):
        result: dict[str, str | None] = {}
        for item in value:
            key, equals, rest = go_print(item).partition("=")
            if key[-1:].isspace():
                raise Invalid(f"environment variable {key} is declared with a trailing space")
            result[key] = rest if equals else None
        return result
    if not isinstance(value, dict):
        raise Invalid(f"unexpected value type {_go_kind(value)} for mapping")
    return {key: None if item is None else go_print(item) for key, item in value.items()}


def _multi(value: Any) -> dict[str, list[str]]:
    return {
        key: [go_print(one) for one in item] if isinstance(item, list) else [go_print(item)]
        for key, item in value.items()
    }


def _shell(value: Any) -> list[str]:
    if isinstance(value, str):
        return split_command(value)
    return [_text(item) for item in value]


def _test(value: Any) -> list[str]:
    return ["CMD-SHELL", value] if isinstance(value, str) else [_text(item) for item in value]


def _hosts(value: Any) -> dict[str, list[str]]:
    """Addresses by host name, of `{host: ip | [ips]}` or `[host=ip, host:ip]`."""
    hosts: dict[str, list[str]] = {}
    if isinstance(value, dict):
        for host, item in value.items():
            hosts[host] = [go_print(one) for one in item] if isinstance(item, list) else [go_print(item or "")]
    else:
        for item in value:
            text = go_print(item)
            separator = "=" if "=" in text else ":"
            host, found, addresses = text.partition(separator)
            if not found:
                raise Invalid(f"invalid additional host, missing IP: {text}")
            hosts.setdefault(host, []).extend(addresses.split(","))
    for host, addresses_of in hosts.items():
        if not host or ":" in host or "=" in host:
            raise Invalid(f"bad host name '{host}'")
        hosts[host] = [one[1:-1] if len(one) > 2 and one[0] == "[" and one[-1] == "]" else one for one in addresses_of]
    return hosts


def _count(value: Any) -> int:
    if isinstance(value, str):
        if value.lower() == "all":
            return -1
        try:
            return to_int(value, "ParseInt")
        except Invalid:
            raise Invalid(f"invalid value \"{value}\", the only value allowed is 'all' or a number") from None
    return int(value)


def _ssh(value: Any) -> list[dict[str, str]]:
    return [{"id": key, **({} if item is None else {"path": go_print(item)})} for key, item in value.items()]


def _mode(value: Any) -> int:
    return parse_mode(value) if isinstance(value, str) else int(value)


_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "str": _text, "bool": _bool, "*bool": _bool, "int": _int, "*int": _int, "float32": _float, "cpus": _float,
    "bytes": _bytes, "duration": _duration, "*duration": _duration, "list": _list, "strings": _strings,
    "numbers": _numbers, "mapping": _mapping, "labels": _mapping, "options": _mapping, "environment": _environment,
    "multi": _multi, "shell": _shell, "test": _test, "hosts": _hosts, "count": _count, "ssh": _ssh, "*mode": _mode,
}  # fmt: skip
