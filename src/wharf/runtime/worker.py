"""A worker: one bounded job in a process of its own, then gone. It dies with the launcher.

A job that leaves the process as it found it (`staying`) may be followed by another, where wharfd keeps the socket open:
a build has many, and each fork of a warm interpreter costs more than a small layer.
"""

import _socket
import os
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wharf.errors import WharfError
from wharf.kernel import mounts, namespaces, process
from wharf.runtime import messages

Job = Callable[[dict[str, Any], list[int]], dict[str, Any]]
MAX_JOBS = 100
"""Of one process: what little each may leave in memory (cycles are not collected here) goes with it."""


@dataclass(frozen=True, slots=True)
class Jobs:
    """The jobs that workers know, by name: those of `staying` may be followed by another, those of `mounting` get a
    mount namespace of their own."""

    by_name: dict[str, Job]
    staying: frozenset[str] = frozenset()
    mounting: frozenset[str] = frozenset()


def main(control: _socket.socket, jobs: Jobs) -> None:
    """Run the job that the first message names and send its result; likewise the next, after one that stays."""
    process.prctl(process.PR_SET_PDEATHSIG, signal.SIGKILL)
    own = os.pidfd_open(os.getpid())
    messages.send(control, {"op": "started"}, [own])
    os.close(own)
    for _ in range(MAX_JOBS):
        try:
            request, fds = messages.receive(control)
        except messages.Closed:
            return
        spaces: list[MountSpace] = []
        result = _result(request, fds, jobs, spaces)
        stays = result["op"] == "done" and request["job"] in jobs.staying
        if stays:  # whatever it has not closed, so that its mounts can go
            process.close_all_but({0, 1, 2, control.fileno(), *(fd for space in spaces for fd in space.fds)})
        messages.send(control, {**result, "stays": stays})
        if not stays:
            return
        for space in spaces:
            space.leave()  # nobody waits for it: taking mounts away takes longer than many a job


class MountSpace:
    """A mount namespace of this process, until it leaves; what was mounted goes with it."""

    def __init__(self) -> None:
        root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.fds = (root, namespaces.open_namespace("mount"))
        namespaces.unshare(namespaces.CLONE_NEWNS)
        mounts.mount("none", "/", None, mounts.MS_REC | mounts.MS_PRIVATE)

    def leave(self) -> None:
        """Back to the one before; setns(2) moves root and working directory, which are put back as well."""
        root, before = self.fds
        namespaces.setns(before, namespaces.CLONE_NEWNS)
        os.fchdir(root)
        os.chroot(".")
        messages.close_all(self.fds)


def _result(request: dict[str, Any], fds: list[int], jobs: Jobs, spaces: list[MountSpace]) -> dict[str, Any]:
    try:
        job = jobs.by_name.get(request["job"])
        if job is None:
            raise KeyError(f"no job {request['job']!r} is registered")
        if request["job"] in jobs.mounting:
            spaces.append(MountSpace())
        return {"op": "done", "result": job(request["args"], fds)}
    except WharfError as error:
        return {"op": "refused", "class": type(error).__name__, "message": error.message}
    except OSError as error:
        return {"op": "os", "errno": error.errno, "message": error.strerror, "path": str(error.filename or "")}
    except Exception as error:
        text = traceback.format_exc(limit=8)
        return {"op": "failed", "message": f"{type(error).__name__}: {error}", "traceback": text}
