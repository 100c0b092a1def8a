"""What a stack of layer directories shows at a path, without mounting it."""

import os
import stat

from wharf.kernel import paths, xattr


def is_whiteout(found: os.stat_result) -> bool:
    """Overlayfs's mark of a deletion: a character device 0:0."""
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def is_opaque(fd: int, prefix: str) -> bool:
    """Whether the open directory hides those below it; `prefix` is `Host.xattr_prefix`: with another one the attribute
    means nothing, and any container could set it.
    """
    return xattr.get_fd(fd, prefix + "overlay.opaque") == b"y"


def lookup(layers: list[int], path: bytes, prefix: str) -> os.stat_result | None:
    """lstat of relative `path` in the stack of open directories, top first; None when it shows nothing.

    A parent that is a symbolic link shows nothing: links are not followed.
    """
    parent, _, base = path.rpartition(b"/")
    for layer in layers:
        found, hides = _in_layer(layer, parent, base, prefix)
        if found is not None:
            return None if is_whiteout(found) else found
        if hides:
            return None
    return None


def _in_layer(layer: int, parent: bytes, base: bytes, prefix: str) -> tuple[os.stat_result | None, bool]:
    """(what this layer has, whether it hides what the layers below have): walks the parents one by one."""
    current = os.dup(layer)
    try:
        opaque = False
        for part in parent.split(b"/") if parent else ():
            try:
                following = os.open(part, paths.DIRECTORY | os.O_NOFOLLOW, dir_fd=current)
            except FileNotFoundError:
                return None, opaque
            except OSError:  # a file, link or whiteout in the way
                return None, True
            os.close(current)
            current = following
            opaque = opaque or is_opaque(current, prefix)
        try:
            return os.stat(base, dir_fd=current, follow_symlinks=False), False
        except FileNotFoundError:
            return None, opaque
    finally:
        os.close(current)


class Stack:
    """The open directories below a layer, top first; closed at the end of a `with`."""

    def __init__(self, lowers: tuple[str, ...], prefix: str) -> None:
        self.prefix = prefix
        self._fds = [os.open(path, paths.DIRECTORY) for path in lowers]

    def __enter__(self) -> "Stack":
        return self

    def __exit__(self, *_: object) -> None:
        for fd in self._fds:
            os.close(fd)

    def get(self, path: bytes) -> os.stat_result | None:
        """What the layers below show at `path`."""
        return lookup(self._fds, path, self.prefix)
