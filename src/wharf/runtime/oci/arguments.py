"""The flags of the command line, in the grammar of Go programs: `--name value`, `--name=value`, `-n value`.

A verb's flags may stand before its first word only; what follows belongs to the verb (or to the program of an exec).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from wharf.runtime.oci.errors import CommandFailed

_TRUE, _FALSE = ("", "true", "1", "t"), ("false", "0", "f")


@dataclass(frozen=True, slots=True)
class Flag:
    """`kind`: bool, text, number or list; `short` is one letter or nothing."""

    kind: str = "text"
    short: str = ""


@dataclass(slots=True)
class Parsed:
    """The flags that were given and the words behind them."""

    values: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)

    def text(self, name: str, default: str = "") -> str:
        """A flag's value."""
        return self.values.get(name, default)

    def on(self, name: str) -> bool:
        """Whether a bool flag is set."""
        return self.values.get(name) == "true"

    def number(self, name: str, default: int = 0) -> int:
        """A flag's value as a number."""
        return int(self.values[name]) if name in self.values else default

    def many(self, name: str) -> list[str]:
        """All values of a flag that may be repeated."""
        return self.lists.get(name, [])


def parse(words: list[str], flags: Mapping[str, Flag]) -> Parsed:
    """Flags up to the first word that is none, or `--`; raises CommandFailed."""
    parsed, rest = Parsed(), list(words)
    shorts = {flag.short: name for name, flag in flags.items() if flag.short}
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        name, equals, value = word.lstrip("-").partition("=")
        name = shorts.get(name, name)
        if name not in flags:
            raise CommandFailed(f"flag provided but not defined: -{name}")
        kind = flags[name].kind
        if kind != "bool" and not equals:
            if not rest:
                raise CommandFailed(f"flag needs an argument: -{name}")
            value = rest.pop(0)
        _store(parsed, name, kind, value)
    parsed.words = rest
    return parsed


def _store(parsed: Parsed, name: str, kind: str, value: str) -> None:
    if kind == "list":
        parsed.lists.setdefault(name, []).append(value)
        return
    if kind == "bool":
        if value.lower() not in (*_TRUE, *_FALSE):
            raise CommandFailed(f'invalid boolean value "{value}" for -{name}')
        value = "true" if value.lower() in _TRUE else "false"
    elif kind == "number" and not value.lstrip("-").isdecimal():
        raise CommandFailed(f'invalid value "{value}" for flag -{name}: not a number')
    parsed.values[name] = value
