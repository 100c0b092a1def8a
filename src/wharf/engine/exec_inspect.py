"""What an exec is doing, as Docker's API shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

EXIT_SECONDS = 2.0
"""How long the record of a dead process may take to arrive."""


def inspect_exec(engine: Engine, exec_id: str) -> dict[str, Any]:
    """Docker's document; raises NotFound."""
    item = engine.containers.find_exec(exec_id)[1]
    record = item.record
    running, code = record.running, record.exit_code
    process_of = item.running
    if running and process_of is not None and process_of.has_gone():
        # The client saw the stream's end and asks for the exit code, which travels on another socket.
        ended = process_of.wait(EXIT_SECONDS)
        if ended is not None:
            running, code = False, ended.code
    command = record.config.cmd or [""]
    process: dict[str, Any] = {
        "tty": record.config.tty,
        "entrypoint": command[0],
        "arguments": command[1:],
        "privileged": record.config.privileged,
    }
    if record.config.user:
        process["user"] = record.config.user
    return {
        "ID": record.id,
        "Running": running,
        "ExitCode": code,
        "ProcessConfig": process,
        "OpenStdin": record.config.attach_stdin,
        "OpenStderr": record.config.attach_stderr,
        "OpenStdout": record.config.attach_stdout,
        "CanRemove": record.can_remove,
        "ContainerID": record.container_id,
        "DetachKeys": record.config.detach_keys,
        "Pid": record.pid,
    }
