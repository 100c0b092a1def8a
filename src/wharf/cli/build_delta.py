"""A large directory as a context: the engine is told what it holds, and gets only the files that it has not.

~/.cache/wharf/contexts/<key>.json   name -> [size, modification, change (ns), inode, digest]: files whose status
                                     is the same are not read again
"""

from __future__ import annotations

import os
import stat
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wharf.cli.session import Session

WORTH = 4 << 20
"""Bytes of a context below which sending all of it is faster than asking."""
SETTLED_NS = 2 * 10**9
"""A file that changed this recently may change again within the same tick of its clock: its digest is not kept."""


def missing_only(session: Session, root: str, names: list[str]) -> tuple[str, set[str]] | None:
    """The id of the context at the engine, and the names of the files to send; None where all may go at once."""
    found = {name: os.lstat(os.path.join(root, name)) for name in _with_parents(names)}
    if sum(item.st_size for item in found.values() if stat.S_ISREG(item.st_mode)) < WORTH:
        return None
    kinds = {stat.S_IFMT(item.st_mode) for item in found.values()}
    if kinds - {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}:
        return None
    return _offer(session, root, found, "")


def offered(session: Session, root: str, names: list[str], name: str) -> tuple[str, set[str]]:
    """As `missing_only`, for a directory of any size that the build knows by a name."""
    found = {item: os.lstat(os.path.join(root, item)) for item in _with_parents(names)}
    return _offer(session, root, found, name)


def _offer(session: Session, root: str, found: dict[str, os.stat_result], name: str) -> tuple[str, set[str]]:
    key = f"{os.uname().nodename}:{os.getuid()}:{os.path.realpath(root)}" + (f":{name}" if name else "")
    entries = _entries(root, found, key)
    answer = session.client().post("/wharf/v1/build/context", {"Key": key, "Entries": entries})
    return str(answer["Id"]), set(answer["Missing"])


def _with_parents(names: list[str]) -> list[str]:
    """Also the directories that are left out themselves, and of which something is not."""
    whole: dict[str, None] = {}
    for name in names:
        parts = name.split("/")
        for count in range(1, len(parts)):
            whole.setdefault("/".join(parts[:count]))
        whole.setdefault(name)
    return list(whole)


def _entries(root: str, found: dict[str, os.stat_result], key: str) -> list[list[Any]]:
    import hashlib

    path = _cache_path(hashlib.sha256(os.fsencode(key)).hexdigest())
    known = _load(path)
    kept: dict[str, list[Any]] = {}
    entries: list[list[Any]] = []
    now = time.time_ns()
    for name, item in found.items():
        value = ""
        if stat.S_ISLNK(item.st_mode):
            value = os.readlink(os.path.join(root, name))
        elif stat.S_ISREG(item.st_mode):
            status = [item.st_size, item.st_mtime_ns, item.st_ctime_ns, item.st_ino]
            before = known.get(name)
            value = before[4] if before and before[:4] == status else _hash(os.path.join(root, name))
            if now - item.st_ctime_ns > SETTLED_NS:
                kept[name] = [*status, value]
        entries.append([name, item.st_mode, item.st_size, item.st_mtime_ns, value])
    if kept != known:
        _store(path, kept)
    return entries


def _hash(path: str) -> str:
    import hashlib

    with open(path, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _cache_path(key: str) -> str:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "wharf", "contexts", f"{key[:32]}.json")


def _load(path: str) -> dict[str, list[Any]]:
    from wharf.client import jsontext

    try:
        with open(path, "rb") as file:
            raw = jsontext.loads(file.read())
    except (OSError, ValueError):
        return {}
    whole = isinstance(raw, dict) and all(isinstance(item, list) and len(item) == 5 for item in raw.values())
    return raw if whole else {}


def _store(path: str, kept: dict[str, list[Any]]) -> None:
    from wharf.client import jsontext

    staged = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(staged, "wb") as file:
            file.write(jsontext.dumps(kept).encode("utf-8", "surrogateescape"))
        os.rename(staged, path)
    except OSError:
        return  # without it files are read again, no more
