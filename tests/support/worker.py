"""A worker for tests: forks, runs the job, returns its result, as the launcher's workers do."""

import gc
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wharf import errors

Job = Callable[[dict[str, Any], list[int]], dict[str, Any]]


class ForkedWorker:
    """Runs jobs of the table each in a forked child; a WharfError of the child is raised here again."""

    def __init__(self, jobs: Mapping[str, Job]) -> None:
        self._jobs = jobs

    def run(self, job: str, args: dict[str, Any], fds: Sequence[int] = ()) -> dict[str, Any]:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            self._serve(job, args, list(fds), writer)
        os.close(writer)
        with os.fdopen(reader, "rb") as answer:
            text = answer.read()
        os.waitpid(child, 0)
        reply = json.loads(text or b'{"error": "Internal", "message": "the worker died"}')
        if "error" in reply:
            raise getattr(errors, reply["error"], errors.Internal)(reply["message"])
        result: dict[str, Any] = reply["result"]
        return result

    def _serve(self, job: str, args: dict[str, Any], fds: list[int], writer: int) -> None:
        gc.disable()  # files of other tests that nobody holds would close the numbers that the job's own get
        try:
            for name in os.listdir("/proc/self/fd"):  # siblings' pipe ends would keep readers from their EOF
                fd = int(name)
                if fd > 2 and fd != writer and fd not in fds:
                    try:
                        os.close(fd)
                    except OSError:
                        pass
            reply: dict[str, Any] = {"result": self._jobs[job](json.loads(json.dumps(args)), fds)}
        except errors.WharfError as error:
            reply = {"error": type(error).__name__, "message": error.message}
        except BaseException as error:
            reply = {"error": "Internal", "message": repr(error)}
        os.write(writer, json.dumps(reply).encode())
        os._exit(0)
