"""A worker job at one end of a pipe, this process at the other."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable
from typing import Any

from wharf.kernel.threads import start
from wharf.storage.content import Readable
from wharf.transfer.tar_writer import Sink

CHUNK = 1 << 20
Job = Callable[[int], Any]
"""Runs the job with the pipe's other end; blocks until it is done."""


def job_to_sink(job: Job, out: Sink) -> Any:
    """Give `out` what the job writes; the job's result. Whichever side fails ends the other; its error is raised."""
    reader, writer = _pipe()
    try:
        running = _Running(job, writer)
    except BaseException:
        os.close(reader)
        raise
    try:
        while data := os.read(reader, CHUNK):
            out.write(data)
    finally:
        os.close(reader)  # a job that still writes now ends with EPIPE
        result = running.join()
    return running.raise_or(result)


def source_to_job(source: Readable, job: Job) -> Any:
    """Give the job what `source` has; the job's result. A job that stops reading early ends the copy quietly."""
    reader, writer = _pipe()
    try:
        running = _Running(job, reader)
    except BaseException:
        os.close(writer)
        raise
    try:
        _copy(source, writer)
    finally:
        os.close(writer)
        result = running.join()
    return running.raise_or(result)


def _pipe() -> tuple[int, int]:
    """A pipe that holds CHUNK bytes where the user's quota allows: fewer switches between the two sides."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    with contextlib.suppress(OSError):
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, CHUNK)
    return reader, writer


def _copy(source: Readable, writer: int) -> None:
    try:
        while data := source.read(CHUNK):
            view = memoryview(data)
            while view:
                view = view[os.write(writer, view) :]
    except BrokenPipeError:
        pass


class _Running:
    """A job in a thread; it owns its end of the pipe."""

    def __init__(self, job: Job, fd: int) -> None:
        self._error: BaseException | None = None
        self._result: Any = None
        self._thread = threading.Thread(target=self._run, args=(job, fd), name="worker-pipe")
        try:
            start(self._thread)
        except BaseException:
            os.close(fd)
            raise

    def join(self) -> Any:
        self._thread.join()
        return self._result

    def raise_or(self, result: Any) -> Any:
        if self._error is not None:
            raise self._error
        return result

    def _run(self, job: Job, fd: int) -> None:
        try:
            self._result = job(fd)
        except BaseException as error:
            self._error = error
        finally:
            os.close(fd)
