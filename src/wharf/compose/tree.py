"""Paths in a tree of plain values, and tables of rules that are chosen by them.

A path is a tuple of keys; an element of a list is `[]`. A pattern is written with dots, `*` stands for any key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

Path = tuple[str, ...]
Tree = dict[str, "Any"]
Rules = dict[str, "Any"]
"""A trie: pattern part -> the same again; the rule itself lies under `RULE`."""
RULE = "\0rule"


def rules(table: Mapping[str, Any]) -> Rules:
    """A trie of a table pattern -> rule."""
    root: Rules = {}
    for pattern, rule in table.items():
        node = root
        for part in pattern.split("."):
            node = node.setdefault(part, {})
        node[RULE] = rule
    return root


def step(places: list[Rules], part: str) -> list[Rules]:
    """The trie's places after one more part of the path; an empty list when no pattern goes on."""
    found = []
    for place in places:
        if part in place:
            found.append(place[part])
        if "*" in place:
            found.append(place["*"])
    return found


def rule_of(places: list[Rules]) -> Any:
    """The rule of a pattern that ends here, else None."""
    for place in places:
        if RULE in place:
            return place[RULE]
    return None


def rewrite(value: Any, table: Rules, apply: Callable[[Any, Any, Path], Any]) -> Any:
    """`value` with each part that a rule is for replaced by `apply(rule, part, path)`; in place."""
    return _rewrite(value, [table], (), apply)


def _rewrite(value: Any, places: list[Rules], path: Path, apply: Callable[[Any, Any, Path], Any]) -> Any:
    rule = rule_of(places)
    if rule is not None:
        return apply(rule, value, path)
    if isinstance(value, dict):
        for key, item in value.items():
            below = step(places, key)
            if below:
                value[key] = _rewrite(item, below, (*path, key), apply)
    elif isinstance(value, list):
        below = step(places, "[]")
        if below:
            for index, item in enumerate(value):
                value[index] = _rewrite(item, below, (*path, "[]"), apply)
    return value


def clone(value: Any) -> Any:
    """A copy whose containers are its own."""
    if isinstance(value, dict):
        return {key: clone(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clone(item) for item in value]
    return value


def dotted(path: Path) -> str:
    """The path as messages show it."""
    return ".".join(path)
