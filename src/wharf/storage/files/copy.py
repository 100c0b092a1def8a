"""Copying between trees, as COPY and ADD do: modes, owners, times, links and attributes kept, nothing followed that
is not meant to be. Standard library only: workers use it.
"""

import os
import stat
from dataclasses import dataclass, field

from wharf.errors import Invalid
from wharf.kernel import paths, xattr
from wharf.kernel.beneath import make_directory
from wharf.spec.chmod import new_mode
from wharf.storage.files.select import Excluded, Source

CHUNK = 1 << 20
SMALL = 64 << 10
"""Bytes of a file below which asking the kernel to share or copy it costs more than reading it."""
_MAX_LINKS = 40
_XATTRS = ("user.", "security.capability", "system.posix_acl_")


@dataclass(slots=True)
class Rules:
    """How what is copied arrives. `owner` of None keeps the source's; `chmod` of "" its mode."""

    owner: tuple[int, int] | None
    chmod: str = ""
    excluded: Excluded = field(default_factory=lambda: Excluded([], []))
    like: int = -1
    """A tree whose directories those that are made on the way are like; -1 for none."""
    alike: bool = False
    """The directory that the content of another goes to becomes like that one, as a view of it."""
    inodes: dict[tuple[int, int], str] = field(default_factory=dict)
    """Second names of one inode become hard links: where the first name lies in the target."""


def copy_source(tree: int, source: Source, root: int, target: str, rules: Rules) -> None:
    """Copy one selected thing to `target` (a directory where it ends with a slash). Raises Invalid, OSError."""
    fd = paths.open_in_root(tree, source.path, os.O_PATH)
    try:
        found = os.fstat(fd)
        place = target
        if source.below:
            place = target.rstrip("/") + "/" + source.below
            _make_parents(tree, source, root, target, rules)
        if stat.S_ISDIR(found.st_mode):
            _copy_directory(fd, source.path.strip("/"), root, place, found, rules, new_is_like=bool(source.below))
            return
        if not source.below:
            place = _file_place(root, target, os.path.basename(source.path.rstrip("/")), rules)
        _copy_named(tree, source.path, root, place, found, rules)
    finally:
        os.close(fd)


def _make_parents(tree: int, source: Source, root: int, target: str, rules: Rules) -> None:
    """The directories above a thing that keeps its path, with the modes that they have in the source."""
    parts = source.below.split("/")[:-1]
    top = source.path[: len(source.path) - len(source.below)].rstrip("/")
    place, path = target.rstrip("/"), top
    make_owned(root, place or "/", rules)
    for part in parts:
        place, path = f"{place}/{part}", f"{path}/{part}"
        if _is_directory(root, place):
            continue
        found = os.stat(fd := paths.open_in_root(tree, path, os.O_PATH))
        os.close(fd)
        made = make_directory(root, place)
        _set_metadata(made, found, rules)
        os.close(made)


def _file_place(root: int, target: str, name: str, rules: Rules) -> str:
    """Where a file goes: into a directory that is there or must be, else under the target's own name."""
    if target.endswith("/") or _is_directory(root, target):
        make_owned(root, target.rstrip("/") or "/", rules)
        return target.rstrip("/") + "/" + name
    target = link_followed(root, target)
    make_owned(root, os.path.dirname(target) or "/", rules)
    return target


def link_followed(root: int, path: str) -> str:
    """Where a file that is to be written as `path` comes to lie: a symbolic link of that name is followed, whether
    something is there or not."""
    for _ in range(_MAX_LINKS):
        try:
            fd = paths.open_in_root(root, os.path.dirname(path) or "/", os.O_PATH)
        except OSError:
            return path
        try:
            there = os.readlink(os.path.basename(path), dir_fd=fd)
        except OSError:
            return path
        finally:
            os.close(fd)
        path = os.path.normpath(os.path.join("/", os.path.dirname(path), there))
    raise Invalid(f"{path}: too many levels of symbolic links")


def _is_directory(root: int, path: str) -> bool:
    try:
        fd = paths.open_in_root(root, path, os.O_PATH)
    except OSError:
        return False
    try:
        return stat.S_ISDIR(os.fstat(fd).st_mode)
    finally:
        os.close(fd)


def make_owned(root: int, path: str, rules: Rules, mode: int = 0o755) -> None:
    """`mkdir -p`; what is made belongs to the owner of the rules, root without one, and has their mode where that is a
    number."""
    missing: list[str] = []
    current = path.rstrip("/") or "/"
    while current != "/" and not _is_directory(root, current):
        missing.append(current)
        current = os.path.dirname(current)
    for place in reversed(missing):
        try:
            fd = make_directory(root, place, mode)
        except (NotADirectoryError, FileExistsError):
            raise Invalid(f"cannot create directory {place}: a file is in the way") from None
        try:
            os.chown(f"/proc/self/fd/{fd}", *(rules.owner or (0, 0)))
            os.chmod(f"/proc/self/fd/{fd}", int(rules.chmod, 8) if rules.chmod.isdigit() else mode)
            _make_like(fd, place, rules)
        finally:
            os.close(fd)


