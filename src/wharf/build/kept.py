"""Contexts that stay between builds, so that a client sends only what has changed.

    <root>/kept/<key>/files/       the files of the last build of a client's directory
                     /index.json   what they are: name -> [mode, size, modification time (ns), digest or link]

A client tells what its directory holds (names, modes, sizes, times, digests); it is told which files are missing, and
sends those alone. The index goes before anything is changed and is written last, so a directory without one is worth
nothing. What is received is hashed here: a digest that a client only claims is in no cache key.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wharf.build.small_contexts import CONTEXT_MODE
from wharf.build.tree import Tree
from wharf.errors import Invalid, NotFound
from wharf.kernel import paths
from wharf.storage.compression import Readable
from wharf.storage.layers.unpack import unpack_files

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

MAX_KEPT = 8
"""Contexts that stay; the longest unused goes first."""
MAX_PENDING = 64
MAX_ENTRIES = 1_000_000
CLAIM_SECONDS = 600.0
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, directory or link of a context. `value` is a file's digest (hexadecimal SHA-256) or a link's target."""

    mode: int
    size: int
    mtime_ns: int
    value: str

    def same_content(self, other: Entry | None) -> bool:
        """Whether the other one needs not be sent again."""
        return other is not None and (self._kind, self.size, self.value) == (other._kind, other.size, other.value)

    @property
    def _kind(self) -> int:
        return stat.S_IFMT(self.mode)


@dataclass(slots=True)
class Pending:
    """A context that was told of, and whose missing files are still to come."""

    key: str
    place: str
    wanted: dict[str, Entry]
    known: dict[str, Entry]
    since: float

    @property
    def missing(self) -> list[str]:
        """Files that are not here."""
        return [
            name
            for name, entry in self.wanted.items()
            if stat.S_ISREG(entry.mode) and not entry.same_content(self.known.get(name))
        ]


