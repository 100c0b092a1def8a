"""Applying a layer: an archive becomes files beneath a directory, and nothing anywhere else.

The archive is hostile until shown otherwise. A name is split into its parent and its last component; the parent is
opened by openat2(2) with no symbolic link followed and no way up, and everything else is done with that descriptor
and the last component alone. So there is no path that could be exchanged between a check and its use.

Deletions are marked as overlayfs reads them: `.wh.NAME` becomes a character device 0:0, `.wh..wh..opq` the attribute
`<prefix>overlay.opaque`. They hide what lies below this layer, never the layer's own entries, in whatever order those
come (OCI image specification, layer.md#whiteouts).

Meant for a process of its own: sets the umask. Standard library only.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field

from wharf.errors import Internal, Invalid
from wharf.kernel import paths, xattr
from wharf.storage.layers.directories import Directories, is_deleted, is_directory
from wharf.storage.layers.header import (
    BLOCK_DEVICE,
    CHAR,
    DIRECTORY,
    FIFO,
    HARDLINK,
    REGULAR,
    SYMLINK,
    Entry,
)
from wharf.storage.layers.names import OPAQUE, RESERVED, WHITEOUT, show, split
from wharf.storage.layers.reader import ArchiveReader, write_all
from wharf.storage.layers.unnamed import give_name, open_unnamed
from wharf.storage.limits import DISK_FULL, MAX_PATH, Limits

_SPACE_STEP = 64 << 20
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ARCHIVES_FAULT = (
    errno.ENAMETOOLONG,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENOENT,
    errno.EINVAL,
    errno.EPERM,
    errno.EMLINK,
    errno.ERANGE,
    errno.E2BIG,
)


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """`lowers`: the directories below, top first, whose modes and owners a missing parent directory takes over.

    `xattr_prefix` is `Host.xattr_prefix`; `mknod` says whether device nodes can be made (else they are left out).
    `whiteouts=False` takes `.wh.` names as ordinary ones (docker cp). `absolute=True` allows a leading slash.
    `follow` (a root, the target's path in it) lets parents be symbolic links, resolved inside that root (docker cp);
    `keep_types` refuses to put a directory over something else or the other way round;
    `owner` overrides every entry's (uid, gid); `beside` gives a file its name when it is whole (docker cp).
    """

    lowers: tuple[str, ...] = ()
    xattr_prefix: str = "trusted."
    mknod: bool = True
    whiteouts: bool = True
    absolute: bool = False
    follow: tuple[int, bytes] | None = None
    keep_types: bool = False
    owner: tuple[int, int] | None = None
    beside: bool = False
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class AppliedLayer:
    """`size` bytes of uncompressed archive, `entries` headers read."""

    size: int
    entries: int


def apply_layer(source: int, root: int, options: ApplyOptions) -> AppliedLayer:
    """Unpack the uncompressed archive in descriptor `source` beneath the directory `root`.

    Raises Invalid, naming the entry, for what may not be; the tree is then incomplete and the caller discards it.
    Raises Internal when the disk is full.
    """
    reader = ArchiveReader(source)
    applier = Applier(root, reader, options)
    old = os.umask(0)
    try:
        applier.run()
    finally:
        applier.close()
        os.umask(old)
    return AppliedLayer(reader.position, reader.count)


class Applier:
    """One archive being unpacked; see `apply_layer`."""

    def __init__(self, root: int, reader: ArchiveReader, options: ApplyOptions) -> None:
        self._root = root
        self._reader = reader
        self._options = options
        self._directories = Directories(
            root,
            options.lowers,
            xattr_prefix=options.xattr_prefix,
            whiteouts=options.whiteouts,
            follow=options.follow,
        )
        self._next_check = 0
        self._owner = (os.geteuid(), os.getegid())
        self._makers: dict[bytes, Callable[[Entry, int, bytes], None]] = {
            SYMLINK: self._symlink,
            HARDLINK: self._hardlink,
            CHAR: self._device,
            BLOCK_DEVICE: self._device,
            FIFO: self._fifo,
        }

    def close(self) -> None:
        """Close every descriptor that was opened."""
        self._directories.close()

    def run(self) -> None:
        """Apply every entry, then set the directories' times, which filling them has changed."""
        most = self._options.limits.max_entries
        for entry in self._reader.entries(most):
            if self._reader.position >= self._next_check:
                self._check_space(0)
            try:
                self._apply(entry)
            except Invalid as error:
                raise Invalid(f"{show(entry.name)}: {error}") from None
            except OSError as error:
                raise _failure(error, entry) from None
        self._directories.set_times()

    def _apply(self, entry: Entry) -> None:
        parent, base = split(entry.name, self._options.absolute)
        if self._options.owner is not None:
            entry.uid, entry.gid = self._options.owner
        if self._options.whiteouts and b".wh." in entry.name and self._whiteout(parent, base):
            return
        if not base:
            if entry.kind != DIRECTORY:
                raise Invalid("the root can only be a directory")
            self._directory_metadata(entry, self._root, b"")
            return
        directory = self._directories.get(parent)
        if entry.kind == REGULAR:
            if self._options.beside:
                self._beside(entry, directory, base)
            else:
                self._regular(entry, directory, base)
        elif entry.kind == DIRECTORY:
            self._directory(entry, directory, base, parent + b"/" + base if parent else base)
        else:
            maker = self._makers.get(entry.kind)
            if maker is None:
                raise Invalid(f"unhandled tar header type {entry.kind[0]}")
            maker(entry, directory, base)

    # -- regular files: the hot path, kept in one piece ------------------------------------------------------------

    def _regular(self, entry: Entry, directory: int, base: bytes) -> None:
        try:
            fd = os.open(base, _CREATE, entry.mode, dir_fd=directory)
        except FileExistsError:
            self._replace(directory, base, by_directory=False)
            fd = os.open(base, _CREATE, entry.mode, dir_fd=directory)
        self._fill(entry, fd)

    def _fill(self, entry: Entry, fd: int) -> None:
        """Contents and metadata; closes the descriptor."""
        try:
            if entry.size:
                whole = self._reader.whole()
                if whole is None or os.write(fd, whole) != entry.size:
                    self._copy(fd, entry.size, whole)
            if (entry.uid, entry.gid) != self._owner:
                os.fchown(fd, entry.uid, entry.gid)
            if entry.mode & 0o7000:  # after chown and write, which clear the set-id bits
                os.fchmod(fd, entry.mode)
            if entry.xattrs:
                self._xattrs(entry, lambda key, value: os.setxattr(fd, key, value))
            os.utime(fd, ns=(entry.mtime, entry.mtime))
        finally:
            os.close(fd)

    def _beside(self, entry: Entry, directory: int, base: bytes) -> None:
        """Fill a file beside, then let it take its place: nobody sees half of it."""
        with contextlib.suppress(FileNotFoundError):
            if is_directory(directory, base):
                self._replace(directory, base, by_directory=False)
        staged = b".wharf-" + os.urandom(8).hex().encode()
        unnamed = open_unnamed(directory, entry.mode)
        try:
            if unnamed >= 0:  # killed before it is whole it leaves nothing at all
                self._fill(entry, os.dup(unnamed))
                if give_name(unnamed, directory, base):
                    return
                give_name(unnamed, directory, staged)
            else:
                self._fill(entry, os.open(staged, _CREATE, entry.mode, dir_fd=directory))
            os.rename(staged, base, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(staged, dir_fd=directory)
            raise
        finally:
            if unnamed >= 0:
                os.close(unnamed)

    def _copy(self, fd: int, size: int, whole: memoryview | None) -> None:
        """A large file, or a small one that the disk took only in part."""
        self._check_space(size)
        if whole is not None:
            os.lseek(fd, 0, os.SEEK_SET)
            write_all(fd, whole)
            return
        while self._reader.pour(fd):
            self._check_space(0)

    def _check_space(self, wanted: int) -> None:
        """Refuse to fill the last of the file system; looked at for every large file and every 64 MB."""
        if not wanted and self._reader.position < self._next_check:
            return
        self._next_check = self._reader.position + _SPACE_STEP
        space = os.fstatvfs(self._root)
        keep = int(space.f_blocks * self._options.limits.min_free)
        if (space.f_bavail - keep) * space.f_frsize < wanted:
            share = f"{self._options.limits.min_free:.0%}"
            raise Invalid(f"unpacking would leave less than {share} of the disk free (limit min-free)")

    # -- the other kinds --------------------------------------------------------------------------------------------

    def _directory(self, entry: Entry, directory: int, base: bytes, path: bytes) -> None:
        if not self._directories.make(directory, base) and not is_directory(directory, base):
            self._replace(directory, base, by_directory=True)
            os.mkdir(base, 0o700, dir_fd=directory)
        fd = os.open(base, paths.DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
        try:
            self._directory_metadata(entry, fd, path)
        finally:
            os.close(fd)

    def _directory_metadata(self, entry: Entry, fd: int, path: bytes) -> None:
        os.fchown(fd, entry.uid, entry.gid)
        os.fchmod(fd, entry.mode)
        if entry.xattrs:
            self._xattrs(entry, lambda key, value: os.setxattr(fd, key, value))
        self._directories.times[path] = entry.mtime

    def _symlink(self, entry: Entry, directory: int, base: bytes) -> None:
        if not entry.link:
            raise Invalid("a symbolic link without a target")
        if len(entry.link) > MAX_PATH:
            raise Invalid(f"a symbolic link of {len(entry.link)} bytes exceeds the limit of {MAX_PATH}")
        self._create(directory, base, lambda: os.symlink(entry.link, base, dir_fd=directory))
        self._finish(entry, directory, base, mode=False)

    def _hardlink(self, entry: Entry, directory: int, base: bytes) -> None:
        try:
            parent, target = split(entry.link, self._options.absolute)
            source = self._directories.get(parent, create=False)
        except (Invalid, FileNotFoundError, NotADirectoryError):
            raise Invalid(f"invalid hardlink {show(entry.name)} -> {show(entry.link)}") from None
        if source == directory and target == base:
            return
        if not target or is_deleted(source, target):
            raise Invalid(f"invalid hardlink {show(entry.name)} -> {show(entry.link)}")

        try:
            _link(source, target, directory, base)
        except FileNotFoundError:
            raise Invalid(f"invalid hardlink {show(entry.name)} -> {show(entry.link)}: not in the layer") from None
        except FileExistsError:
            self._replace(directory, base, by_directory=False)  # may close `source`
            _link(self._directories.get(parent, create=False), target, directory, base)

    def _device(self, entry: Entry, directory: int, base: bytes) -> None:
        if not self._options.mknod:
            return
        major, minor = entry.device
        if major >= 1 << 12 or minor >= 1 << 20:
            raise Invalid(f"device {major}:{minor} is out of range")
        kind = stat.S_IFCHR if entry.kind == CHAR else stat.S_IFBLK
        device = os.makedev(major, minor)
        self._create(directory, base, lambda: os.mknod(base, kind | entry.mode, device, dir_fd=directory))
        self._finish(entry, directory, base)

    def _fifo(self, entry: Entry, directory: int, base: bytes) -> None:
        self._create(directory, base, lambda: os.mkfifo(base, entry.mode, dir_fd=directory))
        self._finish(entry, directory, base)

    def _create(self, directory: int, base: bytes, make: Callable[[], None]) -> None:
        try:
            make()
        except FileExistsError:
            self._replace(directory, base, by_directory=False)
            make()

    def _finish(self, entry: Entry, directory: int, base: bytes, mode: bool = True) -> None:
        """Owner, mode, attributes and time of what cannot be opened."""
        os.chown(base, entry.uid, entry.gid, dir_fd=directory, follow_symlinks=False)
        if mode and entry.mode & 0o7000:
            os.chmod(base, entry.mode, dir_fd=directory)  # just made by us, and no symbolic link
        if entry.xattrs:
            self._xattrs(entry, lambda key, value: xattr.put(directory, base, key, value))
        os.utime(base, ns=(entry.mtime, entry.mtime), dir_fd=directory, follow_symlinks=False)

    def _xattrs(self, entry: Entry, put: Callable[[str, bytes], None]) -> None:
        """Overlayfs's own attributes would redirect the mount: they are dropped, as Docker drops them. An attribute
        that the file system does not take is left out too.
        """
        for key, value in entry.xattrs.items():
            if key.startswith(("trusted.overlay.", "user.overlay.")):
                continue
            try:
                put(key, value)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EPERM):
                    raise

    # -- whiteouts ----------------------------------------------------------------------------------------------------

    def _whiteout(self, parent: bytes, base: bytes) -> bool:
        """Act on a `.wh.` name; False when the name is an ordinary one after all."""
        if parent.startswith(RESERVED) or b"/" + RESERVED in parent or (base.startswith(RESERVED) and base != OPAQUE):
            return True  # bookkeeping of aufs
        if parent.startswith(WHITEOUT) or b"/" + WHITEOUT in parent:
            raise Invalid("a whiteout cannot be a directory")
        if not base.startswith(WHITEOUT):
            return False
        if base == OPAQUE:
            self._opaque(parent)
            return True
        target = base[len(WHITEOUT) :]
        if target in (b"", b".", b".."):
            raise Invalid("a whiteout of the root or of a directory itself is not allowed")
        directory = self._directories.get(parent)
        try:
            os.mknod(target, stat.S_IFCHR, os.makedev(0, 0), dir_fd=directory)
        except FileExistsError:
            if is_directory(directory, target):  # the layer's own; what lies below it must not show through
                self._directories.set_opaque(directory, target)
        return True

    def _opaque(self, parent: bytes) -> None:
        if parent:
            grand, _, base = parent.rpartition(b"/")
            self._directories.get(parent)
            self._directories.set_opaque(self._directories.get(grand), base)
        elif self._options.lowers:
            raise Invalid("a whiteout of the root is not allowed")

    def _replace(self, directory: int, base: bytes, by_directory: bool) -> None:
        """Take away what is in the way of an entry; with a directory go the cached descriptors of what is in it."""
        is_one = is_directory(directory, base)
        if self._options.keep_types and is_one and not by_directory:
            raise Invalid(f"cannot overwrite directory {show(base)} with non-directory {show(base)}")
        if self._options.keep_types and by_directory and not is_one:
            raise Invalid(f"cannot overwrite non-directory {show(base)} with directory {show(base)}")
        if is_one:
            self._directories.forget_all_but(directory)
        paths.remove(directory, base)


def _link(source: int, target: bytes, directory: int, base: bytes) -> None:
    os.link(target, base, src_dir_fd=source, dst_dir_fd=directory, follow_symlinks=False)


def _failure(error: OSError, entry: Entry) -> Exception:
    """The refusal that an errno means: what the archive can cause is its fault, the rest is the host's."""
    name, reason = show(entry.name), os.strerror(error.errno or 0)
    if error.errno in DISK_FULL:
        return Internal(f"{name}: {reason}")
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EXDEV):
        return Invalid(f"{name}: a parent is a symbolic link or no directory: it could lead outside of the root")
    if error.errno in _ARCHIVES_FAULT or error.errno == errno.EROFS:
        return Invalid(f"{name}: {reason.lower()}")
    return Internal(f"{name}: {error}")