def _make_like(fd: int, path: str, rules: Rules) -> None:
    """A directory that the layers below have as well stays what it is there."""
    if rules.like < 0:
        return
    try:
        below = paths.open_beneath(rules.like, path.lstrip("/"))
    except OSError:
        return
    try:
        found = os.fstat(below)
        _set_metadata(fd, found, Rules(None), source=below)
    finally:
        os.close(below)


def _copy_directory(
    fd: int, from_top: str, root: int, place: str, found: os.stat_result, rules: Rules, *, new_is_like: bool
) -> None:
    """The content of a directory into `place`. That gets the source's time; all else of it only with `new_is_like`,
    where it was made for it. The top of a tree has no time that means something."""
    there = _is_directory(root, place.rstrip("/") or "/")
    make_owned(root, os.path.dirname(place.rstrip("/")) or "/", rules)
    make_owned(root, place.rstrip("/") or "/", rules)
    into = paths.open_in_root(root, place.rstrip("/") or "/", paths.DIRECTORY)
    source = os.open(f"/proc/self/fd/{fd}", paths.DIRECTORY)
    try:
        _Tree(rules, root).copy(source, into, from_top)
        if rules.alike or (new_is_like and not there):
            _set_metadata(into, found, rules)
        elif from_top:
            os.utime(f"/proc/self/fd/{into}", ns=(found.st_mtime_ns, found.st_mtime_ns))
    finally:
        os.close(source)
        os.close(into)


class _Tree:
    """A directory's content, level by level; no recursion, so depth costs descriptors only."""

    def __init__(self, rules: Rules, root: int) -> None:
        self._rules = rules
        self._root = root

    def copy(self, source: int, target: int, from_top: str) -> None:
        stack = [_Level(os.dup(source), os.dup(target), "", None)]
        try:
            while stack:
                level = stack[-1]
                name = next(level.names, None)
                if name is None:
                    stack.pop().close(self._rules)
                    continue
                below = self._one(level, name, from_top)
                if below is not None:
                    stack.append(below)
        finally:
            for level in stack:
                level.drop()

    def _one(self, level: "_Level", name: str, from_top: str) -> "_Level | None":
        relative = f"{level.path}/{name}".lstrip("/")
        whole = f"{from_top}/{relative}".lstrip("/")
        found = os.stat(name, dir_fd=level.source, follow_symlinks=False)
        out = self._rules.excluded.leaves_out(relative, whole)
        if stat.S_ISDIR(found.st_mode):
            if out and self._rules.excluded.prunes(relative, whole):
                return None
            return self._enter(level, name, relative, found, wanted=not out)
        if not out:
            level.need()
            _copy_node(level.source, name, level.target, name, found, self._rules)
        return None

    def _enter(self, level: "_Level", name: str, relative: str, found: os.stat_result, *, wanted: bool) -> "_Level":
        source = os.open(name, paths.DIRECTORY | os.O_NOFOLLOW, dir_fd=level.source)
        below = _Level(source, -1, relative, found, level, name)
        if wanted:
            below.need()
        return below


class _Level:
    """One directory of both trees. The target is made when something in it is wanted."""

    def __init__(
        self,
        source: int,
        target: int,
        path: str,
        found: os.stat_result | None,
        above: "_Level | None" = None,
        name: str = "",
    ) -> None:
        self.source, self.target, self.path = source, target, path
        self._found, self._above, self._name = found, above, name
        self.names = iter(sorted(os.listdir(source), key=os.fsencode))

    def need(self) -> None:
        """Make the directory in the target, unless one is there."""
        if self.target >= 0:
            return
        assert self._above is not None
        self._above.need()
        try:
            os.mkdir(self._name, 0o700, dir_fd=self._above.target)
        except FileExistsError:
            there = os.stat(self._name, dir_fd=self._above.target, follow_symlinks=False)
            if not stat.S_ISDIR(there.st_mode):
                raise Invalid(f"cannot copy to non-directory: {self.path}") from None
        self.target = os.open(self._name, paths.DIRECTORY | os.O_NOFOLLOW, dir_fd=self._above.target)

    def close(self, rules: Rules) -> None:
        """Everything in it is there: mode, owner and times last, since writing changes them."""
        if self.target >= 0 and self._found is not None:
            _set_metadata(self.target, self._found, rules, source=self.source)
        self.drop()

    def drop(self) -> None:
        """Close the descriptors."""
        os.close(self.source)
        if self.target >= 0:
            os.close(self.target)


def _copy_named(tree: int, path: str, root: int, place: str, found: os.stat_result, rules: Rules) -> None:
    """A file that was named: a symbolic link in its way was followed, so it is opened by its own path again."""
    into = paths.open_in_root(root, os.path.dirname(place.rstrip("/")) or "/", paths.DIRECTORY)
    name = os.path.basename(place.rstrip("/"))
    try:
        if stat.S_ISREG(found.st_mode):
            fd = paths.open_in_root(tree, path, os.O_RDONLY | os.O_NONBLOCK)
            try:
                _copy_file(fd, into, name, found, rules)
            finally:
                os.close(fd)
        else:
            _copy_special(into, name, found, "", rules)
    finally:
        os.close(into)


