"""YAML as go.yaml.in/yaml/v3 writes it with an indent of two: block style, quotes where its emitter wants them.

PyYAML's emitter chooses other styles and folds lines; what `config` prints is compared byte by byte.
"""

from __future__ import annotations

import re
from functools import lru_cache

from wharf.compose.scalars import go_float, resolve_scalar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_OLD_BOOL = frozenset(
    ("y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off", "OFF")
)
_BASE60 = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")
_DATE = re.compile(
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})?)?"
)
_SIMPLE = re.compile(r"[A-Za-z/][A-Za-z0-9/._-]*")
_SPECIAL = _OLD_BOOL | {"null", "Null", "NULL", "true", "True", "TRUE", "false", "False", "FALSE"}
_INDICATOR_FIRST = frozenset("#,[]{}&*!|>'\"%@`")
_BREAKS = "\n\r\x85\u2028\u2029"
_BLANK = " \t" + _BREAKS
_ESCAPES = {"\0": "0", "\x07": "a", "\b": "b", "\t": "t", "\n": "n", "\v": "v", "\f": "f", "\r": "r", "\x1b": "e",
            '"': '"', "\\": "\\", "\x85": "N", "\xa0": "_", "\u2028": "L", "\u2029": "P"}  # fmt: skip
_LITERAL_NULL = "null"


def dump(value: Any) -> str:
    """A document."""
    lines: list[str] = []
    _node(value, 0, "", lines)
    return "\n".join(lines) + "\n"


def _node(value: Any, indent: int, lead: str, lines: list[str]) -> None:
    """Appends the lines of a value; `lead` is what stands before it on its first line (with the line's indent)."""
    if isinstance(value, dict) and value:
        _mapping(value, indent, lead, lines)
    elif isinstance(value, list) and value:
        _sequence(value, indent, lead, lines)
    else:
        lines.append(f"{lead}{' ' if lead and not lead.endswith(' ') else ''}{_inline(value, indent)}")


def _mapping(value: dict[Any, Any], indent: int, lead: str, lines: list[str]) -> None:
    if lead and not lead.endswith("- "):
        lines.append(lead)
        lead = ""
    for key, item in value.items():
        start = (lead or " " * indent) + _key(key) + ":"
        lead = ""
        _node(item, indent + 2, start, lines)


def _sequence(value: list[Any], indent: int, lead: str, lines: list[str]) -> None:
    if lead and not lead.endswith("- "):
        lines.append(lead)
        lead = ""
    for item in value:
        start = (lead or " " * indent) + "- "
        lead = ""
        _node(item, indent + 2, start, lines)


def _key(key: Any) -> str:
    text = _scalar(key)
    if text is None:
        text = _quoted(str(key), simple_key=True)
    return text


def _inline(value: Any, indent: int) -> str:
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, list):
        return "[]"
    text = _scalar(value)
    if text is not None:
        return text
    return _literal(value, indent) if "\n" in value and _block_allowed(value) else _quoted(value)


def _scalar(value: Any) -> str | None:
    """A value in plain style; None when it is text that needs another."""
    if isinstance(value, str):
        return _text(value)
    if value is None:
        return _LITERAL_NULL
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        shown = repr(value) if type(value) is not float else go_float(value)
        return {"+Inf": ".inf", "-Inf": "-.inf", "NaN": ".nan"}.get(shown, shown)
    return str(value)


@lru_cache(4096)
def _text(value: str) -> str | None:
    """Text in plain style; most of a file's keys and words come again and again."""
    if _SIMPLE.fullmatch(value) and value not in _SPECIAL:
        return value
    if not is_text(value) or "\n" in value:
        return None
    return value if _plain_allowed(value) else None


def is_text(text: str) -> bool:
    """A plain scalar of these characters would be read as text again, by YAML 1.1 too."""
    if text == "<<" or not isinstance(resolve_scalar(text), str):
        return False
    return not (text in _OLD_BOOL or _BASE60.fullmatch(text) or _DATE.fullmatch(text))


def _plain_allowed(text: str) -> bool:
    """libyaml's analysis of a scalar, for block context."""
    if text[0] in _INDICATOR_FIRST or text[0] in _BLANK or text[-1] in _BLANK or text.startswith(("---", "...")):
        return False
    if text[0] in "-?:" and (len(text) == 1 or text[1] in _BLANK):
        return False
    for index, character in enumerate(text):
        if character == ":" and index and (index + 1 == len(text) or text[index + 1] in _BLANK):
            return False
        if character == "#" and index and text[index - 1] in _BLANK:
            return False
        if character == "\t" or character in _BREAKS or not _printable(character):
            return False
    return True


def _printable(character: str) -> bool:
    code = ord(character)
    return (
        0x20 <= code <= 0x7E
        or code == 0x0A
        or 0xA0 <= code < 0xD800
        or (0xE000 <= code <= 0xFFFD and code != 0xFEFF)
        or 0x10000 <= code <= 0x10FFFF
    )


def _single_allowed(text: str) -> bool:
    if any(character == "\t" or (character not in _BREAKS and not _printable(character)) for character in text):
        return False
    return not any(character in _BREAKS for character in text)


def _quoted(text: str, simple_key: bool = False) -> str:
    # What would read as another type gets double quotes, what is only awkward single ones.
    if is_text(text) and "\n" not in text and _single_allowed(text):
        return "'" + text.replace("'", "''") + "'"
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return "\\" + _ESCAPES[character]
    if _printable(character):
        return character
    code = ord(character)
    return f"\\x{code:02X}" if code <= 0xFF else f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"


def _block_allowed(text: str) -> bool:
    """Neither a space before a line's end, nor at the end, nor anything that must be escaped."""
    for index, character in enumerate(text):
        if character == " " and (index + 1 == len(text) or text[index + 1] in _BREAKS):
            return False
        if character not in _BREAKS and character != "\t" and not _printable(character):
            return False
    return True


def _literal(text: str, indent: int) -> str:
    hint = "2" if text[0] in " " + _BREAKS else ""
    if not text.endswith("\n"):
        chomp = "-"
    else:
        chomp = "+" if len(text) == 1 or text[-2] in _BREAKS else ""
    lines = text.split("\n")
    if text.endswith("\n"):
        lines.pop()
    body = "\n".join((" " * indent + line) if line else "" for line in lines)
    return f"|{hint}{chomp}\n{body}"
