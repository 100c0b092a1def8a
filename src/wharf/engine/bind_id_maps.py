"""Id-mapped binds: `-v SOURCE:TARGET:idmap[=uids=0-1000-1#1-2000-5;gids=…]`, in the words of Podman and crun.

Docker has no such mode and refuses it; here it travels in Docker's grammar, as one word of a bind's mode. Each range
is FILE-HOST-COUNT: files that belong to FILE in the source are shown as HOST's inside. `idmap` alone takes the maps
of the container's user namespace.
"""

from typing import Any

from wharf.errors import Internal

WORD = "idmap"
MAX_RANGES = 340
"""Of the kernel (user_namespaces(7))."""
MAX_ID = (1 << 32) - 1

Maps = dict[str, list[dict[str, int]]]


def is_id_map(word: str) -> bool:
    """Whether a word of a mode asks for an id-mapped bind."""
    return word == WORD or word.startswith(f"{WORD}=")


def parse_id_map(word: str) -> Maps:
    """`uidMappings` and `gidMappings` of the OCI mount, empty for `idmap` alone; raises Internal as any bad mode."""
    maps: Maps = {}
    for part in word.removeprefix(WORD).removeprefix("=").split(";") if word != WORD else ():
        kind, _, ranges = part.partition("=")
        key = {"uids": "uidMappings", "gids": "gidMappings"}.get(kind, "")
        if not key or key in maps or ranges.count("#") >= MAX_RANGES:
            raise Internal(f"invalid mode: {word[:300]}")
        maps[key] = [_range(word, text) for text in ranges.split("#")]
    return maps


def _range(word: str, text: str) -> dict[str, int]:
    numbers = text.split("-")
    if len(numbers) == 3 and all(number.isdecimal() and len(number) <= 10 for number in numbers):
        files, host, count = (int(number) for number in numbers)
        if count and max(files, host) + count <= MAX_ID:
            return {"containerID": files, "hostID": host, "size": count}
    raise Internal(f"invalid mode: {word[:300]}")


def id_map_of(mode: str) -> str:
    """The word of a mode that asks for an id-mapped bind, "" when none does."""
    return next((word for word in mode.split(",") if is_id_map(word)), "")


def mount_fields(mode: str) -> dict[str, Any]:
    """What a bind of that mode has besides in the OCI specification: `options` to add, and the maps."""
    word = id_map_of(mode)
    return {"options": [WORD], **parse_id_map(word)} if word else {"options": []}
