"""Files of variables (`.env`, `env_file`, `label_file`): the grammar of compose-go's dotenv.

`KEY=value`, `KEY: value`, `export KEY=…`, comments, quotes (double ones with escapes and variables, single ones
literal, both over several lines); a key alone takes its value from the surroundings.
"""

import re

from wharf.compose.substitute import Lookup, Warn, substitute
from wharf.errors import Invalid

MAX_FILE = 4 << 20
_SPACE = "\t\v\f\r \x85\xa0"
_ESCAPES = re.compile(r"\\(?:[abcfnrtv$\"\\]|0\d{0,3})")
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"'}
_EXPORT = re.compile(r"export\s+")
_KEY_SIGNS = "_.-[]"


class _Parser:
    """One pass over one text."""

    def __init__(self, text: str, values: dict[str, str], lookup: Lookup, warn: Warn | None) -> None:
        self.rest = text
        self.values = values
        self.line = 1
        self._lookup = lookup
        self._warn = warn

    def run(self) -> None:
        while self._to_statement():
            key, inherited = self._key()
            if " " in key:
                raise Invalid(f"line {self.line}: key cannot contain a space")
            if inherited:
                value = self._lookup(key)
                if value is not None:
                    self.values[key] = value
            else:
                self.values[key] = self._value()

    def _to_statement(self) -> bool:
        """Skips white space and comments; False at the end."""
        while True:
            stripped = self.rest.lstrip()
            self.line += self.rest[: len(self.rest) - len(stripped)].count("\n")
            if not stripped.startswith("#"):
                self.rest = stripped
                return bool(stripped)
            end = stripped.find("\n")
            self.rest = "" if end < 0 else stripped[end:]

    def _key(self) -> tuple[str, bool]:
        """The key, and whether it stands alone; what follows it is left in `rest`."""
        if _EXPORT.match(self.rest):
            self.rest = self.rest.removeprefix("export").lstrip(_SPACE)
        for position, character in enumerate(self.rest):
            if character in _SPACE:
                continue
            if character in "=:\n":
                key = self.rest[:position]
                inherited = character == "\n"
                self.line += inherited and " " not in key
                self.rest = self.rest[position + 1 :].lstrip(_SPACE)
                return key.rstrip(), inherited
            if character not in _KEY_SIGNS and not character.isalpha() and not character.isnumeric():
                line = self.rest.partition("\n")[0]
                raise Invalid(f'line {self.line}: unexpected character "{character}" in variable name "{line}"')
        if not self.rest:
            raise Invalid("zero length string")
        # A last line without a separator and without its end has no key at all, as compose-go reads it.
        self.rest = self.rest.lstrip(_SPACE)
        return "", False

    def _value(self) -> str:
        quote = self.rest[:1]
        if quote in ("'", '"'):
            return self._quoted(quote)
        value, _, self.rest = self.rest.partition("\n")
        self.line += 1
        return self._expand(value.partition(" #")[0].rstrip())

    def _quoted(self, quote: str) -> str:
        characters: list[str] = []
        escaped = False
        for position, character in enumerate(self.rest[1:], 1):
            self.line += character == "\n"
            if character == quote and not escaped:
                self.rest = self.rest[position + 1 :]
                text = "".join(characters)
                return self._expand(_ESCAPES.sub(_unescape, text)) if quote == '"' else text
            if character == "\\" and not escaped:
                escaped = True
                continue
            if escaped and character != quote:
                characters.append("\\")
            escaped = False
            characters.append(character)
        line = self.rest.partition("\n")[0]
        raise Invalid(f"line {self.line}: unterminated quoted value {line}")

    def _expand(self, text: str) -> str:
        def lookup(name: str) -> str | None:
            value = self._lookup(name)
            return self.values.get(name) if value is None else value

        return substitute(text, lookup, self._warn)


def _unescape(found: re.Match[str]) -> str:
    text = found[0]
    if text == "\\$":
        return "$$"  # a dollar that begins no variable
    if text[1] in _SIMPLE:
        return _SIMPLE[text[1]]
    digits = text[2:]
    if text[1] == "0" and len(digits) == 3 and all(digit in "01234567" for digit in digits) and int(digits, 8) < 256:
        return chr(int(digits, 8))
    return text


def parse_variables(text: bytes, values: dict[str, str], lookup: Lookup, warn: Warn | None = None) -> None:
    """Adds the variables of a file to `values`; `lookup` is what surrounds it. Raises Invalid with the line."""
    if len(text) > MAX_FILE:
        raise Invalid(f"the file is larger than {MAX_FILE} bytes")
    decoded = text.decode("utf-8", "replace").removeprefix("\ufeff")
    _Parser(decoded, values, lookup, warn).run()


def parse_raw(text: bytes, values: dict[str, str]) -> None:
    """`format: raw`: lines of KEY=VALUE, taken as they are."""
    if len(text) > MAX_FILE:
        raise Invalid(f"the file is larger than {MAX_FILE} bytes")
    for line in text.decode("utf-8", "replace").removeprefix("\ufeff").splitlines():
        stripped = line.lstrip()
        if not stripped or stripped.startswith("#"):
            continue
        key, equals, value = stripped.partition("=")
        if " " in key.strip():
            raise Invalid(f"variable '{key}' contains whitespaces")
        if equals:
            values[key] = value
