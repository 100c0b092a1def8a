"""A worker for tests: a real forked process for each job, without the launcher."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from wharf import errors

Job = Callable[[dict[str, Any], list[int]], dict[str, Any]]


class ForkWorker:
    """Runs jobs of `jobs` (name -> function); arguments and results pass through JSON as with the launcher."""

    def __init__(self, jobs: dict[str, Job]) -> None:
        self._jobs = jobs

    def run(self, job: str, args: dict[str, Any], fds: Sequence[int]) -> dict[str, Any]:
        read_end, write_end = os.pipe()
        text = json.dumps(args)
        pid = os.fork()
        if pid == 0:
            self._child(job, text, list(fds), write_end)
        os.close(write_end)
        with open(read_end, "rb") as file:
            data = file.read()
        os.waitpid(pid, 0)
        answer = json.loads(data)
        if "error" in answer:
            raise getattr(errors, answer["error"])(answer["message"])
        return dict(answer["result"])

    def _child(self, job: str, text: str, fds: list[int], write_end: int) -> None:
        try:
            for fd in map(int, os.listdir("/proc/self/fd")):
                if fd > 2 and fd not in (*fds, write_end):
                    try:
                        os.close(fd)
                    except OSError:
                        pass
            try:
                answer: dict[str, Any] = {"result": self._jobs[job](json.loads(text), fds)}
            except errors.WharfError as error:
                answer = {"error": type(error).__name__, "message": error.message}
            os.write(write_end, json.dumps(answer).encode())
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(0)
