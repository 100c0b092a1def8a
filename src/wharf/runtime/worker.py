"""A worker: one bounded job in a process of its own, then gone. It dies with the launcher."""

import _socket
import os
import signal
import traceback
from collections.abc import Callable
from typing import Any

from wharf.errors import WharfError
from wharf.kernel import process
from wharf.runtime import messages

Job = Callable[[dict[str, Any], list[int]], dict[str, Any]]


def main(control: _socket.socket, jobs: dict[str, Job]) -> None:
    """Run the job that the first message names and send its result."""
    process.prctl(process.PR_SET_PDEATHSIG, signal.SIGKILL)
    own = os.pidfd_open(os.getpid())
    messages.send(control, {"op": "started"}, [own])
    os.close(own)
    request, fds = messages.receive(control)
    try:
        job = jobs.get(request["job"])
        if job is None:
            raise KeyError(f"no job {request['job']!r} is registered")
        result: dict[str, Any] = {"op": "done", "result": job(request["args"], fds)}
    except WharfError as error:
        result = {"op": "refused", "class": type(error).__name__, "message": error.message}
    except OSError as error:
        result = {"op": "os", "errno": error.errno, "message": error.strerror, "path": str(error.filename or "")}
    except Exception as error:
        text = traceback.format_exc(limit=8)
        result = {"op": "failed", "message": f"{type(error).__name__}: {error}", "traceback": text}
    messages.send(control, result)
