"""Snapshots as directories that overlayfs stacks.

    <root>/committed/<chainID hex>/fs/       the layer's files, whiteouts as overlayfs wants them
                                  /parent    chainID of the one below, or "-"
                                  /unsynced  boot id of the commit; taken away once a syncfs has covered the tree
    <root>/committed/<parent hex>.init/fs/   Docker's mount points over that parent, shared by its containers
    <root>/active/<key>/fs/ work/            upper and work directory of the mount, of one project where it has a size
                       /parent               chainID below or "-"; then "init" or "view" where that is so
    <root>/staging/<random>/                 an active one being made, or the work directory of a copy; emptied at start

`parent` is a symbolic link that leads nowhere: its text is journaled with the names around it, where a file's data
would need an fsync to survive a power loss together with them.

Nothing waits for the disk: a commit is a rename, and a thread syncs and takes the marker away. What still carries the
marker of another boot at the next start was cut off by a power loss, and is discarded: the blobs are there to unpack
it again. A snapshot that is gone makes those above it not exist either.
"""

import contextlib
import os
import re
import secrets
import threading
from collections.abc import Iterator

from wharf.errors import Conflict, Invalid, NotFound
from wharf.spec.digest import Digest
from wharf.spec.host import Host
from wharf.spec.mount import Mount, Overlay
from wharf.storage.snapshots import LayerDirs, init_layer
from wharf.storage.snapshots.clean import CleanMarker
from wharf.storage.snapshots.quota import RootQuotas
from wharf.storage.trash import Trash
from wharf.storage.usage import require_room, tree_usage

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}\Z")
_INIT, _VIEW = "init", "view"
MOUNT_ROOM = 1 << 20
"""Bytes: XFS wants to see some dozens of free blocks before it makes a directory."""


