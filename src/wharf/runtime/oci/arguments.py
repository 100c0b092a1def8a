"""The flags of the command line, in the grammar of Go programs: `--name value`, `--name=value`, `-n value`.

A verb's flags may stand before, between and behind its words, as in runc; those of `exec` and `ps` before the first
word only: what follows is another program's. Behind `--` there are no flags.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from wharf.errors import Invalid
from wharf.runtime.oci.errors import CommandFailed
from wharf.spec.quantities import parse_duration, parse_size

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


def parse(words: list[str], flags: Mapping[str, Flag], anywhere: bool = False) -> Parsed:
    """Flags up to the first word that is none, or wherever they are; raises CommandFailed."""
    parsed, rest = Parsed(), list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            break
        if word.startswith("-") and word != "-":
            _take(parsed, word, rest, flags)
            continue
        parsed.words.append(word)
        if not anywhere:
            break
    parsed.words += rest
    return parsed


def _take(parsed: Parsed, word: str, rest: list[str], flags: Mapping[str, Flag]) -> None:
    name, equals, value = word.lstrip("-").partition("=")
    name = next((long for long, flag in flags.items() if flag.short and flag.short == name), name)
    if name not in flags:
        raise CommandFailed(f"flag provided but not defined: -{name}")
    kind = flags[name].kind
    if kind != "bool" and not equals:
        if not rest:
            raise CommandFailed(f"flag needs an argument: -{name}")
        value = rest.pop(0)
    _store(parsed, name, kind, value)


def check_count(verb: str, words: list[str], least: int, most: int | None) -> None:
    """Refuse words that nobody would read, and say which are missing; in runc's words."""
    if least == most and len(words) != least:
        raise CommandFailed(f'"{verb}" requires exactly {least} argument(s)')
    if len(words) < least:
        raise CommandFailed(f'"{verb}" requires a minimum of {least} argument(s)')
    if most is not None and len(words) > most:
        raise CommandFailed(f'"{verb}" requires a maximum of {most} argument(s)')


def duration(text: str) -> float:
    """Seconds of a duration as Go has it, above 0: `1m30s`, `300ms`; raises CommandFailed."""
    try:
        nanoseconds = parse_duration(text)
    except Invalid as error:
        raise CommandFailed(error.message) from None
    if nanoseconds <= 0:
        raise CommandFailed("duration must be greater than 0")
    return nanoseconds / 1e9


def memory(name: str, text: str) -> int:
    """Bytes of `64m`, `1GiB`, `65536`; `-1` is unlimited; raises CommandFailed."""
    try:
        return parse_size(text)
    except Invalid as error:
        raise CommandFailed(f"invalid value for {name}: {error.message}") from None


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
