"""Go's text/template as docker's users write it in `--format`: parsed to a tree, then executed on JSON values.

Understood: fields, variables, pipelines, parentheses, `if`/`else if`/`else`, `range`/`else`, `with`, comments, trim
markers, and the functions of template_functions. Not understood: `define`, `template`, `block`, complex numbers.
"""

from __future__ import annotations

from wharf.cli.template_functions import FUNCTIONS, TemplateError, to_text, truth
from wharf.cli.template_lex import split, tokens

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Missing = Callable[[tuple[str, ...]], Any]
    Node = tuple[Any, ...]

MAX_DEPTH = 100


def fail_on_missing(path: tuple[str, ...]) -> Any:
    """The default for a key that is not there: Go's error for `missingkey=error`."""
    raise TemplateError(f'executing "" at <.{".".join(path)}>: map has no entry for key "{path[-1]}"')


class Template:
    """A parsed template; `execute` gives its text for one value."""

    def __init__(self, text: str) -> None:
        self._nodes = _Parser(text).parse()

    def execute(self, value: Any, missing: Missing = fail_on_missing) -> str:
        """The text for `value`; raises TemplateError with Go's wording."""
        run = _Run(value, missing)
        run.nodes(self._nodes, value)
        return "".join(run.out)


class _Parser:
    """Pieces to nodes: ("text", s), ("pipe", p), ("if"|"with", p, then, else), ("range", variables, p, body, else)."""

    def __init__(self, text: str) -> None:
        self._pieces = list(split(text))
        self._at = 0

    def parse(self) -> list[Node]:
        """All nodes; raises TemplateError."""
        nodes, ending = self._list(0)
        if ending:
            raise TemplateError(f":1: unexpected {{{{{ending}}}}}")
        return nodes

    def _list(self, depth: int) -> tuple[list[Node], str]:
        if depth > MAX_DEPTH:
            raise TemplateError(f":1: nested deeper than {MAX_DEPTH}")
        nodes: list[Node] = []
        while self._at < len(self._pieces):
            action, text = self._pieces[self._at]
            self._at += 1
            if not action:
                if text:
                    nodes.append(("text", text))
                continue
            if text.startswith("/*"):
                continue
            word, _, rest = text.partition(" ")
            if word in ("end", "else"):
                return nodes, text
            if word in ("if", "with", "range"):
                nodes.append(self._block(word, rest, depth))
            elif word in ("break", "continue"):
                nodes.append((word,))
            else:
                nodes.append(("pipe", _Pipeline(text).parse()))
        return nodes, ""

    def _block(self, word: str, head: str, depth: int) -> Node:
        pipeline = _Pipeline(head).parse()
        body, ending = self._list(depth + 1)
        other: list[Node] = []
        if ending.startswith("else"):
            rest = ending[4:].strip()
            if rest:
                inner, _, condition = rest.partition(" ")
                if inner not in ("if", "with"):
                    raise TemplateError(f":1: unexpected <{rest}> in else")
                return (word, pipeline, body, [self._block(inner, condition, depth + 1)])
            other, ending = self._list(depth + 1)
        if ending != "end":
            raise TemplateError(":1: unexpected EOF")
        return (word, pipeline, body, other)


class _Pipeline:
    """One pipeline: ([variables], ":=" or "=" or "", [commands]); a command is a list of operands."""

    def __init__(self, text: str) -> None:
        self._tokens = tokens(text)
        self._at = 0

    def _peek(self, skip: bool = True) -> str:
        while skip and self._at < len(self._tokens) and self._tokens[self._at][0] == "space":
            self._at += 1
        return self._tokens[self._at][0] if self._at < len(self._tokens) else ""

    def _next(self) -> tuple[str, Any]:
        self._peek()
        self._at += 1
        return self._tokens[self._at - 1]

    def parse(self, closing: str = "") -> Node:
        """The pipeline up to the end or to `closing`; raises TemplateError."""
        variables, assign = self._variables()
        commands = [self._command()]
        while self._peek() == "|":
            self._next()
            commands.append(self._command())
        if self._peek() != closing:
            raise TemplateError(":1: unexpected token in command" if self._peek() else ":1: unclosed left paren")
        return (variables, assign, commands)

    def _variables(self) -> tuple[list[str], str]:
        start, names = self._at, []
        while self._peek() == "variable":
            names.append(self._next()[1])
            if self._peek() == ",":
                self._next()
                continue
            if self._peek() in (":=", "="):
                return names, self._next()[0]
            break
        self._at = start
        return [], ""

    def _command(self) -> list[Node]:
        operands: list[Node] = []
        while self._peek() not in ("", "|", ")"):
            operands.append(self._operand())
        if not operands:
            raise TemplateError(":1: missing value for command")
        return operands

    def _operand(self) -> Node:
        kind, value = self._next()
        if kind == "(":
            node: Node = ("paren", self.parse(")"))
            self._next()
        elif kind == "field":
            node = ("field", (value,)) if value else ("dot",)
        elif kind == "variable":
            node = ("variable", value)
        elif kind == "value":
            node = ("value", value)
        elif kind == "name":
            if value not in FUNCTIONS and value not in ("true", "false", "nil"):
                raise TemplateError(f':1: function "{value}" not defined')
            node = ("name", value)
        else:
            raise TemplateError(f":1: unexpected <{kind}> in command")
        chain: tuple[str, ...] = ()
        while self._peek(skip=False) == "field":
            chain += (self._next()[1],)
        if not chain:
            return node
        return ("field", node[1] + chain) if node[0] == "field" else ("chain", node, chain)


