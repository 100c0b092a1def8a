"""Start an exec; what follows when it ends."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wharf.engine.container import Container, LiveExec
from wharf.engine.container_events import publish_container_event
from wharf.engine.exec_create import command_text
from wharf.engine.id_maps import maps_of_process
from wharf.engine.loop import resolve
from wharf.engine.oci_spec import capability_sets, environment, replace_env, rlimits
from wharf.engine.runtimes import runtime_command
from wharf.engine.security import apparmor_profile, capabilities, parse_options
from wharf.engine.storing import store_exec
from wharf.errors import Conflict, Internal, Invalid, WharfError
from wharf.kernel import faults
from wharf.kernel.caps import NAMES
from wharf.runtime.lifecycle import Verb
from wharf.runtime.messages import GONE
from wharf.runtime.requests import ExecRequest, ExitRecord, StartFailed
from wharf.runtime.waiting import EXEC_PREFIX

if TYPE_CHECKING:
    from wharf.engine.engine import Engine
    from wharf.runtime.running import Running

KEEP_SECONDS = 300.0
"""How long a finished exec can be inspected."""
log = logging.getLogger("wharf.engine")


@dataclass(frozen=True, slots=True)
class ExecStart:
    """How to start: in the background or joined, with the terminal's size as height and width."""

    detach: bool = False
    tty: bool = False
    console_size: list[int] | None = None


@dataclass(frozen=True, slots=True)
class ExecStarted:
    """`stream` when joined and running; `failure` is what to say in its place when it could not start."""

    engine: Engine
    container: Container
    exec_id: str
    tty: bool
    stream: socket.socket | None = None
    failure: str = ""
    ended: Future[None] | None = None
    """Resolves when the exit code can be asked for."""
    detach_keys: str = ""

    def detached(self) -> None:
        """The client left by its detach keys."""
        publish_container_event(self.engine, self.container.record, "exec_detach", execID=self.exec_id)


def start_exec(engine: Engine, exec_id: str, request: ExecStart) -> ExecStarted:
    """Raises NotFound, Conflict; a program that does not start is a failure in the result, or raised when detached."""
    container, item = engine.containers.find_exec(exec_id)
    config = item.record.config
    with container.gate.enter(), item.lock:
        if item.started:
            raise Conflict(f"exec command {exec_id} has already run")
        container.require(Verb.EXEC, container.id)
        running = container.must_run()
        item.started = True
        publish_container_event(engine, container.record, f"exec_start: {command_text(config)}", execID=exec_id)
        try:
            stream = _start(engine, container, item, running, request)
        except ProcessLookupError:
            raise Conflict(f"container {container.id} is not running") from None
        except (StartFailed, OSError) as error:
            failed = _as_failure(error)
            _failed(engine, item, failed)
            if running.over() or failed.message.endswith(GONE):
                raise Conflict(f"container {container.id} is not running") from None
            if request.detach:
                raise (Internal if failed.exit_code == 128 else Invalid)(failed.message) from None
            return ExecStarted(engine, container, exec_id, config.tty, failure=failed.message)
    return ExecStarted(engine, container, exec_id, config.tty, stream, "", _end_of(item), config.detach_keys)


def _end_of(item: LiveExec) -> Future[None]:
    """Resolves once the exit code is in the record."""
    future: Future[None] = Future()

    def ended(record: ExitRecord) -> None:
        item.record.running, item.record.exit_code = False, record.code
        resolve(future)

    running = item.running
    if running is None:
        resolve(future)
    else:
        running.on_exit(ended)
    return future


def _start(
    engine: Engine, container: Container, item: LiveExec, running: Running, request: ExecStart
) -> socket.socket | None:
    stream = launch_exec(engine, container, item, running, request)
    started, record = item.running, item.record
    assert started is not None
    record.running, record.pid = True, started.pid
    started.on_exit(lambda ended: on_exec_exit(engine, container, item, ended))
    store_exec(engine, item.record)
    faults.done("exec:running")
    return stream


def launch_exec(
    engine: Engine, container: Container, item: LiveExec, running: Running, request: ExecStart
) -> socket.socket | None:
    """Let it run: `item.running` is its process, the result its stream unless detached. Raises StartFailed, WharfError,
    OSError; nothing is left then."""
    config = item.record.config
    if config.working_dir and not config.working_dir.startswith("/"):
        raise StartFailed("OCI runtime exec failed: exec failed: Cwd must be an absolute path", 128)
    waiting = engine.supervisor.exec(_request(engine, container, item, request), running)
    faults.done("exec:monitor")
    stream = None
    with contextlib.ExitStack() as opened, contextlib.ExitStack() as undo:
        undo.callback(waiting.abort)
        if not request.detach:
            # As in Docker the form of the stream is what the start says, whatever the create said of a terminal.
            stream = waiting.attach(
                stdin=config.attach_stdin,
                stdout=config.attach_stdout,
                stderr=config.attach_stderr,
                framed=not request.tty,
            )
            opened.callback(stream.close)
        if item.size is not None:
            waiting.resize(*item.size)
        faults.done("exec:attached")
        undo.pop_all()  # a failed go has cleaned up by itself
        item.running = waiting.go()
        opened.pop_all()
        faults.done("exec:go")
    return stream


def _request(engine: Engine, container: Container, item: LiveExec, request: ExecStart) -> ExecRequest:
    record, host, config = container.record, container.record.host_config, item.record.config
    security = parse_options(host, engine.config.seccomp_profile, engine.config.no_new_privileges)
    names = capabilities(host, engine.host.last_capability)
    granted = names
    if config.privileged:
        granted = [name for number, name in enumerate(NAMES) if number <= engine.host.last_capability]
    env = [entry for entry in environment(record) if record.config.tty or not entry.startswith("TERM=xterm")]
    if config.tty:
        env = replace_env(["TERM=xterm"], env)
    process: dict[str, Any] = {
        "terminal": config.tty,
        "user": {"uid": 0, "gid": 0},
        "args": list(config.cmd or ()),
        "env": replace_env(env, config.env or ()),
        "cwd": config.working_dir or record.config.working_dir or "/",
        "capabilities": capability_sets(granted),
        "rlimits": rlimits(engine.config.containers.limits(host)),
        "noNewPrivileges": security.no_new_privileges,
        "oomScoreAdj": host.oom_score_adj,
    }
    profile = apparmor_profile(security, host.privileged or config.privileged, engine.apparmor)
    if profile:
        process["apparmorProfile"] = profile
    if record.process_label:
        process["selinuxLabel"] = record.process_label
    size = request.console_size or config.console_size
    if config.tty and size and any(size):
        process["consoleSize"] = {"height": size[0], "width": size[1]}
    confined = security.confined and engine.host.seccomp
    runtime = runtime_command(engine.config, host.runtime)
    maps = maps_of_process(record.state.pid) if not runtime else None
    return ExecRequest(
        container_id=container.id,
        exec_id=item.record.id,
        process=process,
        user=config.user or record.config.user,
        groups=tuple(host.group_add or ()),
        open_stdin=config.attach_stdin,
        seccomp=engine.supervisor.seccomp_filter(security.profile, names) if confined and not runtime else b"",
        runtime=runtime,
        id_maps=maps.as_oci() if maps else None,
    )


def _as_failure(error: StartFailed | OSError) -> StartFailed:
    """No room, no descriptor, no process: heard in the stream too, as clients print no body of a refused upgrade."""
    if isinstance(error, StartFailed):
        return error
    log.warning("an exec could not be started: %s", error)
    return StartFailed(EXEC_PREFIX + os.strerror(error.errno or 0).lower())


def _failed(engine: Engine, item: LiveExec, error: StartFailed) -> None:
    item.record.exit_code = error.exit_code
    store_exec(engine, item.record)
    _forget_later(engine, item)


def on_exec_exit(engine: Engine, container: Container, item: LiveExec, ended: ExitRecord) -> None:
    """From the supervisor's reader thread."""
    # The record first and here: a client that saw the stream's end asks for the exit code at once.
    item.record.running, item.record.exit_code = False, ended.code
    with contextlib.suppress(RuntimeError):
        engine.loop.pool.submit(_record_end, engine, container, item, ended)


def _record_end(engine: Engine, container: Container, item: LiveExec, ended: ExitRecord) -> None:
    try:
        item.running = None
        engine.database.execs.put(item.record, durable=False)
        faults.done("exec:ended")
    except WharfError as error:
        log.debug("exec %s: %s", item.record.id, error.message)  # its container is gone already
    publish_container_event(engine, container.record, "exec_die", execID=item.record.id, exitCode=str(ended.code))
    _forget_later(engine, item)


def _forget_later(engine: Engine, item: LiveExec) -> None:
    def forget() -> None:
        engine.containers.drop_exec(item.record.id)
        engine.database.execs.delete(item.record.id, durable=False)

    engine.loop.after(KEEP_SECONDS, forget)
