"""Words of an instruction: quotes, escapes and `$variables`, as BuildKit's shell lexer reads them.

Two steps, as there: `split_words` cuts a line at unquoted blanks and keeps the quotes; `expand` removes them and puts
variables in, so that a value with blanks stays one word.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from wharf.dockerfile.glob_pattern import replaced, without_prefix, without_suffix
from wharf.errors import Invalid
from wharf.spec.quote import go_quote

_NAME = re.compile(r"[^\W\d]\w*|\d+|[@*#?\-$!]")
MAX_DEPTH = 16
MAX_EXPANDED = 1 << 20
"""Characters of one expanded word: variables that hold variables can double with every line."""
_PLAIN = re.compile(r"[^'\"$\\`]*")
"""Words in which nothing is to be replaced."""


@dataclass(frozen=True, slots=True)
class Expansion:
    """A word expanded; `used` and `missing` are the names of variables that it asked for."""

    text: str
    used: frozenset[str]
    missing: frozenset[str]


def split_words(text: str, escape: str = "\\") -> list[str]:
    """Words with their quotes and escapes still on."""
    words, word, quote, position = [], "", "", 0
    while position < len(text):
        char = text[position]
        if char == escape and quote != "'" and position + 1 < len(text):
            word += text[position : position + 2]
            position += 2
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char.isspace():
            if word:
                words.append(word)
            word, position = "", position + 1
            continue
        word += char
        position += 1
    return [*words, word] if word else words


def expand(text: str, values: Mapping[str, str], escape: str = "\\") -> str:
    """The word without quotes and escapes, variables replaced; raises Invalid for a malformed substitution."""
    return expand_word(text, values, escape).text


def expand_word(text: str, values: Mapping[str, str], escape: str = "\\", *, quotes: bool = True) -> Expansion:
    """As `expand`, with the names it met; without `quotes` (here-documents) these stand for themselves."""
    if len(text) <= MAX_EXPANDED and _PLAIN.fullmatch(text):
        return Expansion(text, frozenset(), frozenset())
    expander = _Expander(text, values, escape, quotes)
    try:
        out = expander.word("", raw=False)
    except Invalid as error:
        raise Invalid(f"failed to process {go_quote(text)}: {error.message}") from None
    return Expansion(out, frozenset(expander.used), frozenset(expander.missing))


def unquote(text: str, escape: str = "\\") -> str:
    """The word without quotes and escapes; a dollar stands for itself."""
    return _Expander(text, {}, escape, True, dollars=False).word("", raw=False)


class _Expander:
    """One pass over one word."""

    def __init__(
        self, text: str, values: Mapping[str, str], escape: str, quotes: bool, *, dollars: bool = True
    ) -> None:
        self._text = text
        self._values = values
        self._escape = escape
        self._quotes = quotes
        self._dollars = dollars
        self._depth = 0
        self._at = 0
        self.used: set[str] = set()
        self.missing: set[str] = set()

    def word(self, end: str, *, raw: bool) -> str:
        """Up to an unquoted `end`, or the whole text; `raw` keeps escapes, for patterns."""
        out: list[str] = []
        size = 0
        while self._at < len(self._text):
            char = self._text[self._at]
            self._at += 1
            if end and char == end:
                return "".join(out)
            piece = self._piece(char, raw)
            size += len(piece)
            if size > MAX_EXPANDED:
                raise Invalid(f"the word is longer than {MAX_EXPANDED} characters after expansion")
            out.append(piece)
        if end:
            raise Invalid("syntax error: missing '}'" if end == "}" else "syntax error: missing '/' in ${}")
        return "".join(out)

    def _piece(self, char: str, raw: bool) -> str:
        if char == "'" and self._quotes:
            return self._until_single_quote()
        if char == '"' and self._quotes:
            return self._double_quoted()
        if char == "$" and self._dollars:
            return self._variable()
        if char == self._escape:
            escaped = self._text[self._at : self._at + 1]
            self._at += 1
            return (char if raw else "") + escaped
        return char

    def _until_single_quote(self) -> str:
        end = self._text.find("'", self._at)
        if end < 0:
            raise Invalid("unexpected end of statement while looking for matching single-quote")
        out, self._at = self._text[self._at : end], end + 1
        return out

    def _double_quoted(self) -> str:
        out = ""
        while self._at < len(self._text):
            char = self._text[self._at]
            self._at += 1
            if char == '"':
                return out
            if char == "$" and self._dollars:
                out += self._variable()
            elif char == self._escape:
                following = self._text[self._at : self._at + 1]
                if following in ('"', "$", self._escape):
                    out += following
                    self._at += 1
                elif following:
                    out += char
            else:
                out += char
        raise Invalid("unexpected end of statement while looking for matching double-quote")

    def _variable(self) -> str:
        if self._text[self._at : self._at + 1] == "{":
            self._at += 1
            return self._braced()
        name = self._name()
        return self._get(name) or "" if name else "$"

    def _get(self, name: str) -> str | None:
        value = self._values.get(name)
        (self.missing if value is None else self.used).add(name)
        return value

    def _name(self) -> str:
        match = _NAME.match(self._text, self._at)
        if match is None:
            return ""
        self._at = match.end()
        return match.group()

    def _braced(self) -> str:
        following = self._text[self._at : self._at + 1]
        if not following:
            raise Invalid("syntax error: missing '}'")
        name = "" if following in "{}:" else self._name()
        if not name:
            raise Invalid("syntax error: bad substitution")
        mark = self._next()
        if not mark:
            raise Invalid("syntax error: missing '}'")
        if mark == "}":
            return self._get(name) or ""
        if mark == "/":
            return self._replacement(name)
        colon = mark == ":"
        if colon:
            mark = self._next()
            if not mark:
                raise Invalid("syntax error: missing '}'")
        if not mark or mark not in ("-+?" if colon else "-+?#%"):
            raise Invalid(f"unsupported modifier ({':' if colon else ''}{mark}) in substitution")
        word = self._nested("}", raw=mark in "#%")
        return self._modified(name, mark, word, colon)

    def _next(self) -> str:
        char = self._text[self._at : self._at + 1]
        self._at += 1
        return char

    def _modified(self, name: str, mark: str, word: str, colon: bool) -> str:
        value = self._get(name)
        if mark in "#%":
            longest = word.startswith(mark)
            cut = without_prefix if mark == "#" else without_suffix
            return cut(word[1:] if longest else word, value or "", longest=longest)
        unset = not value if colon else value is None
        if mark == "+":
            return "" if unset else word
        if unset and mark == "?":
            raise Invalid(f"{name}: {word or 'is not allowed to be ' + ('unset' if value is None else 'empty')}")
        return word if unset else value or ""

    def _replacement(self, name: str) -> str:
        every = self._text[self._at : self._at + 1] == "/"
        self._at += every
        pattern = self._nested("/", raw=True)
        new = self._nested("}", raw=True)
        return replaced(pattern, self._get(name) or "", new, every=every)

    def _nested(self, end: str, *, raw: bool) -> str:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Invalid("syntax error: bad substitution: nested too deep")
        word = self.word(end, raw=raw)
        self._depth -= 1
        return word
