"""Which files of a tree a build step uses: paths, patterns as Go's filepath.Match has them, `--parents`, excludes.

Standard library only: workers use it.
"""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from wharf.dockerfile.ignore import IgnoreRules, char_class
from wharf.errors import Invalid, NotFound
from wharf.kernel import paths

_WILD = re.compile(r"(?<!\\)[*?\[]")
MAX_MATCHES = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """One thing to be copied: its path in the tree, and below what name it arrives (empty: the content of a
    directory, or a file under its own name)."""

    path: str
    below: str = ""


def select(root: int, wanted: str, *, parents: bool) -> list[Source]:
    """What a word of COPY names in the tree, in the order of names. Raises NotFound for a plain path that is not
    there; a pattern may match nothing."""
    pivot, dot, pattern = wanted.partition("/./") if parents else ("", "", "")
    if not dot:
        pattern = wanted
    base = "/" + pivot.strip("/") if dot else "/"
    if parents:
        found = [Source(_join(base, path), path) for path in _expand(root, base, pattern.strip("/"), deep=True)]
    else:
        found = [Source(path) for path in _expand(root, "/", pattern.strip("/"), deep=False)]
    if not found and not _WILD.search(wanted):
        raise NotFound(f'"{_plain(wanted)}": not found')
    return found


def _plain(wanted: str) -> str:
    return os.path.normpath("/" + wanted.replace("/./", "/")).replace("//", "/")


def _join(base: str, path: str) -> str:
    return "/" + "/".join(part for part in (base.strip("/"), path) if part)


def _expand(root: int, base: str, pattern: str, *, deep: bool) -> list[str]:
    """Paths of the pattern: relative to `base` with `deep`, else from the root. At most MAX_MATCHES."""
    if not pattern:
        return [""] if deep else ["/"]
    found = [""]
    parts = pattern.split("/")
    for number, part in enumerate(parts):
        following: list[str] = []
        for path in found:
            following += _step(root, base, path, part, deep=deep, last=number == len(parts) - 1)
            if len(following) > MAX_MATCHES:
                raise Invalid(f"a pattern matches more than {MAX_MATCHES} files: {pattern[:200]}")
        found = following
    return found if deep else ["/" + path for path in found]


def _step(root: int, base: str, path: str, part: str, *, deep: bool, last: bool) -> list[str]:
    if part == "**" and deep:
        return list(dict.fromkeys(_below(root, base, path, last)))
    if not _WILD.search(part):
        name = part.replace("\\", "") if "\\" in part else part
        there = f"{path}/{name}".lstrip("/")
        return [there] if not last or _exists(root, _join(base, there)) else []
    match = pattern_of(part)
    return [f"{path}/{name}".lstrip("/") for name in _names(root, _join(base, path)) if match.match(name)]


def _below(root: int, base: str, path: str, last: bool) -> Iterator[str]:
    """A directory and every one below it; with `last`, the files too."""
    if not last:
        yield path
    stack = [path]
    while stack:
        current = stack.pop()
        for name in _names(root, _join(base, current)):
            there = f"{current}/{name}".lstrip("/")
            is_directory = _is_directory(root, _join(base, there))
            if is_directory:
                stack.append(there)
            if is_directory != last:
                yield there


def pattern_of(glob: str) -> re.Pattern[str]:
    """One component of a path; raises Invalid for a malformed pattern."""
    out, at = "", 0
    while at < len(glob):
        char = glob[at]
        at += 1
        if char == "*":
            out += "(?>[^/]*)" if at == len(glob) else "[^/]*?"
        elif char == "?":
            out += "[^/]"
        elif char == "[":
            piece, at = char_class(glob, at)
            out += piece
        elif char == "\\" and at < len(glob):
            out += re.escape(glob[at])
            at += 1
        else:
            out += re.escape(char)
    return re.compile(out + r"\Z", re.DOTALL)


def _names(root: int, path: str) -> list[str]:
    try:
        fd = paths.open_in_root(root, path, paths.DIRECTORY)
    except OSError:
        return []
    try:
        return sorted(os.listdir(fd), key=os.fsencode)
    finally:
        os.close(fd)


def _is_directory(root: int, path: str) -> bool:
    try:
        fd = paths.open_in_root(root, path, os.O_PATH | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        return stat.S_ISDIR(os.fstat(fd).st_mode)
    finally:
        os.close(fd)


def _exists(root: int, path: str) -> bool:
    try:
        os.close(paths.open_in_root(root, path, os.O_PATH | os.O_NOFOLLOW))
    except OSError:
        return False
    return True


class Excluded:
    """`--exclude` and a context's .dockerignore, asked with paths relative to what is copied, or to the context."""

    def __init__(self, excludes: list[str], ignore: list[str]) -> None:
        self._excludes = IgnoreRules(excludes) if excludes else None
        self._ignore = IgnoreRules(ignore) if ignore else None

    def leaves_out(self, relative: str, from_top: str) -> bool:
        """Whether this one is not copied (what is below it may be, where an exception says so)."""
        if self._excludes is not None and relative and self._excludes.ignored(relative):
            return True
        return self._ignore is not None and bool(from_top) and self._ignore.ignored(from_top)

    def prunes(self, relative: str, from_top: str) -> bool:
        """Whether nothing below an excluded directory can be wanted."""
        by_flag = self._excludes is None or not self._excludes.ignored(relative) or self._excludes.prunes(relative)
        by_file = self._ignore is None or not self._ignore.ignored(from_top) or self._ignore.prunes(from_top)
        return by_flag and by_file
