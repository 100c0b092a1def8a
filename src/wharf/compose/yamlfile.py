"""Text of a Compose file -> plain values, with the places of `!reset` and `!override`; positions on demand.

libyaml scans and composes; the values are made here, by Go's rules (`scalars.py`), within limits: the size of a file,
the depth of its nesting, and yaml.v3's own rule for how much of a document may come out of aliases.
"""

from __future__ import annotations

import yaml
from yaml.cyaml import CParser

from wharf.compose.record import Record, field
from wharf.compose.scalars import resolve_scalar
from wharf.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_FILE = 16 << 20
MAX_DEPTH = 200
MAX_VALUES = 4_000_000
"""Values in one document, copies made by aliases counted."""
_FEW_ALIASES = 100
_FEW_VALUES = 1000
_RATIO_LOW, _RATIO_HIGH = 400_000, 4_000_000
_MARKS = ("!reset", "!override")

Path = tuple[str, ...]


class Document(Record):
    """One YAML document: its value and what shall be taken out of what lies beneath it."""

    value: Any
    removed: list[Path] = field(default_factory=list)


class _Composer(CParser):  # type: ignore[misc]
    """Composes nodes without resolving tags: a plain scalar without a tag has the tag `?`, a quoted one `""`."""

    def descend_resolver(self, parent: Any, index: Any) -> None:
        pass

    def ascend_resolver(self) -> None:
        pass

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        return "?" if kind is yaml.ScalarNode and implicit[0] else ""


class YamlError(Invalid):
    """A file that is not YAML (`syntax`) or not what Compose takes; `line` counts from 1, 0 when unknown."""

    def __init__(self, message: str, line: int, syntax: bool = False) -> None:
        super().__init__(message)
        self.line = line
        self.syntax = syntax


def parse_documents(text: bytes) -> list[Document]:
    """The documents of a file; raises YamlError with yaml.v3's words."""
    if len(text) > MAX_FILE:
        raise YamlError(f"yaml: the file is larger than {MAX_FILE} bytes", 0)
    return [_Builder().build(node) for node in _nodes(text)]


def _nodes(text: bytes) -> list[Any]:
    nodes = []
    try:
        parser = _Composer(text)
        while parser.check_node():
            nodes.append(parser.get_node())
    except yaml.YAMLError as error:
        raise _in_words_of_go(error) from None
    return nodes


def _in_words_of_go(error: yaml.YAMLError) -> YamlError:
    if not isinstance(error, yaml.MarkedYAMLError):
        return YamlError(f"yaml: {str(error).splitlines()[0]}", 0, syntax=True)
    scanner = isinstance(error, yaml.scanner.ScannerError)
    line = 0
    for mark in (error.context_mark, error.problem_mark):
        if mark is not None and mark.line:
            # Where libyaml's scanner stops its mark has not moved on yet.
            line = mark.line + 1 if scanner else mark.line
            break
    where = f"line {line}: " if line else ""
    mark = error.problem_mark or error.context_mark
    return YamlError(f"yaml: {where}{error.problem}", mark.line + 1 if mark is not None else 0, syntax=True)