class KeptContexts:
    """All kept contexts of one engine; one build at a time has one."""

    def __init__(self, engine: Engine, root: str) -> None:
        self._engine = engine
        self._root = root
        self._lock = threading.Lock()
        self._pending: dict[str, Pending] = {}
        self._sent: dict[str, tuple[Pending, Tree]] = {}
        self._busy: set[str] = set()
        os.makedirs(root, mode=0o700, exist_ok=True)
        for name in os.listdir(root):
            if "-" in name:  # the second place of a directory, whose build a crash ended
                engine.trash.discard(os.path.join(root, name))

    def offer(self, key: str, raw: Any) -> tuple[str, list[str]]:
        """A client's list: the id by which its build asks for the context, and the names of what is to be sent.

        Raises Invalid for a list that is none.
        """
        wanted = parse_entries(raw)
        name = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        self._expire()
        with self._lock:
            if len(self._pending) + len(self._sent) >= MAX_PENDING:
                raise Invalid(f"more than {MAX_PENDING} contexts wait for their files")
            if name in self._busy:
                name = f"{name}-{secrets.token_hex(4)}"  # another build has it: this one gets a place of its own
            self._busy.add(name)
        place = os.path.join(self._root, name)
        pending = Pending(name, place, wanted, _read_index(place), time.monotonic())
        number = secrets.token_hex(16)
        with self._lock:
            self._pending[number] = pending
        return number, pending.missing

    def claim(self, number: str) -> Pending:
        """The context of an offer, for the one build that asks for it. Raises NotFound."""
        with self._lock:
            found = self._pending.pop(number, None)
        if found is None:
            raise NotFound("no such build context: it was used already, or is too old")
        return found

    def receive_ahead(self, number: str, archive: Readable) -> None:
        """The missing files of an offer, for the build that will name it: `sent` gives them. Raises as `receive`."""
        pending = self.claim(number)
        try:
            directory, known = self.receive(pending, archive)
        except BaseException:
            self.release(pending)
            raise
        pending.since = time.monotonic()  # it may have taken long
        with self._lock:
            self._sent[number] = pending, Tree(directory=directory, known=known)

    @contextlib.contextmanager
    def sent(self, number: str) -> Iterator[Tree]:
        """What was received ahead, for one build. Raises NotFound."""
        with self._lock:
            found = self._sent.pop(number, None)
        if found is None:
            raise NotFound("no such build context: it was not sent, was used already, or is too old")
        try:
            yield found[1]
        finally:
            self.release(found[0])

    def receive(self, pending: Pending, archive: Readable) -> tuple[str, dict[str, bytes]]:
        """Make the directory what the client said, with the files of its archive: the directory, and the digests of
        its files by name. Raises Invalid, and then nothing of it is kept."""
        files = os.path.join(pending.place, "files")
        if not pending.known:  # nothing, or what a crash left half changed
            self._engine.trash.discard(pending.place)
        os.makedirs(files, exist_ok=True)
        os.chmod(files, CONTEXT_MODE)
        _drop_index(pending.place)
        top = os.open(files, paths.DIRECTORY)
        try:
            _remove_changed(top, pending)
            unpack_files(self._engine.worker, archive, files)
            _settle(top, files, pending)
        except BaseException:
            self._engine.trash.discard(pending.place)
            raise
        finally:
            os.close(top)
        _write_index(pending)
        return files, {
            name: bytes.fromhex(entry.value) for name, entry in pending.wanted.items() if stat.S_ISREG(entry.mode)
        }

    def release(self, pending: Pending) -> None:
        """The build is over. A second place of one directory goes, and what was unused longest beyond the bound."""
        with self._lock:
            self._busy.discard(pending.key)
            kept = [name for name in os.listdir(self._root) if name not in self._busy]
        if "-" in pending.key:
            self._engine.trash.discard(pending.place)
            return
        ages = sorted((self._used_at(name), name) for name in kept if "-" not in name)
        for _, name in ages[: max(len(ages) - MAX_KEPT, 0)]:
            self._engine.trash.discard(os.path.join(self._root, name))

    def drop_all(self) -> None:
        """Forget every context that no build has."""
        with self._lock:
            for name in os.listdir(self._root):
                if name not in self._busy:
                    self._engine.trash.discard(os.path.join(self._root, name))

    def _used_at(self, name: str) -> float:
        try:
            return os.stat(os.path.join(self._root, name, "index.json")).st_mtime
        except OSError:
            return 0.0

    def _expire(self) -> None:
        """What no build came for."""
        oldest = time.monotonic() - CLAIM_SECONDS
        with self._lock:
            waiting = {**self._pending, **{number: pending for number, (pending, _) in self._sent.items()}}
            gone = {number: pending for number, pending in waiting.items() if pending.since < oldest}
            for number in gone:
                self._pending.pop(number, None)
                self._sent.pop(number, None)
        for pending in gone.values():
            self.release(pending)


def parse_entries(raw: Any) -> dict[str, Entry]:
    """A client's list of [name, mode, size, time in ns, digest or link]. Raises Invalid."""
    if not isinstance(raw, list) or len(raw) > MAX_ENTRIES:
        raise Invalid(f"invalid context: not a list of at most {MAX_ENTRIES} entries")
    found: dict[str, Entry] = {}
    for item in raw:
        if not isinstance(item, list) or len(item) != 5:
            raise Invalid("invalid context: an entry is not [name, mode, size, time, digest or link]")
        name, mode, size, mtime, value = item
        if not isinstance(name, str) or not isinstance(value, str) or not _are_numbers(mode, size, mtime):
            raise Invalid("invalid context: an entry is not [name, mode, size, time, digest or link]")
        if not name or name.startswith("/") or "\0" in name or {"", ".", ".."} & set(name.split("/")):
            raise Invalid(f"invalid context: {name[:200]!r} is no name of a file in it")
        if stat.S_ISREG(mode) and (len(value) != 64 or not set(value) <= _HEX):
            raise Invalid(f"invalid context: {name[:200]!r} has no digest")
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
            raise Invalid(f"invalid context: {name[:200]!r} is neither a file, a directory nor a link")
        found[name] = Entry(mode, size if stat.S_ISREG(mode) else 0, mtime, value)
    return found


