"""Typed values -> plain trees as docker compose prints them, in YAML and JSON (pure): the other way of `decode.py`."""

from __future__ import annotations

from wharf.compose.quantities import show_duration
from wharf.compose.scalars import go_float
from wharf.compose.shapes import EXTENSIONS, SHAPES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    _Entry = tuple[str, str, str, bool]

_CAPITAL = ("WeightDevice", "ThrottleDevice")
"""Their fields have no names of their own in JSON: Go writes them with a capital."""


class Float32(float):
    """A number that Go keeps in 32 bits: printed with as few digits as that needs."""

    def __repr__(self) -> str:
        return go_float(self, 32)


class Encoder:
    """One of the two forms."""

    def __init__(self, json: bool) -> None:
        self._json = json
        self._tables: dict[str, list[_Entry]] = {}

    def thing(self, value: dict[str, Any], shape: str) -> dict[str, Any]:
        """A thing's fields in their order, empty ones left out."""
        result: dict[str, Any] = {}
        for name, label, kind, kept in self._tables.get(shape) or self._table(shape):
            item = value.get(name)
            if item is None:
                if kept:
                    result[label] = self._zero(kind)
                continue
            shown = self._field(item, kind)
            if kept or not _is_zero(item, shown, kind):
                result[label] = shown
        if not self._json and value.get(EXTENSIONS):
            result.update(sorted_deep(value[EXTENSIONS]))
        return result

    def _table(self, shape: str) -> list[_Entry]:
        """Each field of a shape: its name, the name that is shown, its kind, whether it is shown when empty."""
        table = self._tables[shape] = []
        for marked, kind in SHAPES[shape]:
            name = marked.rstrip("!?")
            label = name.capitalize() if self._json and shape in _CAPITAL else name
            table.append((name, label, kind, marked.endswith("!") or (self._json and marked.endswith("?"))))
        return table

    def _zero(self, kind: str) -> Any:
        if kind == "shell":
            return None
        if kind == "bool":
            return False
        if kind in ("int", "bytes"):
            return 0 if kind == "int" else "0"
        if kind == "str":
            return ""
        if kind[0] in "<":
            return {}
        return self.thing({}, kind)

    def _field(self, value: Any, kind: str) -> Any:
        if kind[0] == "[":
            return [self._element(item, kind[1:-1]) for item in value]
        if kind[0] == "<":
            inner = kind[1:-1]
            return {key: self._pointed(value[key], inner) for key in sorted(value)}
        name = kind.lstrip("*")
        if name in SHAPES:
            return self.thing(value, name)
        return self._plain(value, name)

    def _element(self, value: Any, shape: str) -> Any:
        if shape == "EnvFile":
            if value.get("required"):
                return value.get("path", "")
            shown = {"path": value.get("path", ""), "required": False}
            if self._json and value.get("format"):
                shown["format"] = value["format"]
            return shown
        return self.thing(value, shape)

    def _pointed(self, value: Any, kind: str) -> Any:
        if value is None:
            return None
        shape = kind.lstrip("*")
        if shape == "Ulimit":
            if value.get("single"):
                return value["single"]
            if not self._json:
                return {"soft": value.get("soft", 0), "hard": value.get("hard", 0)}
        return self.thing(value, shape)

    def _plain(self, value: Any, kind: str) -> Any:
        if type(value) is str:
            return value
        if kind in ("float32", "cpus"):
            return json_number(value) if self._json else Float32(value)
        if kind == "bytes":
            return str(value)
        if kind == "duration":
            return show_duration(value)
        if kind == "mode":
            return f"0{value:o}"
        if kind == "hosts":
            return sorted(f"{host}={address}" for host, addresses in value.items() for address in addresses)
        if kind == "ssh":
            return [key["id"] if not key.get("path") else f"{key['id']}: {key['path']}" for key in value]
        if isinstance(value, dict):
            return {key: value[key] for key in sorted(value)}
        return value


def json_number(value: float) -> int | float:
    """A 32-bit number for JSON: without a fraction when it has none."""
    number = float(repr(Float32(value)))
    return int(number) if number.is_integer() and abs(number) < 1e21 else number


def _is_zero(value: Any, shown: Any, kind: str) -> bool:
    if kind == "shell" or kind.startswith("*"):
        return False
    if kind == "count":
        return bool(value == 0)
    return not (shown if kind in SHAPES else value)


def sorted_deep(value: Any) -> Any:
    """Mappings with their keys in Go's order."""
    if isinstance(value, dict):
        return {key: sorted_deep(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [sorted_deep(item) for item in value]
    return value
