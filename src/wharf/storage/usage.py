"""How much a tree holds, and whether there is room for one."""

import errno
import os
import stat


def require_room(path: str) -> None:
    """Raises OSError (ENOSPC) where no block is left: some file systems would still make what nothing fits into, and a
    row about it finds room in the database's log, which is kept for removals."""
    found = os.statvfs(path)
    if found.f_blocks and not found.f_bfree:  # a tmpfs without a limit has no blocks
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


def tree_usage(path: str) -> int:
    """Bytes of all files beneath `path`, each inode once, directories not counted: as Docker counts a layer.

    What goes meanwhile does not count: a container may be at work there, or be removed.
    """
    total = 0
    seen: set[tuple[int, int]] = set()
    waiting = [path]
    while waiting:
        try:
            directory = os.scandir(waiting.pop())
        except (FileNotFoundError, NotADirectoryError):
            continue
        with directory:
            for entry in directory:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                    continue
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode):
                    if found.st_nlink > 1 and (found.st_dev, found.st_ino) in seen:
                        continue
                    seen.add((found.st_dev, found.st_ino))
                    total += found.st_size
    return total