def _are_numbers(*values: object) -> bool:
    return all(isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63 for value in values)


def _read_index(place: str) -> dict[str, Entry]:
    try:
        with open(os.path.join(place, "index.json"), encoding="utf-8") as file:
            return {name: Entry(*fields) for name, fields in json.load(file).items()}
    except (OSError, ValueError, TypeError):
        return {}


def _drop_index(place: str) -> None:
    try:
        os.unlink(os.path.join(place, "index.json"))
    except FileNotFoundError:
        return


def _write_index(pending: Pending) -> None:
    fields = {name: [e.mode, e.size, e.mtime_ns, e.value] for name, e in pending.wanted.items()}
    path = os.path.join(pending.place, "index.json")
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(fields, file)
    os.rename(path + ".new", path)


def _remove_changed(top: int, pending: Pending) -> None:
    """What is gone, or is to come again; the deepest first."""
    for name in sorted(pending.known, key=lambda item: item.count("/"), reverse=True):
        entry, wanted = pending.known[name], pending.wanted.get(name)
        if wanted is not None and entry.same_content(wanted):
            continue
        above, _, base = name.rpartition("/")
        try:
            directory = paths.open_in_root(top, above or ".", paths.DIRECTORY)
        except OSError:
            continue
        try:
            if stat.S_ISDIR(entry.mode):
                os.rmdir(base, dir_fd=directory)
            else:
                os.unlink(base, dir_fd=directory)
        except FileNotFoundError:
            pass
        finally:
            os.close(directory)


def _settle(top: int, files: str, pending: Pending) -> None:
    """Every entry is there and is what was said; nothing else is there. Modes and times are the client's."""
    found: set[str] = set()
    for where, directories, names, fd in os.fwalk(".", dir_fd=top, topdown=False):
        prefix = where.removeprefix(".").lstrip("/")
        for base in (*names, *directories):
            name = f"{prefix}/{base}".lstrip("/")
            entry = pending.wanted.get(name)
            if entry is None:
                raise Invalid(f"invalid context: {name[:200]!r} was sent, and is not in the list")
            found.add(name)
            _check(fd, base, name, entry, fresh=not entry.same_content(pending.known.get(name)))
    lost = pending.wanted.keys() - found
    if lost:
        raise Invalid(f"invalid context: {min(lost)[:200]!r} was not sent")


def _check(directory: int, base: str, name: str, entry: Entry, *, fresh: bool) -> None:
    there = os.stat(base, dir_fd=directory, follow_symlinks=False)
    if stat.S_IFMT(there.st_mode) != stat.S_IFMT(entry.mode):
        raise Invalid(f"invalid context: {name[:200]!r} is of another kind than was said")
    if stat.S_ISLNK(entry.mode):
        if os.readlink(base, dir_fd=directory) != entry.value:
            raise Invalid(f"invalid context: {name[:200]!r} leads elsewhere than was said")
        return
    if stat.S_ISREG(entry.mode) and (there.st_size != entry.size or (fresh and _hash(directory, base) != entry.value)):
        raise Invalid(f"{name[:200]!r} has changed while the context was sent")
    if stat.S_IMODE(there.st_mode) != stat.S_IMODE(entry.mode):
        os.chmod(base, stat.S_IMODE(entry.mode), dir_fd=directory)
    if there.st_mtime_ns != entry.mtime_ns:
        os.utime(base, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=directory, follow_symlinks=False)


def _hash(directory: int, base: str) -> str:
    fd = os.open(base, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    with open(fd, "rb", buffering=0) as file:
        if "security.capability" in os.listxattr(fd):
            raise Invalid(f"invalid context: {base[:200]!r} has capabilities")
        return hashlib.file_digest(file, "sha256").hexdigest()
