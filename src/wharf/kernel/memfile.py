"""Memory files that nobody may change any more (memfd_create(2), F_ADD_SEALS in fcntl(2))."""

import errno
import fcntl
import time

SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
PINNED_SECONDS = 5.0
PAUSE_SECONDS = 0.01


def seal(fd: int) -> None:
    """From here on `fd` can be neither written nor resized. Blocks for PINNED_SECONDS at most; raises OSError.

    F_SEAL_WRITE is EBUSY while somebody else holds a page of the file, which the kernel itself does for moments: it
    moves pages, and looks at their age. It waits for 150 ms by itself and then gives up; here it is asked again.
    """
    deadline = time.monotonic() + PINNED_SECONDS
    while True:
        try:
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
        time.sleep(PAUSE_SECONDS)