class _Builder:
    """Values of one document."""

    def __init__(self) -> None:
        self._removed: list[Path] = []
        self._seen: set[int] = set()
        self._open: set[int] = set()
        self._values = 0
        self._from_aliases = 0
        self._alias_depth = 0

    def build(self, node: Any) -> Document:
        return Document(self._value(node, ()), self._removed)

    def _value(self, node: Any, path: Path) -> Any:
        self._values += 1
        if self._alias_depth or self._values > MAX_VALUES:
            self._count(node)
        if isinstance(node, yaml.ScalarNode):
            return resolve_scalar(node.value) if node.tag == "?" else _tagged(node)
        again = id(node) in self._seen
        if id(node) in self._open:
            raise YamlError(
                f"cycle detected: node at path {'.'.join(path)} references itself", node.start_mark.line + 1
            )
        if len(path) > MAX_DEPTH:
            raise YamlError(f"yaml: exceeded max depth of {MAX_DEPTH}", node.start_mark.line + 1)
        self._seen.add(id(node))
        self._open.add(id(node))
        self._alias_depth += again
        try:
            if isinstance(node, yaml.SequenceNode):
                return self._sequence(node, path)
            return self._mapping(node, path)
        finally:
            self._alias_depth -= again
            self._open.discard(id(node))

    def _count(self, node: Any) -> None:
        self._from_aliases += self._alias_depth > 0
        many = self._from_aliases > _FEW_ALIASES and self._values > _FEW_VALUES
        if self._values > MAX_VALUES or (many and self._from_aliases / self._values > _allowed_ratio(self._values)):
            raise YamlError("yaml: document contains excessive aliasing", node.start_mark.line + 1)

    def _sequence(self, node: Any, path: Path) -> list[Any]:
        kept = [(index, item) for index, item in enumerate(node.value) if not self._reset(item, (*path, str(index)))]
        return [self._value(item, (*path, "[]")) for _, item in kept]

    def _mapping(self, node: Any, path: Path) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        merged: list[Any] = []
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            text = key_node.value if isinstance(key_node, yaml.ScalarNode) else ""
            line = key_node.start_mark.line + 1
            if text in lines:
                first = lines[text]
                raise YamlError(f'line {line}: mapping key "{text}" already defined at line {first}', line)
            lines[text] = line
            if text == "<<" and key_node.tag == "?":
                merged.append(value_node)
                continue
            below = (*path, text)
            if value_node.tag not in _MARKS or not self._reset(value_node, below):
                key = self._value(key_node, path)
                try:
                    result[key] = self._value(value_node, below)
                except TypeError:
                    raise YamlError("yaml: invalid map key", line) from None
        for value_node in merged:
            self._merge(value_node, path, result)
        return result

    def _merge(self, node: Any, path: Path, result: dict[Any, Any]) -> None:
        """`<<`: keys that are there already stay, an earlier mapping of a list wins over a later one."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                raise YamlError("yaml: map merge requires map or sequence of maps as the value",
                                node.start_mark.line + 1)  # fmt: skip
            for key, value in self._value(source, path).items():
                result.setdefault(key, value)

    def _reset(self, node: Any, path: Path) -> bool:
        """Remembers `!reset` and `!override`; True when the value is to be left out."""
        if node.tag not in _MARKS:
            return False
        self._removed.append(path)
        return bool(node.tag == "!reset")


def _allowed_ratio(values: int) -> float:
    if values <= _RATIO_LOW:
        return 0.99
    if values >= _RATIO_HIGH:
        return 0.10
    return 0.99 - 0.89 * (values - _RATIO_LOW) / (_RATIO_HIGH - _RATIO_LOW)


_CONVERSIONS: dict[str, Any] = {"bool": bool, "int": int, "float": float}


def _tagged(node: Any) -> Any:
    """A quoted scalar, or one with a tag: `!!str 5` is text, `!!int "5"` a number."""
    kind = node.tag.removeprefix("tag:yaml.org,2002:") if node.tag else ""
    if kind in _CONVERSIONS:
        value = resolve_scalar(node.value)
        if kind == "float" and type(value) is int:
            return float(value)
        if type(value) is not _CONVERSIONS[kind]:
            raise YamlError(f"yaml: cannot decode !!str `{node.value}` as a !!{kind}", node.start_mark.line + 1)
        return value
    if kind == "null":
        return None
    return resolve_scalar(node.value) if node.tag == "!override" and node.style is None else node.value


def line_of(text: bytes, path: list[str]) -> int:
    """The line of the deepest part of `path` that the file has, 0 for none; aliases are followed."""
    try:
        nodes = _nodes(text)
    except YamlError:
        return 0
    best, best_depth = 0, 0
    for node in nodes:
        line, depth = _follow(node, path)
        if depth > best_depth:
            best, best_depth = line, depth
    return best


def _follow(node: Any, path: list[str]) -> tuple[int, int]:
    line, depth = 0, 0
    for part in path:
        found = None
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value == part:
                    found, line = value, key.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode) and part.strip("[]").isdigit():
            index = int(part.strip("[]"))
            if index < len(node.value):
                found = node.value[index]
                line = found.start_mark.line + 1
        if found is None:
            break
        node, depth = found, depth + 1
    return line, depth
