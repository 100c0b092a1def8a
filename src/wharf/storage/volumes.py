"""Where volumes' data lies: `<root>/<name>/_data` (volume_fill.py: what else may be there). Their records are the
database's.

The caller records the path that `create` gives and never computes it: a store that can fork volumes may put it
elsewhere.
"""

import contextlib
import logging
import os
import threading
from collections.abc import Iterator

from wharf.errors import Conflict, NotFound
from wharf.kernel.mountinfo import at_or_below, mounts_in_sight
from wharf.spec.volume import check_volume_name
from wharf.storage.trash import Trash
from wharf.storage.usage import require_room, tree_usage
from wharf.storage.volume_fill import DATA, VolumeFill

log = logging.getLogger("wharf.storage")


class VolumeStore:
    """Directories of local volumes beneath `root` (made if missing)."""

    def __init__(self, root: str, trash: Trash) -> None:
        self.root = root
        self._trash = trash
        self._turn = threading.Condition()
        self._being_filled: set[str] = set()
        os.makedirs(root, mode=0o711, exist_ok=True)

    def create(self, name: str) -> str:
        """The data directory, made if missing, root's and 0755. Raises Invalid (name), OSError (full disk)."""
        path = os.path.join(self.root, check_volume_name(name), DATA)
        require_room(self.root)
        os.makedirs(path, mode=0o755, exist_ok=True)
        if not os.listdir(path):
            os.chmod(path, 0o755)  # whatever the umask
        return path

    def path(self, name: str) -> str:
        """The data directory; raises NotFound."""
        path = os.path.join(self.root, check_volume_name(name), DATA)
        if not os.path.isdir(path):
            raise NotFound(f"get {name}: no such volume")
        return path

    def exists(self, name: str) -> bool:
        """Whether there is such a directory."""
        return os.path.isdir(os.path.join(self.root, check_volume_name(name), DATA))

    def remove(self, name: str) -> None:
        """Remove the volume's data; a missing one is fine. Raises Conflict while something is mounted there."""
        path = os.path.join(self.root, check_volume_name(name))
        if at_or_below(os.path.realpath(path), mounts_in_sight()):
            # Emptying the trash would empty what is mounted.
            raise Conflict(f"remove {name}: something is mounted in the volume")
        self._trash.discard(path)

    @contextlib.contextmanager
    def filling(self, name: str) -> Iterator[VolumeFill | None]:
        """What brings the first files into an empty volume; None where there are some already. One at a time: of two
        containers that are made with a new volume the second waits, and finds it full."""
        fill = VolumeFill(os.path.join(self.root, check_volume_name(name)), self._trash)
        with self._turn:
            self._turn.wait_for(lambda: name not in self._being_filled)
            self._being_filled.add(name)
        try:
            fill.recover()
            yield None if os.listdir(fill.data) else fill
        finally:
            fill.clear()
            with self._turn:
                self._being_filled.discard(name)
                self._turn.notify_all()

    def recover(self) -> None:
        """At start: finish or take away the fillings that a crash has cut off."""
        for name in self.names():
            try:
                VolumeFill(os.path.join(self.root, name), self._trash).recover()
            except OSError as error:
                log.warning("volume %s: its first files are not all there: %s", name, error)

    def names(self) -> list[str]:
        """Every directory there is, recorded or not."""
        return os.listdir(self.root)

    def usage(self, name: str) -> int:
        """Bytes of its files; raises NotFound."""
        return tree_usage(self.path(name))
