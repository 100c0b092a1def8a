"""openat2(2) with RESOLVE_IN_ROOT: a path of a container is walked as the container sees it, never out of its root."""

import ctypes
import os

from wharf.kernel.libc import check, syscall

_SYS_OPENAT2 = 437
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_IN_ROOT = 0x10


class _OpenHow(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


def open_in_root(root: int, path: str, flags: int = os.O_PATH, mode: int = 0) -> int:
    """Open `path` with the directory `root` as "/"; symbolic links stay inside. OSError with the path."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    size = ctypes.c_size_t(ctypes.sizeof(how))
    name = ctypes.c_char_p(os.fsencode(path or "."))
    return check(syscall(_SYS_OPENAT2, ctypes.c_int(root), name, ctypes.byref(how), size), "open", path)


def make_directory(root: int, path: str, mode: int = 0o755) -> int:
    """`mkdir -p` inside the root; an O_PATH descriptor of the directory."""
    try:
        return open_in_root(root, path, os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError:
        pass
    current = os.dup(root)
    walked = ""
    for part in path.split("/"):
        if part in ("", "."):
            continue
        walked += "/" + part
        try:
            following = open_in_root(root, walked, os.O_PATH | os.O_DIRECTORY)
        except FileNotFoundError:
            try:
                os.mkdir(part, mode, dir_fd=current)
            except FileExistsError:  # a dangling symbolic link, or somebody was faster
                pass
            following = open_in_root(root, walked, os.O_PATH | os.O_DIRECTORY)
        os.close(current)
        current = following
    return current


def make_file(root: int, path: str, mode: int = 0o755) -> int:
    """An O_PATH descriptor of the file, made empty with its directories when it is not there."""
    try:
        return open_in_root(root, path)
    except FileNotFoundError:
        pass
    parent, name = os.path.split(path.rstrip("/"))
    directory = make_directory(root, parent)
    try:
        os.close(
            os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=directory)
        )
    except FileExistsError:
        pass
    finally:
        os.close(directory)
    return open_in_root(root, path)
