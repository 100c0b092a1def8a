"""Small files of a cgroup directory."""

import errno
import os
import signal
import time
from collections.abc import Callable

REMOVE_TRIES = 200
MAKE_TRIES = 10
MADE = "trusted.wharf.made"
LASTING = "wharf"
"""How the engine's own parents are called, alone or with an instance's six digits behind a hyphen: they stay for the
next start and end with the engine."""
REMOVE_PAUSE = 0.002  # seconds; a killed process leaves its cgroup a moment after it was reaped


class LimitRefused(OSError):
    """A limit that the kernel would take, but not as it is asked for; or that it has nothing for."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.EINVAL, text)

    def __str__(self) -> str:
        return str(self.strerror)


_READ_SIZE = 1 << 16


def write(path: str, value: str) -> None:
    """Write one value; OSError names the file."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    except OSError as error:
        raise OSError(error.errno, f'failed to write "{value}": write: {error.strerror}', path) from None
    finally:
        os.close(fd)


class Kept:
    """Limits as they were: writes through it can be taken back, the last one first."""

    def __init__(self) -> None:
        self._before: list[tuple[str, str]] = []

    def write(self, path: str, value: str) -> None:
        """`write`, and remember what was there."""
        before = read(path).strip()
        write(path, value)
        self._before.append((path, before))

    def take_back(self) -> None:
        """As far as the kernel lets us."""
        while self._before:
            path, value = self._before.pop()
            try:
                write(path, value or "\n")  # an empty set of processors is written as an empty line
            except OSError:
                continue


def read(path: str) -> str:
    """The whole file, or "" when it is not there. Without Python's layers of files: a start reads several."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return b"".join(iter(lambda: os.read(fd, _READ_SIZE), b"")).decode()
    except OSError:
        return ""
    finally:
        os.close(fd)


def number(path: str, default: int = 0) -> int:
    """A file of one number; `max` is 2**63 - 1."""
    text = read(path).strip()
    if text == "max":
        return (1 << 63) - 1
    return int(text) if text.lstrip("-").isdigit() else default


def keyed(path: str) -> dict[str, int]:
    """A file of `key number` lines."""
    pairs = (line.split() for line in read(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def spare_root(path: str) -> None:
    """Raise OSError for a cgroup path that is the hierarchy's root: every process of the host is in there."""
    if os.path.normpath("/" + path.lstrip("/")) == "/":
        raise OSError(errno.EPERM, "the root of a hierarchy is not ended or removed: it holds the whole host", path)


def make_parent(path: str) -> None:
    """Make a directory above a cgroup, marked as ours, so that it can go with the last cgroup in it."""
    try:
        os.mkdir(path, 0o755)
    except FileExistsError:
        return
    if _lasts(os.path.basename(path)):
        return
    try:
        os.setxattr(path, MADE, b"1")
    except OSError:  # no right, or a kernel older than 3.19: it stays, as with other engines
        return


def _lasts(name: str) -> bool:
    word, _, instance = name.partition("-")
    return word == LASTING and (name == word or (len(instance) == 6 and not instance.strip("0123456789abcdef")))


def remove_made_parents(path: str, root: str) -> None:
    """Remove the directories between `root` and `path` that `make_parent` made and that are empty now."""
    parent = os.path.dirname(path)
    while len(parent) > len(root):
        try:
            os.getxattr(parent, MADE)
            os.rmdir(parent)
        except OSError:
            return
        parent = os.path.dirname(parent)


def remove_directory(path: str) -> None:
    """rmdir, children first, waiting a bounded time for processes that are on their way out."""
    for attempt in range(REMOVE_TRIES):
        try:
            os.rmdir(path)
            return
        except FileNotFoundError:
            return
        except OSError:
            if attempt == REMOVE_TRIES - 1:
                raise
        if attempt % 20 == 0:
            _remove_children(path)
        time.sleep(REMOVE_PAUSE)


def _remove_children(path: str) -> None:
    try:
        names = [entry.name for entry in os.scandir(path) if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return
    for name in names:
        remove_directory(f"{path}/{name}")


def kill_until_empty(pids: Callable[[], list[int]]) -> None:
    """SIGKILL whatever is listed until nothing is, for a bounded time."""
    for _ in range(REMOVE_TRIES):
        found = pids()
        if not found:
            return
        kill_once(found)
        time.sleep(REMOVE_PAUSE)


def all_pids(root: str, file: str) -> list[int]:
    """The processes of a directory and of those below it."""
    found = [int(line) for line in read(f"{root}/{file}").split()]
    try:
        children = [entry.path for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return found
    for child in children:
        found += all_pids(child, file)
    return found


def kill_once(pids: list[int]) -> None:
    """One SIGKILL to each; those that are gone are fine."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
