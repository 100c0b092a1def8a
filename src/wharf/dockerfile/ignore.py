"""`.dockerignore`: which paths of a context are left out.

Patterns are those of Go's filepath.Match, with `**` for any depth; a pattern that matches a directory means all below
it; `!` takes back; the last pattern that matches decides (moby/patternmatcher).
"""

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

from wharf.errors import Invalid
from wharf.spec.quote import go_quote

MAX_PATTERNS = 10_000
_GLOB = set("*?[\\")


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line; `regex` matches a whole path, or the path of a directory above it."""

    text: str
    takes_back: bool
    regex: re.Pattern[str]
    fixed: str
    """The part before the first special character: what an exception's path must begin with."""


def read_ignore(text: str) -> tuple[str, ...]:
    """The patterns of a file, cleaned; comments and empty lines dropped."""
    patterns = []
    for number, raw in enumerate(text.split("\n")):
        line = raw.removeprefix("\ufeff") if number == 0 else raw
        if line.startswith("#"):
            continue
        line = line.strip()
        if not line:
            continue
        mark = "!" if line.startswith("!") else ""
        path = line.removeprefix("!").strip()
        if path:
            clean = posixpath.normpath(path)
            path = clean.lstrip("/") if len(clean) > 1 and clean.startswith("/") else clean
        patterns.append(mark + path)
    return tuple(patterns)


class IgnoreRules:
    """Patterns as `read_ignore` gives them, ready to be asked."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """Raises Invalid for a pattern that cannot be."""
        self.patterns = tuple(_pattern(text) for text in patterns if text.strip())
        if len(self.patterns) > MAX_PATTERNS:
            raise Invalid(f"a .dockerignore of more than {MAX_PATTERNS} patterns")
        self.has_exceptions = any(pattern.takes_back for pattern in self.patterns)

    def ignored(self, path: str) -> bool:
        """Whether a path (relative, with slashes) is left out, by itself or by a directory above it."""
        out = False
        for pattern in self.patterns:
            if pattern.takes_back == out and pattern.regex.match(path):
                out = not pattern.takes_back
        return out

    def prunes(self, directory: str) -> bool:
        """Whether nothing below an ignored directory can be wanted, so that it need not be walked."""
        prefix = directory + "/"
        for pattern in self.patterns:
            if not pattern.takes_back:
                continue
            fixed = pattern.fixed
            if prefix.startswith(fixed) or fixed.startswith(prefix) or pattern.text.startswith("**"):
                return False
        return True


def _pattern(text: str) -> Pattern:
    takes_back = text.startswith("!")
    bare = text[1:] if takes_back else text
    if not bare:
        raise Invalid('illegal exclusion pattern: "!"')
    regex, fixed = _translate(posixpath.normpath(bare).removeprefix("/"))
    return Pattern(bare, takes_back, regex, fixed)


def _translate(glob: str) -> tuple[re.Pattern[str], str]:
    out, at = "", 0
    while at < len(glob):
        char = glob[at]
        at += 1
        if char == "*":
            if glob.startswith("*", at):
                at += 1
                if glob.startswith("/", at):
                    at += 1
                    out += "(?:.*/)?"
                else:
                    out += ".*"
            else:
                out += "[^/]*"
        elif char == "?":
            out += "[^/]"
        elif char == "[":
            piece, at = char_class(glob, at)
            out += piece
        elif char == "\\":
            if at == len(glob):
                raise Invalid(f"syntax error in pattern: {go_quote(glob)}")
            out += re.escape(glob[at])
            at += 1
        else:
            out += re.escape(char)
    end = next((n for n, char in enumerate(glob) if char in _GLOB), len(glob))
    return re.compile(out + r"(?:/.*)?\Z", re.DOTALL), glob[:end]


def char_class(glob: str, at: int) -> tuple[str, int]:
    """The regular expression of `[…]` whose inside begins at `at`, and where it ends; raises Invalid."""
    start = at
    negated = glob.startswith("^", at)
    at += negated
    items = ""
    while not (glob.startswith("]", at) and items):
        low, at = _class_char(glob, at, start)
        high = low
        if glob.startswith("-", at):
            high, at = _class_char(glob, at + 1, start)
        if high < low:
            return "(?!)", _class_end(glob, at, start)
        items += f"{re.escape(low)}-{re.escape(high)}"
    return f"(?!/)[{'^' if negated else ''}{items}]", at + 1


def _class_end(glob: str, at: int, start: int) -> int:
    end = glob.find("]", at)
    if end < 0:
        raise Invalid(f"syntax error in pattern: {go_quote(glob[start - 1 :])}")
    return end + 1


def _class_char(glob: str, at: int, start: int) -> tuple[str, int]:
    if glob.startswith("\\", at):
        at += 1
    elif at < len(glob) and glob[at] in "-]":
        raise Invalid(f"syntax error in pattern: {go_quote(glob[start - 1 :])}")
    if at >= len(glob):
        raise Invalid(f"syntax error in pattern: {go_quote(glob[start - 1 :])}")
    return glob[at], at + 1
