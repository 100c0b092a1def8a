"""The table of command lines, read from `lines/*.lines`.

A file is a list of scenarios; each has its own containers, volumes and scratch directory:

    == name of the scenario
    docker run --rm box:1 true              a line of the docker command line, split as a shell would
    docker run -i box:1 cat ## stdin=a\\nb   what follows ` ## ` says how to run or compare it
    & docker logs -f web                    started in the background; `join` waits for it and gives its answer
    file env A=1\\nB=2                       writes a file in the scratch directory
    read out/motd                           its answer is the text of a file there
    api GET /containers/x/json              a request to the API, with a body of JSON behind the path if there is one
    tar image.tar                           its answer is the sorted names in an archive there
    sleep 1.1                               where the time itself is what is asked for

In a line {tmp} is the scratch directory, {start} the time at which the scenario began and {now} the time at which
the line begins, both in seconds with nine decimals; {host} is the engine's address, {registry} that of a registry
which both see (`bob` with the password `bob-secret` may push and pull).

Directives: `stdin=TEXT`; `tty` (the client gets a terminal); `sorted` (the order of stdout's lines is free);
`json` (compare the set of keys and the types, not the values);
`lines=N` (of an answer of the API that goes on: the first N); `classic` (what a build tells of the ids of its steps
and of their containers is left out).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

LINES = Path(__file__).parent / "lines"
_COMPARING = ("sorted", "json", "classic")
"""Directives that change nothing of how a line is run."""


@dataclass(frozen=True)
class Line:
    """One line of the table; `text` is all of it."""

    text: str
    verb: str
    words: tuple[str, ...]
    background: bool = False
    directives: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What a recording is found by: the line without the directives that only compare."""
        body, _, tail = self.text.partition(" ## ")
        kept = [word for word in tail.split(" ; ") if word.strip() not in ("", *_COMPARING)]
        return " ## ".join([body.rstrip(), " ; ".join(kept)]) if kept else body.rstrip()


@dataclass(frozen=True)
class Scenario:
    """Lines that run in order on the same engine."""

    name: str
    lines: tuple[Line, ...]


def parse_line(text: str) -> Line:
    """A line of a file; ValueError when it has no known verb."""
    body, _, tail = text.partition(" ## ")
    directives = {}
    for word in tail.split(" ; ") if tail else ():
        key, _, value = word.strip().partition("=")
        directives[key] = value.encode().decode("unicode_escape")
    background = body.startswith("& ")
    body = body.removeprefix("& ").strip()
    verb, _, rest = body.partition(" ")
    if verb not in ("docker", "api", "file", "read", "tar", "sleep", "join"):
        raise ValueError(f"{text!r}: unknown verb {verb}")
    match verb:
        case "file":
            words = tuple(rest.split(" ", 1))
        case "api":
            words = tuple(rest.split(" ", 2))
        case _:
            words = tuple(shlex.split(rest))
    return Line(text, verb, words, background, directives)


def parse(text: str) -> Iterator[Scenario]:
    """The scenarios of one file."""
    name, lines = "", list[Line]()
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("== "):
            if name:
                yield Scenario(name, tuple(lines))
            name, lines = line[3:].strip(), []
        else:
            lines.append(parse_line(line))
    if name:
        yield Scenario(name, tuple(lines))


def scenarios() -> list[Scenario]:
    """All of them, by file name and place; ValueError when two have the same name."""
    found = [scenario for path in sorted(LINES.glob("*.lines")) for scenario in parse(path.read_text())]
    names = [scenario.name for scenario in found]
    if len(set(names)) != len(names):
        raise ValueError(f"scenarios named twice: {sorted({n for n in names if names.count(n) > 1})}")
    return found
