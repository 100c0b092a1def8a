"""Text and durations as Go writes them, for the words that are Docker's."""

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


def go_duration(nanoseconds: int) -> str:
    """As Go's Duration prints it: `1m30s`, `1.5s`, `100ms`, `0s`."""
    if nanoseconds < 10**9:
        for size, unit in ((10**6, "ms"), (10**3, "µs"), (1, "ns")):
            if nanoseconds >= size:
                return f"{nanoseconds / size:.9f}".rstrip("0").rstrip(".") + unit
        return "0s"
    minutes, rest = divmod(nanoseconds, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest // 10**9}.{rest % 10**9:09d}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds
