"""One run of a health check: an exec that nobody asked for, whose output is gathered on the loop.

begin (pool) -> runs -> its end, and its output's -> done(result)
   \\-> does not start -> done(result)  \\-> timeout: killed -> its end -> done(result)
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from wharf.engine.container import Container, LiveExec
from wharf.engine.container_events import publish_container_event
from wharf.engine.exec_create import command_text
from wharf.engine.exec_start import ExecStart, launch_exec
from wharf.engine.health_rules import MAX_OUTPUT, Plan, text_of
from wharf.engine.loop import Timer
from wharf.engine.times import format_time
from wharf.errors import Unavailable, WharfError
from wharf.kernel.process import signal_group
from wharf.runtime.requests import ExitRecord, StartFailed
from wharf.spec.container import ExecConfig, ExecRecord
from wharf.spec.health import ProbeResult
from wharf.spec.quote import go_duration

if TYPE_CHECKING:
    from wharf.engine.engine import Engine
    from wharf.runtime.running import Running

HEADER = 8
_READ_SIZE = 64 << 10
NO_COMMAND = "the health check has no command"


class Output:
    """The beginning of a framed stream (Docker's 8-byte headers), both streams as they came; `feed` takes pieces."""

    def __init__(self) -> None:
        self.kept = bytearray()
        self._head = bytearray()
        self._left = 0

    def feed(self, data: bytes) -> None:
        """The next piece, cut anywhere."""
        view = memoryview(data)
        while view:
            if not self._left:
                missing = HEADER - len(self._head)
                self._head += view[:missing]
                view = view[missing:]
                if len(self._head) == HEADER:
                    self._left = int.from_bytes(self._head[4:], "big")
                    self._head.clear()
                continue
            piece, view = view[: self._left], view[self._left :]
            self._left -= len(piece)
            self.kept += piece[: MAX_OUTPUT + 1 - len(self.kept)]


class Probe:
    """See the module. `done` is called once, in the pool, with the result; None when the container had ended."""

    def __init__(
        self, engine: Engine, container: Container, plan: Plan, done: Callable[[ProbeResult | None, int], object]
    ) -> None:
        self._engine, self._container, self._plan, self._done = engine, container, plan, done
        config = ExecConfig(attach_stdout=True, attach_stderr=True, cmd=list(plan.command))
        record = ExecRecord(secrets.token_hex(32), container.id, config, running=True, probe=True)
        self._item = LiveExec(record)
        self._item.started = True
        self._output = Output()
        self._stream: socket.socket | None = None
        self._ended: ExitRecord | None = None
        self._timer: Timer | None = None
        self._timed_out = False
        self._began = 0

    def begin(self, running: Running) -> None:
        """Start it; in the pool, and bounded as every start of an exec is."""
        self._began = time.time_ns()
        record = self._item.record
        if not self._plan.command:
            self._finish(NO_COMMAND)
            return
        self._engine.database.execs.put(record, durable=False)
        self._engine.containers.add_exec(self._container, self._item)
        command = command_text(record.config)
        self._tell(f"exec_create: {command}")
        self._tell(f"exec_start: {command}")
        inside = contextlib.ExitStack()
        try:
            inside.enter_context(self._container.gate.enter())
        except Unavailable:  # a commit holds the container still for long, which is nothing against its health
            self._finish(None)
            return
        try:
            with inside:
                self._stream = launch_exec(self._engine, self._container, self._item, running, ExecStart())
        except (StartFailed, WharfError) as error:
            self._finish(None if running.over() else error.message)
            return
        except OSError as error:  # it ended just now, or no descriptor is left
            self._finish(None if running.over() else os.strerror(error.errno or 0).lower())
            return
        assert self._item.running is not None
        record.pid = self._item.running.pid
        self._timer = self._engine.loop.after(self._plan.timeout, self._time_out)
        self._engine.loop.call(self._listen)
        self._item.running.on_exit(lambda ended: self._engine.loop.call(self._heard_end, ended))

    def kill(self) -> None:
        """End it and what it started; its result comes as ever."""
        running = self._item.running
        if running is None:
            return
        with contextlib.suppress(OSError):
            pidfd = running.duplicate_pidfd()
            try:
                signal_group(pidfd, signal.SIGKILL)
            finally:
                os.close(pidfd)

    def _time_out(self) -> None:
        self._timed_out = True
        self.kill()

    # -- on the loop

    def _listen(self) -> None:
        assert self._stream is not None
        self._stream.setblocking(False)
        self._engine.loop.loop.add_reader(self._stream.fileno(), self._read)

    def _read(self) -> None:
        assert self._stream is not None
        try:
            data = self._stream.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._output.feed(data)
            return
        self._engine.loop.loop.remove_reader(self._stream.fileno())
        self._stream.close()
        self._stream = None
        self._maybe_over()

    def _heard_end(self, ended: ExitRecord) -> None:
        self._ended = ended
        self._maybe_over()

    def _maybe_over(self) -> None:
        """The monitor ends the stream when it ends itself, even where a child of the check still holds the pipes."""
        if self._ended is None or self._stream is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
        with contextlib.suppress(RuntimeError):  # the engine is closing
            self._engine.loop.pool.submit(self._finish)

    # -- in the pool

    def _finish(self, problem: str | None = "") -> None:
        """`problem` is why it did not start; None: the container had ended, which is nobody's fault."""
        record, ended = self._item.record, self._ended
        self._item.running = None
        record.running, record.exit_code = False, ended.code if ended else -1
        self._engine.containers.drop_exec(record.id)
        with contextlib.suppress(WharfError):  # a full disk: the next start finds that nothing answers and removes it
            self._engine.database.execs.delete(record.id, durable=False)
        if ended is not None:
            self._tell("exec_die", exitCode=str(ended.code))
        self._done(None if problem is None else self._result(problem), self._began)

    def _result(self, problem: str) -> ProbeResult:
        code, text = (self._ended.code if self._ended else -1), problem or text_of(bytes(self._output.kept))
        if self._timed_out:
            limit = f"Health check exceeded timeout ({go_duration(round(self._plan.timeout * 1e9))})"
            code, text = -1, f"{limit}: {text}" if text else limit
        return ProbeResult(format_time(self._began), format_time(time.time_ns()), code, text)

    def _tell(self, action: str, **extra: str) -> None:
        publish_container_event(self._engine, self._container.record, action, execID=self._item.record.id, **extra)
