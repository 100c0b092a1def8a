"""Range and conditional requests (RFC 9110, sections 13 and 14): one range of bytes, strong tags only."""

import re

from wharf.registry.server.errors import RegistryError

_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))\Z")


def not_modified(if_none_match: str, tag: str) -> bool:
    """Whether the client has what `tag` names."""
    if not if_none_match:
        return False
    names = [name.strip().removeprefix("W/") for name in if_none_match.split(",")]
    return "*" in names or tag in names or tag.strip('"') in names


def byte_range(value: str, size: int) -> tuple[int, int] | None:
    """Offset and length that a Range header asks for; None when the whole is to be sent (several ranges, other units).

    Raises RegistryError (416) for a range outside.
    """
    match = _RANGE.match(value.replace(" ", ""))
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        length = min(int(suffix), size)
        offset = size - length
    else:
        offset = int(first)
        end = min(int(last), size - 1) if last else size - 1
        if last and int(last) < offset:
            return None  # invalid, so ignored (section 14.1.1)
        length = end - offset + 1
    if length <= 0 or offset >= size:
        raise RegistryError("RANGE_INVALID", headers={"Content-Range": f"bytes */{size}"})
    return offset, length
