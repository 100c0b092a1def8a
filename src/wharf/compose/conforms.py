"""Whether a model certainly conforms to the Compose schema: the part of JSON Schema (draft 7) that it uses, no more.

The library that checks models and says what is wrong takes longer to load than all the rest of an unchanged `up`; this
spares it for models that are right, which most are. Whatever is not known here, or can be read in two ways, is
`Unsure`: then the library decides. tests/unit/compose holds both to the same verdicts.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from wharf.client import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Check = Callable[[Any], bool]

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "integer": (int,), "number": (int, float),
    "boolean": (bool,), "null": (type(None),),
}  # fmt: skip
_KNOWN = frozenset((dict, list, str, int, float, bool, type(None)))
_SAYS_NOTHING = frozenset(("$schema", "$id", "title", "description", "default", "deprecated", "definitions"))


class Unsure(Exception):
    """The verdict is the library's."""


class Conforms:
    """A schema, compiled as far as models touch it."""

    def __init__(self, text: str) -> None:
        self._root: dict[str, Any] = jsontext.loads(text)
        self._checks: dict[int, Check] = {}
        self._keywords: dict[str, Callable[[dict[str, Any]], Check]] = {
            "type": _type, "enum": _enum, "pattern": _pattern, "minimum": _minimum, "maximum": _maximum,
            "required": _required, "uniqueItems": _unique, "oneOf": self._one_of, "items": self._items,
            "properties": self._members, "patternProperties": self._members, "additionalProperties": self._members,
        }  # fmt: skip

    def certainly(self, model: Any) -> bool:
        """True for a model that the schema takes; False when it does not, or when that is not sure."""
        try:
            return self.verdict(model)
        except (Unsure, RecursionError):
            return False

    def verdict(self, model: Any) -> bool:
        """Whether the schema takes the model; raises Unsure."""
        return self._check(self._root)(model)

    def _check(self, node: dict[str, Any]) -> Check:
        found = self._checks.get(id(node))
        if found is None:
            found = self._checks[id(node)] = self._compiled(node)
        return found

    def _compiled(self, node: dict[str, Any]) -> Check:
        if "$ref" in node:  # what stands beside it does not count in draft 7
            return self._check(self._referred(node["$ref"]))
        makers = {self._keyword(name): None for name in node if name not in _SAYS_NOTHING}
        checks = [make(node) for make in makers]
        if len(checks) == 1:
            return checks[0]
        return lambda value: all(check(value) for check in checks)

    def _keyword(self, name: str) -> Callable[[dict[str, Any]], Check]:
        if name not in self._keywords:
            raise Unsure(name)
        return self._keywords[name]

    def _referred(self, reference: str) -> dict[str, Any]:
        node: Any = self._root
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
        assert isinstance(node, dict)
        return node

    def _one_of(self, node: dict[str, Any]) -> Check:
        branches = [self._check(branch) for branch in node["oneOf"]]
        return lambda value: sum(check(value) for check in branches) == 1

    def _items(self, node: dict[str, Any]) -> Check:
        check = self._check(node["items"])
        return lambda value: type(value) is not list or all(map(check, value))

    def _members(self, node: dict[str, Any]) -> Check:
        """`properties`, `patternProperties` and `additionalProperties` together."""
        if node.get("additionalProperties", False) is not False:
            raise Unsure("additionalProperties")
        checks: dict[str, Check] = {}

        def check(value: Any) -> bool:
            if type(value) is not dict:
                return True
            for key, item in value.items():
                member = checks.get(key)
                if member is None:
                    member = checks[key] = self._member(node, key)
                if not member(item):
                    return False
            return True

        return check

    def _member(self, node: dict[str, Any], key: str) -> Check:
        if not isinstance(key, str):
            raise Unsure("a name that is no text")
        nodes = [node["properties"][key]] if key in node.get("properties", ()) else []
        nodes += [below for text, below in node.get("patternProperties", {}).items() if _regex(text).search(key)]
        if not nodes:
            closed = "additionalProperties" in node
            return lambda value: not closed
        checks = [self._check(below) for below in nodes]
        return checks[0] if len(checks) == 1 else lambda value: all(check(value) for check in checks)


def _regex(text: str) -> re.Pattern[str]:
    """The pattern, its `$` the end of the text alone: Python's own also stands before a last newline."""
    return re.compile(text.removesuffix("$") + r"\Z" if text.endswith("$") else text)


def _type(node: dict[str, Any]) -> Check:
    names = [node["type"]] if isinstance(node["type"], str) else node["type"]
    allowed = frozenset(kind for name in names for kind in _TYPES[name])
    whole_only = int in allowed and float not in allowed

    def check(value: Any) -> bool:
        kind = type(value)
        if kind not in _KNOWN or (kind is float and whole_only):
            raise Unsure(kind.__name__)  # 1.0 is an integer too
        return kind in allowed

    return check


def _enum(node: dict[str, Any]) -> Check:
    options = node["enum"]
    if not all(isinstance(option, str) for option in options):
        raise Unsure("enum")
    return lambda value: isinstance(value, str) and value in options


def _pattern(node: dict[str, Any]) -> Check:
    regex = _regex(node["pattern"])
    return lambda value: not isinstance(value, str) or regex.search(value) is not None


def _minimum(node: dict[str, Any]) -> Check:
    least = node["minimum"]
    return lambda value: type(value) not in (int, float) or value >= least


def _maximum(node: dict[str, Any]) -> Check:
    most = node["maximum"]
    return lambda value: type(value) not in (int, float) or value <= most


def _required(node: dict[str, Any]) -> Check:
    names = node["required"]
    return lambda value: type(value) is not dict or all(name in value for name in names)


def _unique(node: dict[str, Any]) -> Check:
    if not node["uniqueItems"]:
        return lambda value: True

    def check(value: Any) -> bool:
        if type(value) is not list or len(value) < 2:
            return True
        if any(map(_has_float, value)):
            raise Unsure("uniqueItems")  # 1 and 1.0 are equal
        return len({jsontext.dumps(item, sort_keys=True) for item in value}) == len(value)

    return check


def _has_float(value: Any) -> bool:
    if type(value) is dict:
        return any(map(_has_float, value.values()))
    return any(map(_has_float, value)) if type(value) is list else type(value) is float
