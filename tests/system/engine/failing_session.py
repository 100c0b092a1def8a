"""An engine whose database takes no row at chosen moments, or that fails right after a program began to run.

Run by test_failing.py in a network namespace of its own; prints one line of JSON with what it saw.
"""

import io
import json
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, cast

from wharf.engine.config import EngineConfig
from wharf.engine.container import Container
from wharf.engine.create import create_container
from wharf.engine.engine import Engine
from wharf.engine.exec_create import create_exec
from wharf.engine.exec_start import ExecStart, start_exec
from wharf.engine.image_transfer import load_images
from wharf.engine.kill import kill_container
from wharf.engine.shipper import Shipper
from wharf.engine.start import start_container
from wharf.engine.stop import stop_container
from wharf.engine.wait import wait_container
from wharf.errors import Internal, WharfError
from wharf.spec.container import (
    ContainerConfig,
    CreateRequest,
    ExecConfig,
    Healthcheck,
    HostConfig,
    LogConfig,
    RestartPolicy,
)

SECONDS = 20.0
FULL = "database or disk is full"
SYSLOG = LogConfig("syslog", {"syslog-address": "udp://127.0.0.1:5514"})


class Failing:
    """In the place of a table's `put`: fails where `full` says so."""

    def __init__(self, table: Any) -> None:
        self._put = table.put
        self.full: Callable[[Any], bool] = lambda record: False
        self.refused = 0
        table.put = self

    def __call__(self, record: Any, durable: bool = True) -> None:
        if self.full(record):
            self.refused += 1
            raise Internal(FULL)
        self._put(record, durable)


def create(
    engine: Engine, script: str, *, policy: str = "no", log: LogConfig | None = None, check: list[str] | None = None
) -> Container:
    health = Healthcheck(check, interval=50_000_000) if check else None
    config = ContainerConfig(image="busybox", cmd=["sh", "-c", script], healthcheck=health)
    host = HostConfig(network_mode="none", restart_policy=RestartPolicy(policy, 0), log_config=log or LogConfig())
    return engine.containers.live(create_container(engine, CreateRequest(config, host)).id)


def state(container: Container) -> list[Any]:
    found = container.record.state
    return [found.running, found.restarting, found.exit_code]


def a_start_that_fails_after_go(engine: Engine) -> dict[str, Any]:
    """Its program runs already when no descriptor is left for the log's pipe."""
    container = create(engine, "sleep 1000", log=SYSLOG)
    runs: list[Any] = []
    follow = Shipper.follow

    def fail(_: Shipper, running: Any) -> None:
        runs.append(running)
        raise OSError(24, "Too many open files")

    cast(Any, Shipper).follow = fail
    try:
        start_container(engine, container.id)
        said = ""
    except WharfError as error:
        said = error.message
    cast(Any, Shipper).follow = follow
    assert runs, said
    seen = [runs[0].has_gone(), container.running is None, *state(container)]
    start_container(engine, container.id)
    kill_container(engine, container.id).result(SECONDS)
    return {"said": said, "after": seen, "again": state(container)}


def a_start_that_cannot_be_stored(engine: Engine, containers: Failing) -> dict[str, Any]:
    """It runs, its end is heard of, and so is that of an exec."""
    container = create(engine, "sleep 1000")
    containers.full = lambda record: record.state.running
    start_container(engine, container.id)
    containers.full = lambda record: False
    execs = Failing(engine.database.execs)
    exec_id = create_exec(engine, container.id, ExecConfig(cmd=["sh", "-c", "exit 5"]))
    execs.full = lambda record: True
    started = start_exec(engine, exec_id, ExecStart())
    assert started.stream is not None and started.ended is not None
    while started.stream.recv(4096):
        pass
    started.stream.close()
    started.ended.result(SECONDS)
    execs.full = lambda record: False
    code = engine.containers.find_exec(exec_id)[1].record.exit_code
    ended = wait_container(engine, container.id, "next-exit")
    containers.full = lambda record: True
    kill_container(engine, container.id).result(SECONDS)
    containers.full = lambda record: False
    return {"exec": [code, execs.refused > 0], "code": ended.result(SECONDS).status_code, "state": state(container)}


def checks_on_a_full_disk(engine: Engine, containers: Failing) -> dict[str, Any]:
    """They go on, and a stop is heard."""
    container = create(engine, "sleep 1000", check=["CMD", "true"])
    checked = threading.Event()

    def full(record: Any) -> bool:
        if record.state.health is not None and len(record.state.health.log) >= 2:
            checked.set()
        return True

    start_container(engine, container.id)
    containers.full = full
    came = checked.wait(SECONDS)
    stop_container(engine, container.id, timeout=0).result(SECONDS)
    containers.full = lambda record: False
    return {"came": came, "state": state(container)}


def a_restart_on_a_full_disk(engine: Engine, containers: Failing) -> dict[str, Any]:
    """It is tried until there is room."""
    container = create(engine, "test -e /ran && exec sleep 1000; touch /ran; exit 7", policy="always")
    tried, runs = threading.Event(), threading.Event()

    def full(record: Any) -> bool:
        if tried.is_set() and record.state.running and not record.state.restarting:
            runs.set()
        if containers.refused > before + 4:
            tried.set()
        return not tried.is_set()

    start_container(engine, container.id)
    before = containers.refused
    containers.full = full
    came = tried.wait(SECONDS) and runs.wait(SECONDS)
    containers.full = lambda record: False
    kill_container(engine, container.id).result(SECONDS)
    return {"came": came, "counted": container.record.restart_count >= 2}


def main() -> None:
    """See the module."""
    engine = Engine.open(EngineConfig(sys.argv[1] + "/data", sys.argv[1] + "/exec"))
    load_images(engine, io.BytesIO(sys.stdin.buffer.read()), lambda message: None)
    containers = Failing(engine.database.containers)
    seen = {
        "start": a_start_that_fails_after_go(engine),
        "stored": a_start_that_cannot_be_stored(engine, containers),
        "checks": checks_on_a_full_disk(engine, containers),
        "restart": a_restart_on_a_full_disk(engine, containers),
    }
    engine.close()
    seen["left"] = {"monitors": len(os.listdir(sys.argv[1] + "/exec/monitors"))}
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
