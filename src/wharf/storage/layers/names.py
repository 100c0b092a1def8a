"""Names of entries: split into parent and last component, refused where they could lead out; whiteout names."""

from wharf.errors import Invalid
from wharf.storage.limits import MAX_PATH

WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"
RESERVED = b".wh..wh."


def split(raw: bytes, absolute: bool = False) -> tuple[bytes, bytes]:
    """(parent, last component) of an entry's name; both empty for the root itself.

    Raises Invalid for `..`, a leading slash (unless `absolute`), and names the kernel cannot take.
    """
    name = raw[2:] if raw[:2] == b"./" else raw
    if name[-1:] == b"/":
        name = name.rstrip(b"/")
        if not name and raw[:1] == b"/" and not absolute:
            raise Invalid("an absolute path is outside of the root")
    if b"/." in name or b"//" in name or name[:1] in (b".", b"/") or not name:
        name = _normalise(name, absolute)
    if len(name) > MAX_PATH:
        raise Invalid(f"a path of {len(name)} bytes exceeds the limit of {MAX_PATH}")
    parent, _, base = name.rpartition(b"/")
    return parent, base


def _normalise(name: bytes, absolute: bool) -> bytes:
    if name[:1] == b"/" and not absolute:
        raise Invalid("an absolute path is outside of the root")
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise Invalid('a path with ".." is outside of the root')
    return b"/".join(parts)


def show(name: bytes) -> str:
    """A name for a message: quoted, bounded, without control characters."""
    text = name[:200].decode("utf-8", "backslashreplace")
    return '"' + "".join(c if c.isprintable() else repr(c)[1:-1] for c in text) + '"'
