"""Variables in a text: every form of Compose's interpolation, with its words for what is wrong.

`$V` `${V}` `${V:-d}` `${V-d}` `${V:?e}` `${V?e}` `${V:+r}` `${V+r}`, nested; `$$` is a dollar.
"""

import re
from collections.abc import Callable

from wharf.errors import Invalid

Lookup = Callable[[str], str | None]
Warn = Callable[[str], None]
MAX_NESTING = 50

# `.` does not cross a line, and the greedy rest may reach beyond the variable's own brace: see _braced.
_PATTERN = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<named>[_a-z][_a-z0-9]*)|\{(?:(?P<braced>[_a-z][_a-z0-9]*(?::?[-+?](?:.*))?)\}|(?P<invalid>)))",
    re.IGNORECASE | re.ASCII,
)
_OPERATORS = (":?", "?", ":-", "-", ":+", "+")


class InvalidTemplate(Invalid):
    """A `$` that begins nothing."""


def substitute(text: str, lookup: Lookup, warn: Warn | None = None, depth: int = 0) -> str:
    """`text` with its variables replaced; raises InvalidTemplate, or Invalid for a required one that is missing."""
    if "$" not in text:
        return text
    if depth > MAX_NESTING:
        raise InvalidTemplate(text)
    errors: list[Invalid] = []

    def replace(found: re.Match[str]) -> str:
        try:
            return _replacement(found[0], lookup, warn, depth)
        except InvalidTemplate as error:
            errors.append(error if error.message else InvalidTemplate(text))
        except Invalid as error:
            errors.append(error)
        return ""

    result = _PATTERN.sub(replace, text)
    if errors:
        raise errors[0]
    return result


def _replacement(part: str, lookup: Lookup, warn: Warn | None, depth: int) -> str:
    closing = _closing_brace(part)
    rest = ""
    if closing >= 0:
        part, rest = part[: closing + 1], part[closing + 1 :]
    groups = _PATTERN.match(part)
    if groups is None:
        raise InvalidTemplate("")
    if groups["escaped"]:
        return "$"
    name = groups["named"]
    if not name:
        if not groups["braced"]:
            raise InvalidTemplate("")
        value = _braced(groups["braced"], part, lookup, warn, depth)
        if value is not None:
            return value + substitute(rest, lookup, warn, depth + 1)
        name = groups["braced"]
    found = lookup(name)
    if found is None and warn:
        warn(f'The "{name}" variable is not set. Defaulting to a blank string.')
    # What follows the brace was taken by the greedy pattern and has variables of its own.
    return (found or "") + (substitute(rest, lookup, warn, depth + 1) if rest else "")


def _closing_brace(text: str) -> int:
    """Where the first `${` is closed."""
    level, position = 0, 0
    while position < len(text):
        character = text[position]
        if character == "}":
            level -= 1
            if level == 0:
                return position
        elif character == "{":
            level += 1
            position += 1
        position += 1
    return -1


def _braced(inner: str, part: str, lookup: Lookup, warn: Warn | None, depth: int) -> str | None:
    """The value of `${…}` with an operator; None when it has none."""
    places = [(part.index(operator), index) for index, operator in enumerate(_OPERATORS) if operator in part]
    if not places:
        return None
    operator = _OPERATORS[min(places)[1]]
    name, _, word = inner.partition(operator)
    word = substitute(word, lookup, warn, depth + 1)
    value = lookup(name)
    filled = value is not None and (value != "" or not operator.startswith(":"))
    if operator.endswith("?"):
        if not filled:
            raise Invalid(f"required variable {name} is missing a value" + (f": {word}" if word else ""))
        return value or ""
    if operator.endswith("+"):
        return word if filled else value or ""
    return value or "" if filled else word


def variables(text: str) -> list[tuple[str, str, str, bool]]:
    """The variables in a text: (name, default, alternative, required), nested ones too; for `config --variables`."""
    found: list[tuple[str, str, str, bool]] = []
    for match in _PATTERN.finditer(text):
        if match["escaped"]:
            continue
        inner = match["named"] or ""
        if not inner:
            closing = _closing_brace(match[0])
            inner = match[0][2:closing] if closing > 0 else match["braced"] or ""
            if closing > 0:
                found += variables(match[0][closing + 1 :])
        found += _one_variable(inner)
    return found


def _one_variable(inner: str) -> list[tuple[str, str, str, bool]]:
    name = re.match(r"[a-zA-Z0-9_]*", inner)
    assert name is not None
    rest = inner[name.end() :]
    operator = next((item for item in _OPERATORS if name.end() and rest.startswith(item)), "")
    word = rest[len(operator) :]
    default = word if operator.endswith("-") else ""
    presence = word if operator.endswith("+") else ""
    shown = name[0] if name.end() else inner
    return [(shown, default, presence, operator.endswith("?")), *variables(default), *variables(presence)]
