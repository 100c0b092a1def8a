"""Composition of the launcher: which jobs its workers know. Everything imported here is in memory before any fork."""

from wharf.network.jobs import JOBS as NETWORK_JOBS
from wharf.runtime import launcher
from wharf.runtime.user_job import JOBS as USER_JOBS
from wharf.runtime.worker import Jobs
from wharf.storage.archives.jobs import JOBS as ARCHIVE_JOBS
from wharf.storage.files.jobs import JOBS as FILE_JOBS
from wharf.storage.files.jobs import MOUNTING
from wharf.storage.layers.jobs import JOBS as LAYER_JOBS
from wharf.storage.trash_job import JOBS as TRASH_JOBS
from wharf.storage.volume_jobs import JOBS as VOLUME_JOBS

JOBS = Jobs(
    {
        **LAYER_JOBS,
        **ARCHIVE_JOBS,
        **FILE_JOBS,
        **NETWORK_JOBS,
        **USER_JOBS,
        **VOLUME_JOBS,
        **TRASH_JOBS,
    },
    staying=frozenset(LAYER_JOBS) | frozenset(FILE_JOBS),
    mounting=MOUNTING,
)


def main(fd: int) -> None:
    """Serve wharfd on the inherited socket `fd`."""
    launcher.serve(fd, JOBS)
