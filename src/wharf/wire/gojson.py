"""What Go's encoding/json says about a text that is not JSON; and what it takes although it is not quite JSON.

Only texts that msgspec has refused come here. Go puts U+FFFD where a string is not UTF-8 or has half a surrogate
pair, and minds a number's size only where it is stored.
"""

import json
import re
from typing import Any

from wharf.spec.quote import go_char

MAX_DEPTH = 10_000
"""Go's limit of nesting."""
MAX_EXPLAINED = 256 << 10
"""Longer texts are refused without Go's words: the scan below is in Python and holds up the loop."""

_SPACE = re.compile(r"[ \t\r\n]*")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})(?:\\u([dD][c-fC-F][0-9a-fA-F]{2}))?|.)", re.DOTALL)
_LITERALS = {"t": "true", "f": "false", "n": "null"}


class GoSyntaxError(Exception):
    """The words of Go's SyntaxError."""


def loads_as_go(data: bytes) -> Any:
    """Plain values of a text; raises GoSyntaxError."""
    if len(data) > MAX_EXPLAINED:
        raise GoSyntaxError("malformed, or not UTF-8")
    text = data.decode("utf-8", "replace")
    _check(text)
    try:
        # Surrogates are gone afterwards: what is returned can be encoded again.
        return json.loads(_ESCAPE.sub(_whole_surrogates, text))
    except RecursionError:
        raise GoSyntaxError("exceeded max depth") from None
    except ValueError as error:
        raise GoSyntaxError(str(error)) from None


def _whole_surrogates(found: re.Match[str]) -> str:
    first, second = found.groups()
    if first is None:
        return found[0]
    code = int(first, 16)
    if 0xD800 <= code < 0xDC00:
        return found[0] if second else "\\ufffd"
    return ("\\ufffd" if 0xDC00 <= code < 0xE000 else f"\\u{first}") + ("\\ufffd" if second else "")


def _check(text: str) -> None:
    """Walk over one value and nothing behind it but space; raises GoSyntaxError at the first fault."""
    at, inside = 0, ""
    state = "value"
    while True:
        at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
        if state == "end":
            break
        char = text[at : at + 1]
        if not char:
            raise GoSyntaxError("unexpected EOF")
        if state in ("value", "first item"):
            if char in "[{":
                inside += char
                if len(inside) > MAX_DEPTH:
                    raise GoSyntaxError("exceeded max depth")
                at, state = at + 1, "first item" if char == "[" else "first key"
                continue
            if not (char == "]" and state == "first item"):
                at = _scalar(text, at)
                state = "after" if inside else "end"
                continue
        elif state in ("key", "first key") and not (char == "}" and state == "first key"):
            if char != '"':
                raise _fault(char, "looking for beginning of object key string")
            at = _SPACE.match(text, _string(text, at)).end()  # type: ignore[union-attr]
            at, state = _expect(text, at, ":", "after object key"), "value"
            continue
        elif state == "after":
            if char == ",":
                at, state = at + 1, "value" if inside[-1] == "[" else "key"
                continue
            if char != {"[": "]", "{": "}"}[inside[-1]]:
                raise _fault(char, "after " + ("array element" if inside[-1] == "[" else "object key:value pair"))
        inside, at = inside[:-1], at + 1
        state = "after" if inside else "end"
    if at < len(text):
        raise GoSyntaxError(f"{_fault(text[at], 'after top-level value')}")


def _expect(text: str, at: int, wanted: str, where: str) -> int:
    if at >= len(text):
        raise GoSyntaxError("unexpected EOF")
    if text[at] != wanted:
        raise _fault(text[at], where)
    return at + 1


def _scalar(text: str, at: int) -> int:
    """The end of a string, number or literal."""
    char = text[at]
    if char == '"':
        return _string(text, at)
    word = _LITERALS.get(char)
    if word is not None:
        for offset, letter in enumerate(word[1:], 1):
            _expect(text, at + offset, letter, f"in literal {word} (expecting '{letter}')")
        return at + len(word)
    if char != "-" and not ("0" <= char <= "9"):
        raise _fault(char, "looking for beginning of value")
    found = _NUMBER.match(text, at)
    if found is None:
        return _expect(text, at + 1, "0", "in numeric literal")
    rest = text[found.end() : found.end() + 2]
    if rest[:1] == "." or rest[:1] in ("e", "E"):
        where = "after decimal point in numeric literal" if rest[0] == "." else "in exponent of numeric literal"
        return _expect(text, found.end() + 1, "0", where)
    return found.end()


def _string(text: str, at: int) -> int:
    """The end of the string that starts at `at`."""
    at += 1
    while True:
        at = _PLAIN.match(text, at).end()  # type: ignore[union-attr]
        if at >= len(text):
            raise GoSyntaxError("unexpected EOF")
        if text[at] == '"':
            return at + 1
        if text[at] != "\\":
            raise _fault(text[at], "in string")
        escape = text[at + 1 : at + 2]
        if not escape:
            raise GoSyntaxError("unexpected EOF")
        if escape not in '"\\/bfnrtu':
            raise _fault(escape, "in string escape code")
        at += 2
        if escape == "u":
            for _ in range(4):
                if at >= len(text):
                    raise GoSyntaxError("unexpected EOF")
                if text[at] not in "0123456789abcdefABCDEF":
                    raise _fault(text[at], "in \\u hexadecimal character escape")
                at += 1


def _fault(char: str, where: str) -> GoSyntaxError:
    return GoSyntaxError(f"invalid character {go_char(char)} {where}")
