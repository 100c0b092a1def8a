"""What an image has for an empty volume, brought into it whole or not at all.

    <volume>/_filling/    being copied; thrown away after a failure, and at start after a crash
    <volume>/_filled/     the whole copy, on its way into `_data` by a rename for each entry; finished at start

`_data` itself stays the directory it is: containers that run may have it mounted.
"""

import errno
import os

from wharf.kernel import faults
from wharf.storage.trash import Trash

DATA = "_data"


class VolumeFill:
    """One filling of the volume in `directory`; the caller sees to it that there is one at a time."""

    def __init__(self, directory: str, trash: Trash) -> None:
        self.data = os.path.join(directory, DATA)
        self._filling = os.path.join(directory, "_filling")
        self._filled = os.path.join(directory, "_filled")
        self._trash = trash

    def begin(self) -> str:
        """An empty directory to copy to."""
        os.mkdir(self._filling, 0o700)
        faults.done("create:volume-filling")
        return self._filling

    def commit(self) -> bool:
        """The copy is whole: the volume has it. False where `_data` is another file system's (somebody has mounted one
        there), and nothing was moved. What an OSError cuts off is finished by the next `recover`."""
        os.rename(self._filling, self._filled)
        faults.done("create:volume-copied")
        published = self._publish()
        faults.done("create:volume-filled")
        return published

    def recover(self) -> None:
        """Finish a filling that was cut off after its copy was whole; take away what came of any other."""
        if os.path.isdir(self._filled) and os.path.isdir(self.data):
            self._publish()
        self.clear()

    def clear(self) -> None:
        """Take away a copy that did not become whole."""
        self._trash.discard(self._filling)

    def _publish(self) -> bool:
        try:
            self._move()
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self._trash.discard(self._filled)
            return False
        self._trash.discard(self._filled)
        return True

    def _move(self) -> None:
        """What somebody has put there meanwhile stays."""
        found = os.stat(self._filled)  # before what is in there goes and changes its time
        for name in os.listdir(self._filled):
            if not os.path.lexists(os.path.join(self.data, name)):
                os.rename(os.path.join(self._filled, name), os.path.join(self.data, name))
        os.chown(self.data, found.st_uid, found.st_gid)
        os.chmod(self.data, found.st_mode & 0o7777)
        for attribute in os.listxattr(self._filled):
            os.setxattr(self.data, attribute, os.getxattr(self._filled, attribute))
        os.utime(self.data, ns=(found.st_atime_ns, found.st_mtime_ns))