def _copy_node(source: int, name: str, into: int, target: str, found: os.stat_result, rules: Rules) -> None:
    """One entry of a directory that is no directory; links are copied as links."""
    key = (found.st_dev, found.st_ino)
    if found.st_nlink > 1 and key in rules.inodes:
        _clear(into, target)
        os.link(rules.inodes[key], target, dst_dir_fd=into, follow_symlinks=False)
        return
    if stat.S_ISREG(found.st_mode):
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=source)
        try:
            _copy_file(fd, into, target, found, rules)
        finally:
            os.close(fd)
    else:
        _copy_special(
            into, target, found, os.readlink(name, dir_fd=source) if stat.S_ISLNK(found.st_mode) else "", rules
        )
    if found.st_nlink > 1:
        rules.inodes[key] = os.path.join(os.readlink(f"/proc/self/fd/{into}"), target)


def _clear(into: int, name: str) -> None:
    """What is in the way goes, but a directory stays: a file cannot replace it."""
    try:
        os.unlink(name, dir_fd=into)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        raise Invalid(f"cannot overwrite directory {name} with a file") from None


def _copy_file(fd: int, into: int, name: str, found: os.stat_result, rules: Rules) -> None:
    """A regular file, made with its mode: most need nothing set but their time. Each call on an overlay costs."""
    mode = _mode(found, rules)
    out = _create(into, name, mode & 0o777)
    try:
        _copy_content(fd, out, found.st_size)
        owner = rules.owner if rules.owner is not None else (found.st_uid, found.st_gid)
        made = os.fstat(out)
        if (made.st_uid, made.st_gid) != owner:
            os.fchown(out, *owner)
        _copy_xattrs_fd(fd, into, name)  # after chown, which takes capabilities away
        if stat.S_IMODE(os.fstat(out).st_mode) != mode:
            os.fchmod(out, mode)  # likewise the set-user bits
        os.utime(out, ns=(found.st_mtime_ns, found.st_mtime_ns))
    finally:
        os.close(out)


def _create(into: int, name: str, mode: int) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, mode, dir_fd=into)
    except FileExistsError:
        _clear(into, name)
        return os.open(name, flags, mode, dir_fd=into)


def _copy_content(fd: int, out: int, size: int) -> None:
    """`size` is what the file had: a small one is read at once, more of it is read all the same."""
    while size > SMALL:
        try:
            if not os.copy_file_range(fd, out, CHUNK << 6):
                return
        except OSError:  # between file systems that do not share it
            break
    wanted = min(size + 1, CHUNK) if size else CHUNK
    while data := os.read(fd, wanted):
        view = memoryview(data)
        while view:
            view = view[os.write(out, view) :]
        if len(data) < wanted:  # of a regular file only its end is short
            return


def _copy_xattrs_fd(fd: int, into: int, name: str) -> None:
    try:
        names = os.listxattr(fd)
    except OSError:
        return
    for attribute in names:
        if attribute.startswith(_XATTRS):
            value = xattr.get_fd(fd, attribute)
            if value is not None:
                xattr.put(into, os.fsencode(name), attribute, value)


def _copy_special(into: int, name: str, found: os.stat_result, link: str, rules: Rules) -> None:
    """What is neither a file nor a directory."""
    _clear(into, name)
    if stat.S_ISLNK(found.st_mode):
        os.symlink(link, name, dir_fd=into)
    elif stat.S_ISSOCK(found.st_mode):
        raise Invalid(f"{name}: a socket cannot be copied")
    else:
        os.mknod(name, found.st_mode, found.st_rdev, dir_fd=into)
    owner = rules.owner if rules.owner is not None else (found.st_uid, found.st_gid)
    os.chown(name, *owner, dir_fd=into, follow_symlinks=False)
    if not stat.S_ISLNK(found.st_mode):
        os.chmod(name, _mode(found, rules), dir_fd=into)
    os.utime(name, ns=(found.st_mtime_ns, found.st_mtime_ns), dir_fd=into, follow_symlinks=False)


def _set_metadata(fd: int, found: os.stat_result, rules: Rules, source: int = -1) -> None:
    path = f"/proc/self/fd/{fd}"
    os.chown(path, *(rules.owner if rules.owner is not None else (found.st_uid, found.st_gid)))
    os.chmod(path, _mode(found, rules))
    if source >= 0:
        for attribute in os.listxattr(source):
            if attribute.startswith(_XATTRS) and (value := xattr.get_fd(source, attribute)) is not None:
                os.setxattr(path, attribute, value)
    os.utime(path, ns=(found.st_mtime_ns, found.st_mtime_ns))


def _mode(found: os.stat_result, rules: Rules) -> int:
    mode = stat.S_IMODE(found.st_mode)
    return new_mode(rules.chmod, mode, directory=stat.S_ISDIR(found.st_mode)) if rules.chmod else mode
