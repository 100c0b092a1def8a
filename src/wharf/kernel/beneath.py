"""Making directories and files inside a container's root, where symbolic links mean what they mean in there."""

import errno
import os

from wharf.kernel.paths import open_in_root

_MAX_LINKS = 40
_DIRECTORY = os.O_PATH | os.O_DIRECTORY


def make_directory(root: int, path: str, mode: int = 0o755) -> int:
    """`mkdir -p` inside the root, through dangling symbolic links too; an O_PATH descriptor of the directory."""
    for _ in range(_MAX_LINKS):
        try:
            return open_in_root(root, path, _DIRECTORY)
        except FileNotFoundError:
            path = _make_until_link(root, path, mode)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def _make_until_link(root: int, path: str, mode: int) -> str:
    """Make what is missing and give `path`; at a dangling symbolic link stop and give the path that it means."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    current = os.dup(root)
    try:
        for index, part in enumerate(parts):
            here = "/".join(parts[: index + 1])
            try:
                following = open_in_root(root, here, _DIRECTORY)
            except FileNotFoundError:
                if not _exists(current, part):
                    os.mkdir(part, mode, dir_fd=current)
                elif target := _dangling(root, current, here, part):
                    return "/".join([target, *parts[index + 1 :]])
                following = open_in_root(root, here, _DIRECTORY)
            os.close(current)
            current = following
    finally:
        os.close(current)
    return path


def _exists(directory: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _dangling(root: int, directory: int, path: str, name: str) -> str:
    """Where `name` points to, as the root sees it, when nothing is there; else ""."""
    try:
        os.close(open_in_root(root, path))
    except FileNotFoundError:
        target = os.readlink(name, dir_fd=directory)
        return os.path.normpath(os.path.join(_inside(root, directory), target))
    return ""


def _inside(root: int, directory: int) -> str:
    """The path of an open directory as the root sees it."""
    base, path = os.readlink(f"/proc/self/fd/{root}"), os.readlink(f"/proc/self/fd/{directory}")
    return "/" + path[len(base) :].lstrip("/") if path.startswith(base) else "/"


def make_file(root: int, path: str, mode: int = 0o755) -> int:
    """An O_PATH descriptor of the file, made empty with its directories when it is not there."""
    try:
        return open_in_root(root, path)
    except FileNotFoundError:
        pass
    parent, name = os.path.split(path.rstrip("/"))
    directory = make_directory(root, parent)
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        os.close(os.open(name, flags, mode, dir_fd=directory))
    except FileExistsError:
        pass
    finally:
        os.close(directory)
    return open_in_root(root, path)
