"""The mounts in sight (proc(5), /proc/<pid>/mountinfo)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mounted:
    """One mount: where it lies, its optional fields (`shared:1`, `master:2`), and the kind of its file system."""

    point: str
    optional: tuple[str, ...]
    kind: str

    @property
    def shared(self) -> bool:
        """Whether mounts below it reach its peers."""
        return any(word.startswith("shared:") for word in self.optional)

    @property
    def slave(self) -> bool:
        """Whether mounts of a master reach it."""
        return any(word.startswith("master:") for word in self.optional)


def mounts_in_sight(path: str = "/proc/self/mountinfo") -> list[Mounted]:
    """All mounts of the caller's mount namespace, later ones over earlier ones."""
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return [_parse(line) for line in file]


def _parse(line: str) -> Mounted:
    left, _, right = line.partition(" - ")
    fields = left.split(" ")
    return Mounted(_plain(fields[4]), tuple(fields[6:]), right.split(" ", 1)[0])


def _plain(text: str) -> str:
    """Space, tab, newline and backslash are written in octal."""
    if "\\" not in text:
        return text
    raw = _ESCAPED.sub(lambda match: chr(int(match[1], 8)), text)
    return raw


def holding(path: str, table: Iterable[Mounted]) -> Mounted | None:
    """The mount that an absolute path without links lies on."""
    best: Mounted | None = None
    for item in table:
        inside = item.point == "/" or path == item.point or path.startswith(item.point + "/")
        if inside and (best is None or len(item.point) >= len(best.point)):
            best = item
    return best


def at_or_below(path: str, table: Iterable[Mounted]) -> list[str]:
    """Points of the mounts at a path and beneath it."""
    return [item.point for item in table if item.point == path or item.point.startswith(path + "/")]
