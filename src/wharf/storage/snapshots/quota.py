"""Sizes of containers' roots: project quotas, where the snapshots lie on an XFS that has them.

Each limited snapshot has a project of its own. Which one, its directories say themselves (the kernel keeps the number
in the inode): nothing else records it. A project is free when it has no limit and no files, so that one whose tree is
still in the trash is not given away again.
"""

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence

from wharf.errors import Internal
from wharf.kernel import quota

UNSUPPORTED = "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"
MAX_PROJECTS = 1 << 20
"""How many numbers are looked at for a free one."""


class RootQuotas:
    """Of the directories beneath `root`."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._lock = threading.Lock()
        with _opened(root) as store:
            self.supported = quota.has_project_quotas(store)
            self._base = quota.project_of(store) if self.supported else 0

    def require(self) -> None:
        """Raises Internal, in Docker's words, where there are none."""
        if not self.supported:
            raise Internal(UNSUPPORTED)

    def limit(self, directories: Sequence[str], size: int) -> None:
        """Let `directories`, which are empty, count together against `size` bytes. Raises Internal, OSError."""
        with self._lock, _opened(self._root) as store:
            project = self._free(store)
            for directory in directories:
                quota.set_project(directory, project)
            quota.limit_project(store, project, size)  # last: a tree that a crash cut off here tells its project

    def _free(self, fd: int) -> int:
        # The root's own project is the administrator's, who chooses it to say where ours begin (as Docker has it).
        for project in range(self._base + 1, self._base + MAX_PROJECTS):
            if quota.quota_of(fd, project) == quota.ProjectQuota():
                return project
        raise Internal("no project quota is free")

    def share(self, directory: str, with_directory: str) -> None:
        """Let `directory`, which is empty, count for the same: a file moves only within its project (EXDEV)."""
        project = self._own(with_directory)
        if project:
            quota.set_project(directory, project)

    def release(self, directory: str) -> None:
        """Take the limit of `directory` away; fine when it has none or is missing."""
        self.change(directory, 0)

    def change(self, directory: str, size: int) -> None:
        """Another limit for `directory`; fine when it has no project of its own or is missing."""
        project = self._own(directory)
        if project:
            # Quotas may have been turned off meanwhile: that keeps nobody from starting or removing a container.
            with contextlib.suppress(OSError), _opened(self._root) as store:
                quota.limit_project(store, project, size)

    def _own(self, directory: str) -> int:
        """Its project, 0 when none was given to it here."""
        if not self.supported:
            return 0
        try:
            with _opened(directory) as tree:
                project = quota.project_of(tree)
        except FileNotFoundError:
            return 0
        return project if project != self._base else 0


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    """A directory's descriptor."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
