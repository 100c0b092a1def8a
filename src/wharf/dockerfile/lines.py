"""Text to logical lines: continuations joined, comments and empty lines dropped (Dockerfile reference, "Format")."""

from collections.abc import Iterator
from dataclasses import dataclass

from wharf.errors import Invalid

MAX_LINE = 65535
"""Bytes of a physical line, as BuildKit's scanner has it."""
ESCAPE = "\\"


@dataclass(frozen=True, slots=True)
class Line:
    """One instruction as it stands: its name in the writer's letters, the rest of the line, and where it began."""

    name: str
    rest: str
    number: int


def logical_lines(text: str, escape: str = ESCAPE) -> Iterator[Line]:
    """Each instruction of the text. Raises Invalid for a line that is too long."""
    held, start = "", 0
    for number, raw in enumerate(text.split("\n"), 1):
        if len(raw.encode("utf-8", "surrogateescape")) > MAX_LINE:
            raise Invalid(f"dockerfile line greater than max allowed size of {MAX_LINE}")
        line = raw.removesuffix("\r")
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        start = start or number
        stripped = line.rstrip(" \t")
        if stripped.endswith(escape) and not stripped.endswith(escape * 2):
            held += stripped[:-1]
            continue
        yield _split(held + line, start)
        held, start = "", 0
    if held.strip():
        yield _split(held, start)


def _split(text: str, number: int) -> Line:
    name, _, rest = text.strip().replace("\t", " ", 1).partition(" ")
    return Line(name, rest.strip(), number)
