"""Detach keys: the sequence that leaves an attached session (`ctrl-p,ctrl-q` by default)."""

from wharf.errors import Invalid

DEFAULT_KEYS = b"\x10\x11"
_CONTROL = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}
MAX_KEYS = 32


def parse_keys(text: str, word: str = "detach") -> bytes:
    """Parse `ctrl-p,ctrl-q` or `a,b`; raises Invalid with Docker's words, which call those of an exec `escape` keys."""
    if not text:
        return DEFAULT_KEYS
    out = bytearray()
    for key in text.split(","):
        if len(key) == 1:
            out += key.encode("utf-8")
            continue
        name = key.removeprefix("ctrl-")
        if key == name or len(name) != 1 or not (name in _CONTROL or ("a" <= name <= "z")):
            raise Invalid(f"Invalid {word} keys ({text[:200]}) provided")
        out.append(_CONTROL[name] if name in _CONTROL else ord(name) - ord("a") + 1)
    if len(out) > MAX_KEYS:
        raise Invalid(f"Invalid {word} keys ({text[:200]}) provided")
    return bytes(out)