class OverlaySnapshotter:
    """Snapshots beneath `root` (made if missing); see `Snapshotter` for the methods."""

    def __init__(self, root: str, host: Host, trash: Trash) -> None:
        self._committed = os.path.join(root, "committed")
        self._active = os.path.join(root, "active")
        self._staging = os.path.join(root, "staging")
        for path in (self._committed, self._active, self._staging):
            os.makedirs(path, mode=0o711, exist_ok=True)
        self._trash = trash
        self._xattr_prefix = host.xattr_prefix
        self._options = _mount_options(host)
        self._marker = CleanMarker(self._committed, host.boot_id)
        self.quotas = RootQuotas(self._active)
        self._lock = threading.Lock()
        self._sizes: dict[Digest, int] = {}
        self.discarded = 0
        """How many committed snapshots the start had to take away: what lies on them is to be mended."""

    def start(self) -> None:
        """Discard what a crash left half made or unsynced, and begin to sync in the background."""
        for name in os.listdir(self._staging):
            self._trash.discard(os.path.join(self._staging, name))
        for name in self._marker.unclean():
            self._trash.discard(os.path.join(self._committed, name))
            self.discarded += 1
        for key in self.keys():  # a view or container cut off within its first instants
            if not os.path.lexists(os.path.join(self._active, key, "parent")):
                self._trash.discard(os.path.join(self._active, key))
        self._marker.start()

    def close(self) -> None:
        """End the background thread after it has synced what is pending."""
        self._marker.close()

    def prepare(self, key: str, parent: Digest | None, init: bool = False, size: int = 0) -> list[Mount]:
        """Make a writable snapshot on `parent`; with `init`, Docker's mount points lie between the two.

        `size`: how many bytes may be written, 0 for any number; Internal where the file system cannot limit that.
        """
        if size:
            self.quotas.require()
        if init and parent is not None:
            self._ensure_init(parent)
        self._make(key, parent, _INIT if init and parent is not None else "")
        if size:
            try:
                self.quotas.limit([os.path.join(self._active, key, name) for name in ("fs", "work")], size)
            except BaseException:
                self.remove(key)
                raise
        return self.mounts(key)

    def view(self, key: str, parent: Digest | None) -> list[Mount]:
        """Make a read-only snapshot of `parent`."""
        self._make(key, parent, _VIEW)
        return self.mounts(key)

    def mounts(self, key: str, work: str = "") -> list[Mount]:
        """One mount for the root: an overlay, or a bind where a single directory shows everything.

        `work`: the work directory, where it is not to be the snapshot's (see `own_work`).
        """
        layers = self.layers(key)
        _, kind = self._parent_file(os.path.join(self._active, self._known(key)))
        own = os.path.join(self._active, key)
        if kind == _VIEW:
            if len(layers.lowers) < 2:
                source = layers.lowers[0] if layers.lowers else layers.upper
                return [Mount("bind", source, "", ("ro", "rbind"))]
            return [Mount("overlay", "overlay", "", ("ro",), Overlay(layers.lowers, options=self._view_options()))]
        if not layers.lowers:
            return [Mount("bind", layers.upper, "", ("rw", "rbind"))]
        overlay = Overlay(layers.lowers, layers.upper, work or os.path.join(own, "work"), self._options)
        return [Mount("overlay", "overlay", "", (), overlay)]

    @contextlib.contextmanager
    def own_work(self, key: str) -> Iterator[str]:
        """An empty work directory inside, for a mount of the active snapshot that somebody else may mount, too.

        Overlayfs empties the one it is given, under whoever uses it: a removal of a file fails there from then on.
        """
        holder = os.path.join(self._staging, secrets.token_hex(8))
        work = os.path.join(holder, "work")  # within: what has a project of its own could not be moved into the trash
        os.mkdir(holder, 0o700)
        try:
            os.mkdir(work, 0o700)
            self.quotas.share(work, os.path.join(self._active, key, "fs"))
            yield work
        finally:
            self._trash.discard(holder)

    @contextlib.contextmanager
    def room(self, key: str, size: int) -> Iterator[None]:
        """Lets the active snapshot of that `size` be mounted within the `with`, also when it is full: overlayfs makes
        a directory of its own for that, and without one the mount is read-only. Nothing to do for size 0."""
        tree = os.path.join(self._active, key, "fs")
        if size:
            self.quotas.change(tree, size + MOUNT_ROOM)
        try:
            yield
        finally:
            if size:
                self.quotas.change(tree, size)

    def shown(self, key: str) -> Overlay:
        """A view for somebody who may have the right to mount: an overlay also where a bind would show the same, for
        that could be made writable again, and would change the layer for everybody. Raises NotFound."""
        layers = self.layers(self._known(key))
        return Overlay((*layers.lowers, layers.upper), options=self._view_options())

    def _view_options(self) -> tuple[str, ...]:
        return tuple(option for option in self._options if option == "userxattr")

    def layers(self, snapshot: str | Digest) -> LayerDirs:
        """Where the snapshot's files lie; raises NotFound, also when one below is missing."""
        directory = self._directory(snapshot)
        parent, kind = self._parent_file(directory)
        chain = [os.path.join(self._committed, d.hex, "fs") for d in self._chain(parent)]
        if kind == _INIT and parent is not None:
            chain.insert(0, os.path.join(self._init(parent), "fs"))
        return LayerDirs(os.path.join(directory, "fs"), tuple(chain))

    def commit(self, key: str, chain_id: Digest) -> None:
        """Make the active snapshot immutable under `chain_id`. When that exists already, the active one is dropped."""
        directory = os.path.join(self._active, self._known(key))
        _, kind = self._parent_file(directory)
        if kind:
            raise Conflict(f"snapshot {key} is a {kind} snapshot and cannot be committed")
        with self._lock:
            if self.exists(chain_id):
                self._trash.discard(directory)
                return
            target = os.path.join(self._committed, chain_id.hex)
            self._trash.discard(target)  # there, but something below it was lost
            self._trash.discard(os.path.join(directory, "work"))
            self._marker.put(directory)
            os.rename(directory, target)
        self._marker.wake()

    def remove(self, snapshot: str | Digest) -> None:
        """Remove a snapshot; a missing one is fine. Raises Conflict when another one lies on a committed one."""
        if isinstance(snapshot, str):
            directory = os.path.join(self._active, _checked(snapshot))
            self.quotas.release(os.path.join(directory, "fs"))
            self._trash.discard(directory)
            return
        with self._lock:
            for directory in self._all():
                if self._parent_file(directory)[0] == snapshot and not directory.endswith(".init"):
                    raise Conflict(f"snapshot {snapshot} is in use by {os.path.basename(directory)}")
            self._sizes.pop(snapshot, None)
            self._trash.discard(self._init(snapshot))
            self._trash.discard(os.path.join(self._committed, snapshot.hex), large=True)

    def exists(self, chain_id: Digest) -> bool:
        """Whether the committed snapshot and all below it are there."""
        try:
            self._chain(chain_id)
        except NotFound:
            return False
        return True

    def may_have(self, key: str, path: str) -> bool:
        """Whether an absolute path can be in the snapshot: not when no layer has the first name of it. Raises
        NotFound."""
        layers = self.layers(key)
        first = path.strip("/").partition("/")[0]
        return any(os.path.lexists(os.path.join(layer, first)) for layer in (layers.upper, *layers.lowers))

    def missing_below(self, key: str) -> str:
        """What an active snapshot stands on and is not there, in words; "" when it is whole. Raises NotFound."""
        parent, kind = self._parent_file(os.path.join(self._active, self._known(key)))
        if parent is not None and not self.exists(parent):
            return f"a layer of {parent}"
        if kind == _INIT and parent is not None and not os.path.exists(self._init(parent)):
            return f"the mount points over {parent}"
        return ""

    def mend_below(self, key: str) -> None:
        """Make Docker's mount points below an active snapshot again if they are gone; its layers must be there."""
        parent, kind = self._parent_file(os.path.join(self._active, self._known(key)))
        if kind == _INIT and parent is not None:
            self._ensure_init(parent)

    def parent(self, snapshot: str | Digest) -> Digest | None:
        """The committed snapshot below; raises NotFound for an unknown snapshot."""
        return self._parent_file(self._directory(snapshot))[0]

    def usage(self, snapshot: str | Digest) -> int:
        """Bytes of the snapshot's own files, each inode once; walks the tree, a committed one's once."""
        known = self._sizes.get(snapshot) if isinstance(snapshot, Digest) else None
        if known is None:
            tree = os.path.join(self._directory(snapshot), "fs")
            known = tree_usage(tree)
            if isinstance(snapshot, Digest) and os.path.isdir(tree):  # one that was removed meanwhile may come again
                self._sizes[snapshot] = known
        return known

    def chain_ids(self) -> list[Digest]:
        """Every committed snapshot."""
        return [digest for name in os.listdir(self._committed) if (digest := Digest.of_name(name))]

    def keys(self) -> list[str]:
        """Every active snapshot and view."""
        return os.listdir(self._active)

    def _make(self, key: str, parent: Digest | None, kind: str) -> None:
        target = os.path.join(self._active, _checked(key))
        require_room(self._active)
        staged = os.path.join(self._staging, secrets.token_hex(8))
        os.mkdir(staged, 0o711)
        try:
            os.mkdir(os.path.join(staged, "work"), 0o700)
            os.mkdir(os.path.join(staged, "fs"))
            self._like_parent(os.path.join(staged, "fs"), parent)
            _write_parent(staged, parent, kind)
            with self._lock:
                self._chain(parent)
                if os.path.exists(target):
                    raise Conflict(f"snapshot {key} exists already")
                os.rename(staged, target)
        except BaseException:
            self._trash.discard(staged)
            raise

    def _like_parent(self, upper: str, parent: Digest | None) -> None:
        """The upper's root is the mount's root: it takes over mode and owner of the one below."""
        mode, owner = 0o755, (0, 0)
        if parent is not None:
            with contextlib.suppress(FileNotFoundError):  # _chain, under the lock, says so
                found = os.stat(os.path.join(self._committed, parent.hex, "fs"))
                mode, owner = found.st_mode & 0o7777, (found.st_uid, found.st_gid)
        if owner != (0, 0):
            os.chown(upper, *owner)
        os.chmod(upper, mode)

    def _ensure_init(self, parent: Digest) -> None:
        """Make the init layer over `parent` once; two makers race harmlessly for one rename."""
        target = self._init(parent)
        if os.path.exists(target):
            return
        lowers = tuple(os.path.join(self._committed, d.hex, "fs") for d in self._chain(parent))
        staged = os.path.join(self._staging, secrets.token_hex(8))
        upper = os.path.join(staged, "fs")
        os.makedirs(upper)
        self._like_parent(upper, parent)
        init_layer.fill(upper, lowers, self._xattr_prefix)
        _write_parent(staged, parent, "")
        self._marker.put(staged)
        with self._lock:
            if os.path.exists(target):
                self._trash.discard(staged)
            else:
                os.rename(staged, target)
        self._marker.wake()

    def _init(self, parent: Digest) -> str:
        return os.path.join(self._committed, parent.hex + ".init")

    def _directory(self, snapshot: str | Digest) -> str:
        if isinstance(snapshot, Digest):
            return os.path.join(self._committed, snapshot.hex)
        return os.path.join(self._active, self._known(snapshot))

    def _known(self, key: str) -> str:
        if not os.path.isdir(os.path.join(self._active, _checked(key))):
            raise NotFound(f"snapshot {key} not found")
        return key

    def _chain(self, top: Digest | None) -> list[Digest]:
        """`top` and all below it, top first; raises NotFound for the first that is missing."""
        chain: list[Digest] = []
        while top is not None:
            chain.append(top)
            top = self._parent_file(os.path.join(self._committed, top.hex))[0]
        return chain

    def _parent_file(self, directory: str) -> tuple[Digest | None, str]:
        try:
            text = os.readlink(os.path.join(directory, "parent"))
        except FileNotFoundError:
            raise NotFound(f"snapshot {os.path.basename(directory)} not found") from None
        parent, _, kind = text.partition(" ")
        return (Digest.parse(parent) if parent != "-" else None), kind

    def _all(self) -> Iterator[str]:
        for root in (self._committed, self._active):
            for name in os.listdir(root):
                yield os.path.join(root, name)


def _write_parent(directory: str, parent: Digest | None, kind: str) -> None:
    os.symlink(f"{parent or '-'} {kind}".rstrip(), os.path.join(directory, "parent"))


def _checked(key: str) -> str:
    if not _KEY.match(key):
        raise Invalid(f"invalid snapshot key {key[:200]!r}")
    return key


def _mount_options(host: Host) -> tuple[str, ...]:
    """Features that would leave references to lower layers in the upper, which a diff could not write down."""
    if host.xattr_prefix == "user.":
        return ("userxattr",)
    return ("index=off", "redirect_dir=off", "metacopy=off")
