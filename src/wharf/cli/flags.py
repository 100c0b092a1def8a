"""Command lines in docker's grammar (spf13/pflag): a table of flags, one small parser, usage and help from the table.

A flag is `(long, short, kind, help)`. Kinds: `bool`; text: `string`; numbers: `int`, `uint`; `duration` (nanoseconds),
`bytes` (1024s), `decimal` (a rational number in thousand-millionths); `list` (repeatable). A kind may be preceded by
a name for the help: `bytes`, `list:filter`. A table may bring its own checks for a flag's value.
"""

from __future__ import annotations

import os

from wharf.cli import units
from wharf.errors import WharfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Check = Callable[[str], Any]

Flag = tuple[str, str, str, str]
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
ANY = -1


class UsageError(WharfError):
    """A wrong command line: the text is complete, the status is what docker exits with."""

    def __init__(self, message: str, status: int = 125) -> None:
        super().__init__(message)
        self.status = status


class HelpWanted(WharfError):
    """`--help` stood on the command line: the message is the help, for standard output."""


class Command:
    """One verb: what it is called, its flags and how many operands it takes."""

    __slots__ = (
        "aliases",
        "checks",
        "example",
        "flags",
        "interspersed",
        "maximum",
        "minimum",
        "name",
        "summary",
        "usage",
    )

    def __init__(
        self,
        name: str,
        usage: str,
        summary: str,
        flags: tuple[Flag, ...] = (),
        *,
        operands: tuple[int, int] = (0, 0),
        interspersed: bool = True,
        checks: Mapping[str, Check] | None = None,
        example: str = "",
        aliases: str = "",
    ) -> None:
        self.name = name
        self.usage = usage
        self.summary = summary
        self.flags = flags
        self.minimum, self.maximum = operands
        self.interspersed = interspersed
        self.checks = checks or {}
        self.example = example
        self.aliases = aliases

    def usage_line(self) -> str:
        """`Usage:  wharf run [OPTIONS] IMAGE …`."""
        return f"Usage:  wharf {self.name}{' ' + self.usage if self.usage else ''}"

    def error(self, message: str, status: int = 125) -> UsageError:
        """A wrong flag or value as docker reports it."""
        return UsageError(
            f"{message}\n\n{self.usage_line()}\n\nRun 'wharf {self.name} --help' for more information", status
        )

    def parse(self, args: list[str]) -> tuple[dict[str, Any], list[str]]:
        """Values of the flags that were given, by long name, and the operands; raises UsageError or HelpWanted."""
        values, operands = _Parse(self).run(args)
        count = len(operands)
        if count < self.minimum or (self.maximum != ANY and count > self.maximum):
            raise self._count_error()
        return values, operands

    def _count_error(self) -> UsageError:
        low, high = self.minimum, self.maximum
        see = "See" if high == ANY else "Run"
        if high == 0:
            text = "accepts no arguments"
        elif high not in (ANY, low):
            text = (
                f"requires at most {high} {_arguments(high)}"
                if not low
                else (f"requires at least {low} and at most {high} arguments")
            )
        else:
            text = f"requires {'at least ' if high == ANY else ''}{low} {_arguments(low)}"
        name = f"wharf {self.name}"
        return UsageError(
            f"wharf: '{name}' {text}\n\n{self.usage_line()}\n\n{see} '{name} --help' for more information", 1
        )

    def help(self) -> str:
        """The whole help text."""
        parts = [self.usage_line(), self.summary]
        if self.aliases:
            parts.append(f"Aliases:\n  {self.aliases}")
        if self.flags:
            parts.append("Options:\n" + _flag_lines(self.flags))
        if self.example:
            parts.append("Example:\n  " + self.example)
        return "\n\n".join(parts) + "\n"


def _arguments(count: int) -> str:
    return "argument" if count == 1 else "arguments"


