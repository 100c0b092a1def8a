"""The functions of Go's templates and those that docker adds, on JSON values."""

from __future__ import annotations

from wharf.client import jsontext
from wharf.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class TemplateError(Invalid):
    """A template that cannot be parsed or executed; the message is Go's, without the leading `template: `."""


class GoMap(dict["str", "Any"]):
    """A Go map (prints as `map[k:v]`), where a plain dict is a struct (prints as `{v}`)."""


class NilMap(GoMap):
    """A Go map that is nil: empty, JSON null."""


class NilList(list["Any"]):
    """A Go slice that is nil: empty, JSON null."""


class NoValue:
    """What Go prints for a key that a map has not: `<no value>`, and false."""


def truth(value: Any) -> bool:
    """Go's truth: not zero, not empty, not nil."""
    return bool(value) and not isinstance(value, NoValue)


def to_text(value: Any) -> str:
    """A value as `fmt.Print` writes it."""
    if isinstance(value, str):
        return value
    if value is None:
        return "<nil>"
    if isinstance(value, NoValue):
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, GoMap):
        return "map[" + " ".join(f"{key}:{to_text(item)}" for key, item in sorted(value.items())) + "]"
    if isinstance(value, dict):
        return "{" + " ".join(to_text(item) for item in value.values()) + "}"
    if isinstance(value, list | tuple):
        return "[" + " ".join(to_text(item) for item in value) + "]"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, NilMap | NilList | NoValue):
        return None
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if not callable(item)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def to_json(value: Any) -> str:
    """docker's `json`: compact, `<` and `>` as they are."""
    return jsontext.dumps(_plain(value))


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key, "") if isinstance(value, GoMap) else value.get(key)
        elif isinstance(value, list | str):
            if not isinstance(key, int) or not 0 <= key < len(value):
                raise TemplateError(f'executing "" at <index>: error calling index: index out of range: {key}')
            value = value[key]
        elif value is None or isinstance(value, NoValue):
            raise TemplateError('executing "" at <index>: error calling index: index of untyped nil')
        else:
            raise TemplateError(f'executing "" at <index>: error calling index: can\'t index item of {to_text(value)}')
    return value


def _slice(value: Any, *bounds: int) -> Any:
    start = bounds[0] if bounds else 0
    stop = bounds[1] if len(bounds) > 1 else len(value)
    if not 0 <= start <= stop <= len(value):
        raise TemplateError(f'executing "" at <slice>: error calling slice: index out of range: {stop}')
    return value[start:stop]


def _length(value: Any) -> int:
    if not isinstance(value, str | list | dict | tuple):
        raise TemplateError(f'executing "" at <len>: error calling len: len of {to_text(value)}')
    return len(value.encode()) if isinstance(value, str) else len(value)


def _equal(first: Any, *others: Any) -> bool:
    return any(first == other for other in others)


def _and(*values: Any) -> Any:
    for value in values:
        if not truth(value):
            return value
    return values[-1]


def _or(*values: Any) -> Any:
    for value in values:
        if truth(value):
            return value
    return values[-1]


def _print(*values: Any) -> str:
    """`fmt.Sprint`: a blank between two operands when neither is a string."""
    out = ""
    for index, value in enumerate(values):
        if index and not isinstance(value, str) and not isinstance(values[index - 1], str):
            out += " "
        out += to_text(value)
    return out


def _println(*values: Any) -> str:
    return " ".join(to_text(value) for value in values) + "\n"


def _printf(format: str, *values: Any) -> str:
    """`fmt.Sprintf` for the verbs %v %s %d %q %t %f %x and %%, with flags, width and precision."""
    out, position, left = [], 0, list(values)
    while position < len(format):
        start = format.find("%", position)
        if start < 0:
            out.append(format[position:])
            break
        out.append(format[position:start])
        end = start + 1
        while end < len(format) and format[end] in "+-# 0123456789.":
            end += 1
        verb = format[end : end + 1]
        out.append(_verb(format[start + 1 : end], verb, left))
        position = end + 1
    return "".join(out)


def _verb(flags: str, verb: str, left: list[Any]) -> str:
    if verb == "%":
        return "%"
    if not left:
        return f"%!{verb}(MISSING)"
    value = left.pop(0)
    flags = flags.replace("+", "").replace("#", "") if verb in "vsq" else flags
    if verb in ("v", "s", "t"):
        return f"%{flags}s" % to_text(value)
    if verb == "q":
        return f"%{flags}s" % jsontext.dumps(to_text(value))
    try:
        return str(f"%{flags}{verb}" % value)
    except (TypeError, ValueError):
        return f"%!{verb}({to_text(value)})"


def _truncate(text: str, width: int) -> str:
    return text if len(text) < width else text[:width]


def _title(text: str) -> str:
    return " ".join(word[:1].upper() + word[1:] for word in text.split(" "))


def _pad(text: str, before: int, after: int) -> str:
    return text if text == "" else " " * before + text + " " * after


def _html(*values: Any) -> str:
    text = _print(*values)
    for character, entity in (("&", "&amp;"), ("'", "&#39;"), ('"', "&#34;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(character, entity)
    return text


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": _and,
    "or": _or,
    "not": lambda value: not truth(value),
    "eq": _equal,
    "ne": lambda one, other: one != other,
    "lt": lambda one, other: one < other,
    "le": lambda one, other: one <= other,
    "gt": lambda one, other: one > other,
    "ge": lambda one, other: one >= other,
    "len": _length,
    "index": _index,
    "slice": _slice,
    "print": _print,
    "println": _println,
    "printf": _printf,
    "html": _html,
    "json": to_json,
    "split": lambda text, separator: text.split(separator) if separator else list(text),
    "join": lambda items, separator: separator.join(to_text(item) for item in items),
    "title": _title,
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "pad": _pad,
    "truncate": _truncate,
}