class _Break(Exception):
    """`break` inside a range."""


class _Continue(Exception):
    """`continue` inside a range."""


class _Run:
    """One execution: output pieces and variables."""

    def __init__(self, root: Any, missing: Missing) -> None:
        self.out: list[str] = []
        self._variables: dict[str, Any] = {"$": root}
        self._missing = missing

    def nodes(self, nodes: list[Node], dot: Any) -> None:
        """Executes a list of nodes."""
        for node in nodes:
            kind = node[0]
            if kind == "text":
                self.out.append(node[1])
            elif kind == "pipe":
                value = self._pipe(node[1], dot)
                if not node[1][1]:
                    self.out.append(to_text(value))
            elif kind == "range":
                self._range(node, dot)
            elif kind == "break":
                raise _Break
            elif kind == "continue":
                raise _Continue
            else:
                value = self._pipe(node[1], dot)
                if truth(value):
                    self.nodes(node[2], value if kind == "with" else dot)
                else:
                    self.nodes(node[3], dot)

    def _range(self, node: Node, dot: Any) -> None:
        names, _, commands = node[1]
        value = self._pipe(([], "", commands), dot)
        if isinstance(value, dict):
            pairs: list[tuple[Any, Any]] = sorted(value.items())
        elif isinstance(value, int) and not isinstance(value, bool):
            pairs = [(index, index) for index in range(value)]
        elif isinstance(value, list | tuple):
            pairs = list(enumerate(value))
        elif value is None:
            pairs = []
        else:
            raise TemplateError(f'executing "": range can\'t iterate over {to_text(value)}')
        if not pairs:
            self.nodes(node[3], dot)
        for key, item in pairs:
            if len(names) == 1:
                self._variables[names[0]] = item
            elif len(names) == 2:
                self._variables[names[0]], self._variables[names[1]] = key, item
            try:
                self.nodes(node[2], item)
            except _Continue:
                continue
            except _Break:
                break

    def _pipe(self, pipeline: Node, dot: Any) -> Any:
        names, assign, commands = pipeline
        value: Any = None
        for index, command in enumerate(commands):
            value = self._command(command, dot, [value] if index else [])
        if assign:
            self._variables[names[0]] = value
        return value

    def _command(self, operands: list[Node], dot: Any, last: list[Any]) -> Any:
        first, *rest = operands
        if first[0] == "name" and first[1] in FUNCTIONS:
            arguments = [self._operand(operand, dot) for operand in rest] + last
            try:
                return FUNCTIONS[first[1]](*arguments)
            except TemplateError:
                raise
            except (TypeError, ValueError, IndexError, KeyError) as error:
                raise TemplateError(f'executing "" at <{first[1]}>: error calling {first[1]}: {error}') from None
        value = self._operand(first, dot)
        if callable(value):
            return value(*[self._operand(operand, dot) for operand in rest], *last)
        if rest or last:
            raise TemplateError('executing "": can\'t give argument to non-function')
        return value

    def _operand(self, node: Node, dot: Any) -> Any:
        kind = node[0]
        if kind == "dot":
            return dot
        if kind == "value":
            return node[1]
        if kind == "field":
            return self._field(dot, node[1])
        if kind == "variable":
            if node[1] not in self._variables:
                raise TemplateError(f':1: undefined variable "{node[1]}"')
            return self._variables[node[1]]
        if kind == "paren":
            return self._pipe(node[1], dot)
        if kind == "chain":
            return self._field(self._operand(node[1], dot), node[2])
        if node[1] in FUNCTIONS:
            raise TemplateError(
                f'executing "" at <{node[1]}>: wrong number of args for {node[1]}: want at least 1 got 0'
            )
        return {"true": True, "false": False, "nil": None}[node[1]]

    def _field(self, value: Any, path: tuple[str, ...]) -> Any:
        for index, name in enumerate(path):
            if isinstance(value, dict):
                value = value[name] if name in value else self._missing(path[: index + 1])
            elif value is None:
                raise TemplateError(
                    f'executing "" at <.{".".join(path)}>: nil pointer evaluating interface {{}}.{name}'
                )
            else:
                raise TemplateError(
                    f'executing "" at <.{".".join(path)}>: can\'t evaluate field {name} in type interface {{}}'
                )
        return value
