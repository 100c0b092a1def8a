"""Words of an instruction: quotes, escapes and `$variables`, as BuildKit's shell lexer reads them.

Two steps, as there: `split_words` cuts a line at unquoted blanks and keeps the quotes; `expand` removes them and puts
variables in, so that a value with blanks stays one word.
"""

import re
from collections.abc import Mapping

from wharf.errors import Invalid

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SPECIAL = "@*#?-$!0123456789"
_BLANK = " \t\n\v\f\r"
MAX_DEPTH = 16


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
        elif char in _BLANK:
            if word:
                words.append(word)
            word, position = "", position + 1
            continue
        word += char
        position += 1
    return [*words, word] if word else words


def expand(text: str, values: Mapping[str, str], escape: str = "\\") -> str:
    """The word without quotes and escapes, variables replaced; raises Invalid for a malformed substitution."""
    return _Expander(text, values, escape, 0).word("")


class _Expander:
    """One pass over one word; nested for the words inside `${…}`."""

    def __init__(self, text: str, values: Mapping[str, str], escape: str, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise Invalid("bad substitution: nested too deep")
        self._text = text
        self._values = values
        self._escape = escape
        self._depth = depth
        self._at = 0

    def word(self, end: str) -> str:
        """Up to an unquoted `end`, or the whole text."""
        out = ""
        while self._at < len(self._text):
            char = self._text[self._at]
            if end and char == end:
                return out
            self._at += 1
            if char == "'":
                out += self._until_single_quote()
            elif char == '"':
                out += self._double_quoted()
            elif char == "$":
                out += self._variable()
            elif char == self._escape:
                out += self._text[self._at : self._at + 1]
                self._at += 1
            else:
                out += char
        if end:
            raise Invalid("syntax error: missing '}'")
        return out

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
            if char == "$":
                out += self._variable()
            elif char == self._escape and self._text[self._at : self._at + 1] in ('"', "$", self._escape):
                out += self._text[self._at]
                self._at += 1
            else:
                out += char
        raise Invalid("unexpected end of statement while looking for matching double-quote")

    def _variable(self) -> str:
        if self._text[self._at : self._at + 1] == "{":
            self._at += 1
            return self._braced()
        name = self._name()
        return self._values.get(name, "") if name else "$"

    def _name(self) -> str:
        match = _NAME.match(self._text, self._at)
        if match:
            self._at = match.end()
            return match.group()
        char = self._text[self._at : self._at + 1]
        if char and char in _SPECIAL:
            self._at += 1
            return char
        return ""

    def _braced(self) -> str:
        name = self._name()
        if not name:
            raise Invalid("bad substitution")
        value = self._values.get(name)
        mark = self._text[self._at : self._at + 1]
        if mark == "}":
            self._at += 1
            return value or ""
        colon = mark == ":"
        if colon:
            self._at += 1
            mark = self._text[self._at : self._at + 1]
        if not mark or mark not in "-+?":
            raise Invalid(f"unsupported modifier ({mark}) in substitution")
        self._at += 1
        word = self._nested()
        unset = not value if colon else value is None
        if mark == "+":
            return "" if unset else word
        if unset and mark == "?":
            raise Invalid(f"{name}: {word or 'not allowed to be ' + ('empty' if colon else 'unset')}")
        return word if unset else value or ""

    def _nested(self) -> str:
        inner = _Expander(self._text[self._at :], self._values, self._escape, self._depth + 1)
        word = inner.word("}")
        self._at += inner._at + 1
        return word
