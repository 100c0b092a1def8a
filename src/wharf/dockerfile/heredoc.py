"""Here-documents in RUN, COPY and ADD: `<<EOF`, `<<-EOF`, `<<"EOF"`, several in one instruction."""

import re
from dataclasses import dataclass, replace

from wharf.dockerfile.words import split_words, unquote

_WORD = re.compile(r"(\d*)<<(-?)\s*([^<]*)\Z")
_SPACED = re.compile(r"(<<-?)[ \t]+(?=[^\s<])")
_SHELL_MARKS = set("()&;|`$")
"""What no delimiter holds: `$((1 << 2))` shifts."""
_LEADING_TABS = re.compile(r"^\t+", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Heredoc:
    """`content` as written, its terminator not included; `expand` unless a part of the delimiter was quoted."""

    name: str
    content: str
    expand: bool
    chomp: bool
    descriptor: int

    def filled(self, content: str) -> "Heredoc":
        """The same with its body."""
        return replace(self, content=content)

    def text(self) -> str:
        """The body as it is used: without leading tabs after `<<-`."""
        return _LEADING_TABS.sub("", self.content) if self.chomp else self.content


def parse_heredoc(word: str) -> Heredoc | None:
    """The here-document that one word asks for, still empty; None for another word."""
    match = _WORD.match(word)
    if match is None or not match.group(3):
        return None
    raw = match.group(3)
    if len(split_words(raw)) != 1:
        return None
    name = unquote(raw.strip())
    if not name or _SHELL_MARKS & set(raw):
        return None
    return Heredoc(name, "", not any(quote in raw for quote in "'\""), match.group(2) == "-", int(match.group(1) or 0))


def heredocs_of(line: str) -> list[Heredoc]:
    """Those a joined line asks for, in their order."""
    words = split_words(_SPACED.sub(r"\1", line))
    return [doc for doc in map(parse_heredoc, words) if doc is not None]
