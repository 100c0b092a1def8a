"""JSON without the `json` package: its C scanner and encoder used directly, since importing `json` (and with it `re`)
takes as long as a whole `wharf ps` may.
"""

from __future__ import annotations

import _json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_CONSTANTS = {"-Infinity": float("-inf"), "Infinity": float("inf"), "NaN": float("nan")}


class _Scanner:
    """The attributes that the C scanner reads."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = _CONSTANTS.__getitem__
    memo: dict[str, str] = {}


_SPACE = " \t\n\r"


def loads(text: str | bytes) -> Any:
    """Parses one JSON value; raises ValueError when the text is not exactly that."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    start, end = 0, len(text)
    while start < end and text[start] in _SPACE:
        start += 1
    try:
        value, stop = _json.make_scanner(_Scanner)(text, start)  # type: ignore[arg-type]
    except StopIteration as error:
        raise ValueError(f"JSON value expected at character {error.value}") from None
    except SystemError:
        # The C scanner takes its exception class from json.decoder, which is not imported yet.
        import json

        return json.loads(text)
    while stop < end and text[stop] in _SPACE:
        stop += 1
    if stop != end:
        raise ValueError(f"text after the JSON value at character {stop}")
    return value


def _refuse(value: object) -> Any:
    raise TypeError(f"{type(value).__name__} is not JSON")


def dumps(value: Any, *, sort_keys: bool = False, escape_html: bool = False) -> str:
    """Compact JSON as Go writes it; `escape_html` is what encoding/json does unless told otherwise."""
    encoder = _json.make_encoder(None, _refuse, _json.encode_basestring, None, ":", ",", sort_keys, False, False)
    text = "".join(encoder(value, 0))
    if escape_html:
        for character in "<>&":
            text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def indented(value: Any, indent: str = "    ", level: int = 0) -> str:
    """JSON as Go's json.MarshalIndent lays it out: empty containers stay on one line."""
    inner = "\n" + indent * (level + 1)
    if isinstance(value, dict) and value:
        pairs = (f"{dumps(str(key))}: {indented(item, indent, level + 1)}" for key, item in value.items())
        return "{" + inner + ("," + inner).join(pairs) + "\n" + indent * level + "}"
    if isinstance(value, list) and value:
        items = (indented(item, indent, level + 1) for item in value)
        return "[" + inner + ("," + inner).join(items) + "\n" + indent * level + "]"
    return dumps(value)
