"""The directories an archive is unpacked into: found without following links, made when missing, kept open.

Most entries share their parent with the one before, so an open descriptor saves the walk of nearly every path.
"""

import os
import stat
from collections import OrderedDict

from wharf.kernel import paths
from wharf.storage.layers.lookup import is_whiteout

_KEPT_OPEN = 128


class Directories:
    """Directories beneath the open directory `root`, by path. `close` at the end.

    `lowers`, `xattr_prefix`, `whiteouts` and `follow`: see `apply.ApplyOptions`.
    `times` collects the mtimes (ns) that directories shall have in the end.
    """

    def __init__(
        self,
        root: int,
        lowers: tuple[str, ...],
        *,
        xattr_prefix: str,
        whiteouts: bool,
        follow: tuple[int, bytes] | None,
    ) -> None:
        self.times: dict[bytes, int] = {}
        self._root = root
        self._xattr_prefix = xattr_prefix
        self._whiteouts = whiteouts
        self._follow = follow
        self._open: OrderedDict[bytes, int] = OrderedDict()
        self._lowers: list[int] = []
        try:
            for path in lowers:
                self._lowers.append(os.open(path, paths.DIRECTORY))
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close every descriptor that was opened."""
        for fd in (*self._open.values(), *self._lowers):
            os.close(fd)
        self._open.clear()
        self._lowers.clear()

    def get(self, path: bytes, create: bool = True) -> int:
        """The open directory `path`; good until 100 others were asked for. OSError for a link in the way."""
        if not path:
            return self._root
        fd = self._open.get(path)
        if fd is not None:
            self._open.move_to_end(path)
            return fd
        try:
            fd = self._find(path)
        except (FileNotFoundError, NotADirectoryError):
            if not create:
                raise
            fd = self._make_all(path)
        self._open[path] = fd
        if len(self._open) > _KEPT_OPEN:
            os.close(self._open.popitem(last=False)[1])
        return fd

    def forget_all_but(self, fd: int) -> None:
        """Close what may be inside a directory that is about to go; `fd` is the one it is in."""
        for path in [path for path, opened in self._open.items() if opened != fd]:
            os.close(self._open.pop(path))

    def make(self, directory: int, base: bytes) -> bool:
        """False when it is there already. One that comes over the layer's own whiteout hides what lies below."""
        try:
            os.mkdir(base, 0o755, dir_fd=directory)
            return True
        except FileExistsError:
            if not (self._whiteouts and is_whiteout(lstat(directory, base))):
                return False
        os.unlink(base, dir_fd=directory)
        os.mkdir(base, 0o755, dir_fd=directory)
        self.set_opaque(directory, base)
        return True

    def set_opaque(self, directory: int, base: bytes) -> None:
        """Mark the directory so that overlayfs shows nothing of those below it."""
        fd = os.open(base, paths.DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
        try:
            os.setxattr(fd, self._xattr_prefix + "overlay.opaque", b"y")
        finally:
            os.close(fd)

    def set_times(self) -> None:
        """Give every directory its time, now that nothing is put into it any more."""
        for path, mtime in self.times.items():
            parent, _, base = path.rpartition(b"/")
            try:
                directory = self.get(parent, create=False)
                os.utime(base or b".", ns=(mtime, mtime), dir_fd=directory, follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                continue  # replaced by a later entry

    def _find(self, path: bytes) -> int:
        if self._follow is not None:
            root, place = self._follow
            return paths.open_in_root(root, place + b"/" + path, paths.DIRECTORY)
        return paths.open_beneath(self._root, path)

    def _make_all(self, path: bytes) -> int:
        """Make a directory that the archive uses and has no entry for (yet): as the layers below have it, else 0755.

        Walks from the top with one descriptor, so depth costs neither stack nor descriptors.
        """
        current = os.dup(self._root)
        walked = b""
        for part in path.split(b"/"):
            walked = walked + b"/" + part if walked else part
            try:
                made = self.make(current, part)
                if self._follow is not None:
                    following = self._find(walked)
                else:
                    following = os.open(part, paths.DIRECTORY | os.O_NOFOLLOW, dir_fd=current)
            finally:
                os.close(current)
            current = following
            if made:
                self._like_below(current, walked)
        return current

    def _like_below(self, fd: int, path: bytes) -> None:
        for lower in self._lowers:
            try:
                below = paths.open_beneath(lower, path)
            except OSError:
                continue
            found = os.fstat(below)
            os.close(below)
            os.fchown(fd, found.st_uid, found.st_gid)
            os.fchmod(fd, stat.S_IMODE(found.st_mode))
            self.times.setdefault(path, found.st_mtime_ns)
            return


def lstat(directory: int, base: bytes) -> os.stat_result:
    """lstat(2) of a name in an open directory."""
    return os.stat(base, dir_fd=directory, follow_symlinks=False)


def is_directory(directory: int, base: bytes) -> bool:
    """Whether the name is a directory itself; raises FileNotFoundError."""
    return stat.S_ISDIR(lstat(directory, base).st_mode)


def is_deleted(directory: int, base: bytes) -> bool:
    """Whether the name is a whiteout; a missing one is none."""
    try:
        return is_whiteout(lstat(directory, base))
    except FileNotFoundError:
        return False
