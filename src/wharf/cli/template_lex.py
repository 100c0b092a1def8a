"""Go templates as text: the pieces between `{{` and `}}`, and the tokens inside one."""

from __future__ import annotations

from wharf.cli.template_functions import TemplateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


def split(text: str) -> Iterator[tuple[bool, str]]:
    """Pieces of the template: (False, literal text) and (True, inside of an action), trimmed where markers say so."""
    position, trim = 0, False
    while True:
        start = text.find("{{", position)
        literal = text[position:] if start < 0 else text[position:start]
        if trim:
            literal = literal.lstrip()
        if start < 0:
            yield False, literal
            return
        inner = start + 2
        if text.startswith("- ", inner):
            literal, inner = literal.rstrip(), inner + 1
        yield False, literal
        end = _action_end(text, inner)
        body = text[inner:end]
        trim = body.endswith(" -")
        yield True, (body[:-1] if trim else body).strip()
        position = end + 2


def _action_end(text: str, position: int) -> int:
    """Where the action's `}}` is: not one inside quotes or a comment."""
    if text[position:].lstrip().startswith("/*"):
        close = text.find("*/", position)
        end = text.find("}}", close)
        if close < 0 or end < 0:
            raise TemplateError(":1: unclosed comment")
        return end
    quote = ""
    while position < len(text):
        character = text[position]
        if quote:
            if character == "\\" and quote != "`":
                position += 1
            elif character == quote:
                quote = ""
        elif character in "\"'`":
            quote = character
        elif text.startswith("}}", position):
            return position
        position += 1
    raise TemplateError(":1: unclosed action")


def tokens(text: str) -> list[tuple[str, Any]]:
    """Tokens of one action: (kind, value) with kind field, variable, name, value or an operator itself."""
    found: list[tuple[str, Any]] = []
    position = 0
    while position < len(text):
        character = text[position]
        if character.isspace():
            found.append(("space", None))
            position += 1
        elif character in "\"`'":
            literal, position = _string(text, position)
            found.append(("value", literal))
        elif character in "()|,":
            found.append((character, None))
            position += 1
        elif text.startswith(":=", position):
            found.append((":=", None))
            position += 2
        elif character == "=":
            found.append(("=", None))
            position += 1
        elif character.isdigit() or (character in "+-" and text[position + 1 : position + 2].isdigit()):
            end = position + 1
            while end < len(text) and (text[end].isalnum() or text[end] in "._"):
                end += 1
            found.append(("value", _number(text[position:end])))
            position = end
        elif character == "." or character == "$" or character.isalpha() or character == "_":
            end = position + 1
            while end < len(text) and (text[end].isalnum() or text[end] == "_"):
                end += 1
            word = text[position:end]
            kind = "field" if character == "." else "variable" if character == "$" else "name"
            found.append((kind, word[1:] if kind == "field" else word))
            position = end
        else:
            raise TemplateError(f":1: unexpected {character!r} in command")
    return found


def _string(text: str, position: int) -> tuple[Any, int]:
    quote, out = text[position], []
    position += 1
    while position < len(text) and text[position] != quote:
        if text[position] == "\\" and quote != "`":
            position += 1
            letter = text[position : position + 1]
            digits = {"x": 2, "u": 4, "U": 8}.get(letter)
            if digits:
                out.append(chr(int(text[position + 1 : position + 1 + digits], 16)))
                position += digits
            else:
                out.append(_ESCAPES.get(letter, letter))
        else:
            out.append(text[position])
        position += 1
    if position >= len(text):
        raise TemplateError(":1: unterminated quoted string")
    value = "".join(out)
    return (ord(value) if quote == "'" and len(value) == 1 else value), position + 1


def _number(text: str) -> int | float:
    try:
        return int(text, 0)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise TemplateError(f':1: bad number syntax: "{text}"') from None
