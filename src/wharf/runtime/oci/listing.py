"""What there is to see: `state`, `list`, `ps`, `events`."""

import json
import os
import pwd
import subprocess
import time
from typing import Any

from wharf.kernel.cgroup import Cgroup
from wharf.runtime.oci.errors import CommandFailed
from wharf.runtime.oci.state import Container, Store

_COLUMNS = ("ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER")


def state(store: Store, name: str) -> str:
    """The state of the specification, with what runc adds."""
    container = store.load(name)
    return json.dumps(_view(store, container), indent=2)


def _view(store: Store, container: Container) -> dict[str, Any]:
    view = container.state(store.status(container))
    return view | {"rootfs": container.rootfs, "created": container.created, "owner": _owner(container.owner)}


def _owner(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def listing(store: Store, form: str, quiet: bool) -> str:
    """All containers: a table, ids alone, or JSON."""
    names = store.names()
    if quiet:
        return "".join(f"{name}\n" for name in names)
    views = []
    for name in names:
        try:
            views.append(_view(store, store.load(name)))
        except CommandFailed:  # deleted meanwhile
            continue
    if form == "json":
        return json.dumps(views or None, separators=(",", ":"))
    if form != "table":
        raise CommandFailed("invalid format option")
    keys = [column.lower() for column in _COLUMNS]
    rows = [_COLUMNS, *(tuple(str(view[key]) for key in keys) for view in views)]
    widths = [max(len(row[index]) for row in rows) + 3 for index in range(len(_COLUMNS))]
    return "".join("".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + "\n" for row in rows)


def ps(store: Store, name: str, form: str, words: list[str]) -> str:
    """The processes of a container: their numbers as JSON, or what ps(1) prints of them."""
    pids = _cgroup(store.load(name)).pids()
    if form == "json":
        return json.dumps(pids)
    if form != "table":
        raise CommandFailed("invalid format option")
    try:
        out = subprocess.run(["ps", *(words or ["-ef"])], capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        raise CommandFailed("ps: executable file not found in $PATH") from None
    except subprocess.CalledProcessError as error:
        raise CommandFailed(f"ps: {error.stderr.strip()}") from None
    head, *lines = out.splitlines()
    if "PID" not in head.split():
        raise CommandFailed("couldn't find PID field in ps output")
    column = head.split().index("PID")
    wanted = {str(pid) for pid in pids}
    return "\n".join([head, *(line for line in lines if line.split()[column] in wanted)]) + "\n"


def _cgroup(container: Container) -> Cgroup:
    cgroup = container.open_cgroup()
    if cgroup is None:
        raise CommandFailed("this host has no cgroup to look into")
    return cgroup


def events(store: Store, name: str, interval: float, once: bool) -> None:
    """Print a line of usage, once or every `interval` seconds until the container has stopped."""
    if interval <= 0:
        raise CommandFailed("duration interval must be greater than 0")
    container = store.load(name)
    if store.status(container) == "stopped":
        raise CommandFailed(f"container with id {name} is not running")
    kills = _cgroup(container).oom_kills()
    while True:
        print(json.dumps(_stats(container)), flush=True)
        if once:
            return
        _sleep(container, interval)
        if not container.alive():
            return
        now = _cgroup(container).oom_kills()
        if now > kills:
            print(json.dumps({"type": "oom", "id": container.id}), flush=True)
        kills = now


def _sleep(container: Container, seconds: float) -> None:
    """Until the next line is due, or the container ends."""
    deadline = time.monotonic() + seconds
    while container.alive() and (rest := deadline - time.monotonic()) > 0:
        time.sleep(min(rest, 0.1))


def _stats(container: Container) -> dict[str, Any]:
    usage = _cgroup(container).stats()
    throttle = usage.get("cpu_throttle") or {}
    data = {
        "cpu": {
            "usage": {
                "total": usage.get("cpu_total_ns", 0),
                "percpu": usage.get("cpu_per_cpu_ns") or [],
                "kernel": usage.get("cpu_system_ns", 0),
                "user": usage.get("cpu_user_ns", 0),
            },
            "throttling": {
                "periods": throttle.get("nr_periods", 0),
                "throttledPeriods": throttle.get("nr_throttled", 0),
                "throttledTime": throttle.get("throttled_time", throttle.get("throttled_usec", 0) * 1000),
            },
        },
        "memory": {
            "usage": {
                "limit": usage.get("memory_limit", 0),
                "usage": usage.get("memory_usage", 0),
                "max": usage.get("memory_max_usage", 0),
                "failcnt": usage.get("memory_failures", 0),
            },
            "raw": usage.get("memory") or {},
        },
        "pids": {"current": usage.get("pids_current", 0), "limit": usage.get("pids_limit", 0)},
    }
    return {"type": "stats", "id": container.id, "data": data}


def example_path(bundle: str) -> str:
    """Where `spec` writes; raises CommandFailed when something is there."""
    path = os.path.join(bundle or ".", "config.json")
    if os.path.lexists(path):
        raise CommandFailed(f"File {os.path.basename(path)} exists. Remove it first")
    return path
