"""What an exec is doing, as Docker's API shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wharf.engine.engine import Engine


def inspect_exec(engine: Engine, exec_id: str) -> dict[str, Any]:
    """Docker's document; raises NotFound."""
    record = engine.containers.find_exec(exec_id)[1].record
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
        "Running": record.running,
        "ExitCode": record.exit_code,
        "ProcessConfig": process,
        "OpenStdin": record.config.attach_stdin,
        "OpenStderr": record.config.attach_stderr,
        "OpenStdout": record.config.attach_stdout,
        "CanRemove": record.can_remove,
        "ContainerID": record.container_id,
        "DetachKeys": record.config.detach_keys,
        "Pid": record.pid,
    }
