"""Composition of the launcher: which jobs its workers know. Everything imported here is in memory before any fork."""

from wharf.runtime import launcher
from wharf.runtime.worker import Job

JOBS: dict[str, Job] = {}


def main(fd: int) -> None:
    """Serve wharfd on the inherited socket `fd`."""
    launcher.serve(fd, JOBS)
