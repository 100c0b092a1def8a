"""Make an exec: one more process for a running container, not started yet."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from wharf.engine.container import Container, LiveExec
from wharf.engine.container_events import publish_container_event
from wharf.engine.validate import refuse_nul
from wharf.errors import Invalid
from wharf.kernel import faults
from wharf.runtime.lifecycle import Verb
from wharf.spec.container import ExecConfig, ExecRecord

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

LOOKUP_LIMIT = 30.0
"""Seconds to look a user up: the container's /etc may lie on a file system that hangs."""


def create_exec(engine: Engine, name: str, config: ExecConfig) -> str:
    """Its id. Raises NotFound, Invalid, Conflict in Docker's words, and Unavailable when a commit takes long: the start
    of an exec has left HTTP, so its client would not hear why."""
    container = engine.containers.live(name)
    if not config.cmd:
        raise Invalid("No exec command specified")
    for entry in config.env or ():
        if not entry or entry.startswith("="):
            raise Invalid(f"invalid environment variable: {entry[:200]}")
    refuse_nul(config)
    _check_user(engine, container, config.user)
    with container.gate.enter(), container.lock:
        container.require(Verb.EXEC, name)
        record = ExecRecord(secrets.token_hex(32), container.id, config)
        engine.database.execs.put(record, durable=False)
        faults.done("exec:created")
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
        engine.supervisor.worker("user.find", {"user": user, "groups": []}, (namespace,), LOOKUP_LIMIT)
    finally:
        os.close(namespace)


def command_text(config: ExecConfig) -> str:
    """The command as Docker's events show it: program, a space, the arguments."""
    words = config.cmd or [""]
    return f"{words[0]} {' '.join(words[1:])}"
