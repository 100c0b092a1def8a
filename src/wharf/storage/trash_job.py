"""The job that removes a large tree from the trash, behind everybody else. Standard library only."""

import os
from collections.abc import Callable
from typing import Any

from wharf.kernel import paths

Job = Callable[[dict[str, Any], list[int]], dict[str, Any]]
NICENESS = 15
"""A tenth of a busy processor is left for it (sched(7)): what is unpacked meanwhile goes first, and it still ends."""


def remove_job(args: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """fds: the trash. Remove `name` in it; raises OSError for what cannot go (a mount point)."""
    os.nice(NICENESS)
    paths.remove(fds[0], os.fsencode(args["name"]))
    return {}


JOBS: dict[str, Job] = {"trash.remove": remove_job}
