"""Text as Go's %q writes it, for the errors whose words are Docker's."""

_NAMED = {
    "\\": "\\\\",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\v": "\\v",
}


def go_quote(text: str) -> str:
    """In double quotes."""
    return '"' + "".join(_escaped(char, '"') for char in text) + '"'


def go_char(char: str) -> str:
    """One character in single quotes."""
    return f"'{_escaped(char, chr(39))}'"


def _escaped(char: str, quote: str) -> str:
    if char == quote:
        return "\\" + char
    if char in _NAMED:
        return _NAMED[char]
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
