"""The Compose schema (compose-go 2.9.1's) over a merged model; its most specific complaint in its words."""

from __future__ import annotations

import os

from wharf.compose.conforms import Conforms
from wharf.compose.interpolate import PathError
from wharf.compose.quantities import parse_duration
from wharf.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SCHEMA = os.path.join(os.path.dirname(__file__), "compose-spec.json")


class Schema:
    """The schema; the library that says what is wrong is loaded only when something may be."""

    def __init__(self) -> None:
        with open(_SCHEMA, encoding="utf-8") as file:
            self._text = file.read()
        self._conforms = Conforms(self._text)

    def validate(self, model: Any) -> None:
        """Raises PathError for a model that the schema refuses."""
        if self._conforms.certainly(model):
            return
        complaints = complaints_of(self._text, model)
        if complaints:
            path, words, unexpected = _most_specific(complaints)
            raise PathError(f"{'.'.join(path)} {words}", (*path, *unexpected))


def complaints_of(schema: str, model: Any) -> list[Any]:
    """What jsonschema-rs has against a model."""
    import jsonschema_rs  # late: it takes as long as all else of a run without a change

    validator = jsonschema_rs.validator_for(schema, validate_formats=True, formats={"duration": _is_duration})
    return list(validator.iter_errors(model))


def _is_duration(text: str) -> bool:
    try:
        parse_duration(text)
    except Invalid:
        return False
    return not any(unit in text for unit in "dw")


def _most_specific(errors: list[Any]) -> tuple[list[str], str, list[str]]:
    """The deepest complaint (path, words, a key that should not be there), alternatives looked into; the first of those
    that are as deep.
    """
    best: tuple[int, list[str], str, list[str]] = (-1, [], "", [])
    for error in sorted(_leaves(errors), key=lambda leaf: [str(part) for part in leaf.instance_path]):
        path = [str(part) for part in error.instance_path]
        words = _words(error)
        unexpected = sorted(error.kind.unexpected)[:1] if type(error.kind).__name__ == "AdditionalProperties" else []
        depth = len(path) + len(unexpected)
        if depth > best[0]:
            best = (depth, path, words, unexpected)
    return best[1:]


def _leaves(errors: list[Any]) -> list[Any]:
    found = []
    for error in errors:
        branches = getattr(error.kind, "context", None)
        inner = [leaf for branch in branches or () for leaf in _leaves(branch)]
        found += inner or [error]
    return found


def _words(error: Any) -> str:
    kind = error.kind
    name = type(kind).__name__
    if name == "Type":
        return f"must be a {_kinds(kind.types)}"
    if name == "AdditionalProperties":
        unexpected = ", ".join(f"'{item}'" for item in sorted(kind.unexpected))
        return f"additional properties {unexpected} not allowed"
    if name == "Required":
        return f"missing property '{kind.property}'"
    if name == "Enum":
        options = kind.options if isinstance(kind.options, list) else [kind.options]
        shown = ", ".join(f"'{item}'" if isinstance(item, str) else str(item) for item in options)
        return f"value must be one of {shown}"
    if name == "Minimum":
        return f"must be greater than or equal to {kind.limit}"
    if name == "Maximum":
        return f"must be less than or equal to {kind.limit}"
    if name == "Pattern":
        return f"'{error.instance}' does not match pattern '{kind.pattern}'"
    if name == "Format":
        return f"'{error.instance}' is not valid {kind.format}: {_duration_words(error.instance)}"
    if name == "UniqueItems":
        return _repeated(error.instance)
    if name == "OneOfMultipleValid":
        return "oneOf failed, subschemas 0, 1 matched"
    return str(error.message)


def _kinds(types: list[str]) -> str:
    names = sorted("mapping" if kind == "object" else kind for kind in types)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _duration_words(text: Any) -> str:
    try:
        parse_duration(str(text))
    except Invalid as error:
        return error.message
    unit = "d" if "d" in str(text) else "w"
    return f'time: unknown unit "{unit}" in duration "{text}"'


def _repeated(items: list[Any]) -> str:
    for second, item in enumerate(items):
        if item in items[:second]:
            return f"items at {items.index(item)} and {second} are equal"
    return "items are equal"
