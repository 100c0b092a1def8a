"""Make an exec: one more process for a running container, not started yet."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from wharf.engine.container import Container, LiveExec
from wharf.engine.container_events import publish_container_event
from wharf.errors import Conflict, Invalid
from wharf.spec.container import ExecConfig, ExecRecord

if TYPE_CHECKING:
    from wharf.engine.engine import Engine


def create_exec(engine: Engine, name: str, config: ExecConfig) -> str:
    """Its id. Raises NotFound, Invalid, Conflict in Docker's words."""
    container = engine.containers.live(name)
    if not config.cmd:
        raise Invalid("No exec command specified")
    for entry in config.env or ():
        if not entry or entry.startswith("="):
            raise Invalid(f"invalid environment variable: {entry[:200]}")
    if any("\0" in text for text in (*config.cmd, *(config.env or ()), config.working_dir, config.user)):
        raise Invalid("invalid argument: a string of the configuration contains a NUL byte")
    _check_user(engine, container, config.user)
    with container.lock:
        container.must_run()
        if container.record.state.paused:
            raise Conflict(f"Container {name} is paused, unpause the container before exec")
        if container.record.state.restarting:
            raise Conflict(f"Container {container.id} is restarting, wait until the container is running")
        record = ExecRecord(secrets.token_hex(32), container.id, config)
        engine.database.execs.put(record, durable=False)
        engine.containers.add_exec(container, LiveExec(record))
    publish_container_event(engine, container.record, f"exec_create: {command_text(config)}", execID=record.id)
    return record.id


def _check_user(engine: Engine, container: Container, user: str) -> None:
    """Names are looked up now: once the exec starts, its client has left HTTP and reads no status. Raises Invalid."""
    if not user or all(part.isdecimal() for part in user.split(":")) or container.record.state.paused:
        return
    try:
        namespace = container.must_run().namespace("mount")
    except ProcessLookupError:
        return  # it ends just now; what follows says so
    try:
        engine.worker.run("user.find", {"user": user, "groups": []}, (namespace,))
    finally:
        os.close(namespace)


def command_text(config: ExecConfig) -> str:
    """The command as Docker's events show it: program, a space, the arguments."""
    words = config.cmd or [""]
    return f"{words[0]} {' '.join(words[1:])}"
