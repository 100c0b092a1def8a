"""Text to statements: continuations joined, comments dropped, here-documents gathered, flags and arguments parted.

What BuildKit's parser does line by line (frontend/dockerfile/parser), with its limits and words.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from wharf.dockerfile.directives import Directives, read_directives
from wharf.dockerfile.forms import exec_form
from wharf.dockerfile.heredoc import Heredoc, heredocs_of
from wharf.dockerfile.position import Lines, UnreadableDockerfile

MAX_STATEMENTS = 200_000
MAX_LINE = 65535
"""Bytes of a physical line."""
MAX_BYTES = 16 << 20
"""Bytes of a Dockerfile: far above any that people write, far below what would hurt."""
_BLANKS = re.compile(r"[\t\v\f\r ]+")
_HEREDOC_TAKERS = ("add", "copy", "run")


@dataclass(frozen=True, slots=True)
class Statement:
    """One instruction as it stands.

    `name` in the writer's letters; `flags` with their dashes; `rest` the arguments as text; `original` the joined
    line; `comments` those right above it, for descriptions and `# check=` of one instruction.
    """

    name: str
    flags: tuple[str, ...]
    rest: str
    original: str
    lines: Lines
    heredocs: tuple[Heredoc, ...] = ()
    comments: tuple[str, ...] = ()
    empty_continuation: bool = False


@dataclass(frozen=True, slots=True)
class Document:
    """A whole file."""

    directives: Directives
    statements: tuple[Statement, ...]


def read_document(text: str) -> Document:
    """Parse a file's text; raises UnreadableDockerfile with the line."""
    if len(text) > MAX_BYTES:
        raise UnreadableDockerfile(f"the Dockerfile is larger than {MAX_BYTES} bytes")
    physical = text.removeprefix("\ufeff").split("\n")
    if physical and not physical[-1]:
        physical.pop()
    _check_lines(physical)
    directives = read_directives(physical)
    found = tuple(islice(_Reader(physical, directives.escape).statements(directives.end), MAX_STATEMENTS + 1))
    if len(found) > MAX_STATEMENTS:
        raise UnreadableDockerfile(f"the Dockerfile has more than {MAX_STATEMENTS} instructions", found[-1].lines)
    if not found:
        raise UnreadableDockerfile("file with no instructions", Lines(len(physical), len(physical)))
    return Document(directives, found)


def read_statements(text: str, escape: str = "\\") -> tuple[Statement, ...]:
    """Instructions of a text without directives (`--change`, a trigger of ONBUILD); may be none."""
    physical = text.split("\n")
    _check_lines(physical)
    return tuple(_Reader(physical, escape).statements(0))


def _check_lines(physical: list[str]) -> None:
    for number, line in enumerate(physical, 1):
        if len(line) * 4 > MAX_LINE and len(line.encode("utf-8", "surrogateescape")) > MAX_LINE:
            raise UnreadableDockerfile(
                f"dockerfile line greater than max allowed size of {MAX_LINE}", Lines(number, number)
            )


class _Reader:
    """One pass over the physical lines."""

    def __init__(self, physical: list[str], escape: str) -> None:
        self._lines = physical
        self._escape = escape
        mark = re.escape(escape)
        self._continued = re.compile(rf"([^{mark}]){mark}[ \t]*\Z|\A{mark}[ \t]*\Z")
        self._at = 0

    def statements(self, start: int) -> Iterator[Statement]:
        self._at = start
        comments: list[str] = []
        while self._at < len(self._lines):
            line = self._lines[self._at].rstrip("\r").lstrip()
            if line.startswith("#"):
                note = line[1:].strip()
                if note:
                    comments.append(note)
                else:
                    comments = []
                self._at += 1
            elif not line:
                comments = []
                self._at += 1
            else:
                yield self._statement(line, tuple(comments))
                comments = []

    def _statement(self, line: str, comments: tuple[str, ...]) -> Statement:
        first = self._at + 1
        self._at += 1
        parts = [line]
        empty = False
        while (cut := self._cut(parts[-1])) is not None:
            parts[-1] = cut
            following = self._continuation()
            if following is None:
                break
            text, skipped = following
            empty = empty or skipped
            parts.append(text)
        joined = "".join(parts)
        name, flags, rest = split_statement(joined, self._escape)
        docs = self._heredocs(name, rest, joined, first)
        return Statement(name, flags, rest, joined, Lines(first, self._at), docs, comments, empty)

    def _cut(self, line: str) -> str | None:
        """The line without its continuation mark; None where it has none."""
        match = self._continued.search(line)
        return line[: match.start()] + (match.group(1) or "") if match else None

    def _continuation(self) -> tuple[str, bool] | None:
        """The next line that is neither comment nor empty, and whether an empty one was skipped."""
        skipped = False
        while self._at < len(self._lines):
            line = self._lines[self._at].rstrip("\r")
            self._at += 1
            bare = line.lstrip()
            if bare.startswith("#"):
                continue
            if not bare:
                skipped = True
                continue
            return line, skipped
        return ("", True) if skipped else None

    def _heredocs(self, name: str, rest: str, joined: str, first: int) -> tuple[Heredoc, ...]:
        taker = name.lower()
        if taker == "onbuild":
            taker, _, rest = split_statement(rest, self._escape)
            taker = taker.lower()
        if taker not in _HEREDOC_TAKERS or "<<" not in joined:
            return ()
        if rest.startswith("[") and exec_form(rest) is not None:
            return ()
        return tuple(self._fill(doc, first) for doc in heredocs_of(joined))

    def _fill(self, doc: Heredoc, first: int) -> Heredoc:
        body: list[str] = []
        while self._at < len(self._lines):
            line = self._lines[self._at]
            self._at += 1
            bare = line.rstrip("\r")
            if (bare.lstrip("\t") if doc.chomp else bare) == doc.name:
                return doc.filled("".join(body))
            body.append(line + "\n")
        raise UnreadableDockerfile("unterminated heredoc", Lines(first, self._at))


def split_statement(joined: str, escape: str) -> tuple[str, tuple[str, ...], str]:
    """(name, flags, arguments) of a joined line."""
    parts = _BLANKS.split(joined.strip(), maxsplit=1)
    if len(parts) == 1:
        return parts[0], (), ""
    flags, at = _flags(parts[1], escape)
    return parts[0], flags, parts[1][at:].strip()


def _flags(line: str, escape: str) -> tuple[tuple[str, ...], int]:
    """Leading words that begin with `--`, unquoted, and where the arguments begin."""
    found: list[str] = []
    at = 0
    while True:
        while at < len(line) and line[at].isspace():
            at += 1
        if not line.startswith("--", at):
            return tuple(found), at
        word, at, quoted = _flag_word(line, at, escape)
        if word == "--" and not quoted:
            return tuple(found), at
        found.append(word)


def _flag_word(line: str, at: int, escape: str) -> tuple[str, int, bool]:
    word, quote, quoted = "", "", False
    while at < len(line):
        char = line[at]
        if not quote and char.isspace():
            break
        at += 1
        if quote and char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote, quoted = char, True
        elif char == escape:
            word += line[at : at + 1]
            at += 1
        else:
            word += char
    return word, at, quoted