class _Parse:
    """One run of the parser over one command line."""

    def __init__(self, command: Command) -> None:
        self._command = command
        self._long = {flag[0]: flag for flag in command.flags}
        self._short = {flag[1]: flag for flag in command.flags if flag[1]}
        self._values: dict[str, Any] = {}

    def run(self, args: list[str]) -> tuple[dict[str, Any], list[str]]:
        operands: list[str] = []
        left = list(args)
        while left:
            word = left.pop(0)
            if word == "--":
                operands += left
                break
            if word.startswith("--"):
                self._take_long(word, left)
            elif word.startswith("-") and len(word) > 1:
                self._take_shorts(word, left)
            else:
                operands.append(word)
                if not self._command.interspersed:
                    operands += left
                    break
        return self._values, operands

    def _take_long(self, word: str, left: list[str]) -> None:
        name, equals, value = word[2:].partition("=")
        if not name or name.startswith("-"):
            raise self._command.error(f"bad flag syntax: {word}")
        flag = self._long.get(name)
        if flag is None:
            if name == "help":
                raise HelpWanted(self._command.help())
            raise self._command.error(f"unknown flag: --{name}")
        if equals:
            self._set(flag, value)
        elif flag[2] == "bool":
            self._set(flag, "true")
        elif left:
            self._set(flag, left.pop(0))
        else:
            raise self._command.error(f"flag needs an argument: --{name}")

    def _take_shorts(self, word: str, left: list[str]) -> None:
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            flag = self._short.get(letter)
            if flag is None:
                if letter == "h":
                    raise HelpWanted(self._command.help())
                raise self._command.error(f"unknown shorthand flag: '{letter}' in {word}")
            if letters.startswith("="):
                self._set(flag, letters[1:])
                return
            if flag[2] == "bool":
                self._set(flag, "true")
            elif letters:
                self._set(flag, letters)
                return
            elif left:
                self._set(flag, left.pop(0))
            else:
                raise self._command.error(f"flag needs an argument: '{letter}' in {word}")

    def _set(self, flag: Flag, text: str) -> None:
        name, short, kind, _ = flag
        kind = kind.partition(":")[0]
        try:
            value = _convert(kind, text)
            if name in self._command.checks:
                value = self._command.checks[name](text)
        except ValueError as error:
            shown = f"-{short}, --{name}" if short else f"--{name}"
            raise self._command.error(f'invalid argument "{text}" for "{shown}" flag: {error}') from None
        if kind == "list":
            self._values.setdefault(name, []).append(value)
        else:
            self._values[name] = value


def _convert(kind: str, text: str) -> Any:
    if kind == "bool":
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
        raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')
    if kind in ("int", "uint"):
        return _integer(kind, text)
    if kind == "duration":
        return units.parse_duration(text)
    if kind == "bytes":
        return -1 if text == "-1" else units.parse_ram(text)
    if kind == "decimal":
        return _nano(text)
    return text


def _integer(kind: str, text: str) -> int:
    try:
        value = int(text, 0)
    except ValueError:
        value = None
    function = "ParseInt" if kind == "int" else "ParseUint"
    if value is None or (kind == "uint" and value < 0):
        raise ValueError(f'strconv.{function}: parsing "{text}": invalid syntax')
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError(f'strconv.{function}: parsing "{text}": value out of range')
    return value


def _nano(text: str) -> int:
    """`1.5` in thousand-millionths, exactly: docker parses it as a rational number."""
    whole, _, fraction = text.partition(".")
    if not (whole + fraction).isdigit() or not (whole + fraction).isascii():
        raise ValueError(f"failed to parse {text} as a rational number")
    if len(fraction.rstrip("0")) > 9:
        raise ValueError("value is too precise")
    return int(whole or "0") * 10**9 + int((fraction + "0" * 9)[:9])


def _flag_lines(flags: tuple[Flag, ...]) -> str:
    rows = []
    for long, short, kind, text in sorted(flags):
        shown = kind.partition(":")[2] or kind
        name = (f"  -{short}, " if short else "      ") + f"--{long}"
        rows.append((name if kind == "bool" else f"{name} {shown}", text))
    width = max(len(name) for name, _ in rows) + 3
    return "\n".join(_wrapped(name.ljust(width), text, width) for name, text in rows)


def _wrapped(start: str, text: str, indent: int) -> str:
    try:
        columns = os.get_terminal_size(1).columns
    except OSError:
        columns = 80
    room = max(columns - indent, 24)
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > room:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    lines.append(line)
    return start + ("\n" + " " * indent).join(lines)
