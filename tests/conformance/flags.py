"""Which flags of docker the lines of the table use, and which have none and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tests.conformance.table import Line
from tests.support.docker_flags import Flag, docker_flags

ALIASES = {
    "container ls": "ps",
    "container ps": "ps",
    "image ls": "images",
    "image rm": "rmi",
    "image build": "build (legacy)",
    "build": "build (legacy)",
    "system events": "events",
    "system info": "info",
}
"""Other names of a command; `container X` and `image X` are X where that exists. The table builds without BuildKit."""
OWN_FLAGS = ("container inspect", "image inspect", "container prune", "image prune")
STOPS_AT_OPERAND = ("run", "create", "exec")
"""What follows the first word that is no flag belongs to the container."""

_BUILDX = "buildx has it, not the daemon's builder; tests/conformance/builds compares what BuildKit makes"
WITHOUT = {
    **{f"builder du --{flag}": _BUILDX for flag in ("builder", "debug", "filter", "format", "verbose")},
    **{
        f"builder prune --{flag}": _BUILDX
        for flag in ("builder", "debug", "max-used-space", "min-free-space", "reserved-space", "verbose")
    },
}
"""Flags without a line."""
WITHOUT_COMMAND = {
    "image build": _BUILDX,
    "trust": "content trust speaks to a Notary server of its own and asks the daemon for nothing",
}


def command_of(words: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The command as the table of flags names it, and what follows; ("", …) for one that it has not."""
    known = docker_flags()
    two = " ".join(words[:2])
    if two in ALIASES:
        return ALIASES[two], words[2:]
    if two in OWN_FLAGS:
        return two, words[2:]
    if words[:1] in (("container",), ("image",)) and words[1:2]:
        return command_of(words[1:])
    if two in known:
        return two, words[2:]
    one = ALIASES.get(words[0], words[0]) if words else ""
    return (one, words[1:]) if one in known else ("", words)


def used(lines: Iterable[Line]) -> set[str]:
    """`command --flag` for each flag that a line uses."""
    found: set[str] = set()
    for line in lines:
        if line.verb == "docker":
            found |= set(_of_line(line.words))
    return found


def _of_line(words: tuple[str, ...]) -> Iterator[str]:
    known = docker_flags()
    before, rest = _flags(known["docker"], words, stop=True)
    yield from (f"docker --{flag}" for flag in before)
    command, rest = command_of(rest)
    if command:
        flags, _ = _flags(known[command], rest, stop=command in STOPS_AT_OPERAND)
        yield from (f"{command} --{flag}" for flag in flags)


def _flags(known: dict[str, Flag], words: tuple[str, ...], *, stop: bool) -> tuple[list[str], tuple[str, ...]]:
    """Long names of the flags in `words`, by pflag's rules, and the operands."""
    letters = {flag.short: name for name, flag in known.items() if flag.short}
    found, left, at = [], list[str](), 0
    while at < len(words):
        word = words[at]
        at += 1
        if word == "--":
            break
        if word.startswith("--"):
            name, equals, _ = word[2:].partition("=")
            if name in known:
                found.append(name)
                at += known[name].value and not equals
        elif word.startswith("-") and word != "-":
            for place, letter in enumerate(word[1:], 2):
                if letter not in letters:
                    break
                found.append(letters[letter])
                if known[letters[letter]].value:
                    at += place == len(word)
                    break
        elif stop:
            return found, words[at - 1 :]
        else:
            left.append(word)
    return found, (*left, *words[at:])
