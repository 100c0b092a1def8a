"""wharfd's side of launcher and monitors.

Calls block for a bounded time and are safe from any thread. One reader thread listens to all monitors and runs
the `on_exit` callbacks: these must be short (`loop.call_soon_threadsafe`). `close` ends launcher and reader,
never a container.
"""

import json
import logging
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import Any

from wharf.errors import Internal
from wharf.kernel import process
from wharf.kernel.cgroup import Cgroup, open_cgroup
from wharf.runtime import foreign, messages
from wharf.runtime.filters import FilterCache
from wharf.runtime.foreign_spec import bundle_config, runtime_command
from wharf.runtime.reader import Reader
from wharf.runtime.requests import ExecRequest, ExitRecord, MonitorRequest, StartFailed
from wharf.runtime.running import Channel, Running, connect
from wharf.runtime.scopes import ScopedCgroup
from wharf.runtime.spawn import Launcher
from wharf.runtime.states import States, record_of
from wharf.runtime.waiting import CREATE_PREFIX, EXEC_PREFIX, Waiting
from wharf.spec.host import Host
from wharf.spec.mount import Mount, Overlay

PATIENCE = 5.0  # seconds that a start of wharfd waits for one monitor
GRACE = 0.5  # seconds in which one that is dying may close its socket before it is dead
log = logging.getLogger(__name__)
DIED = "the monitor of the container ended without a record"


Sandboxed = Waiting
Exec = Waiting


class Supervisor:
    """Starts, finds again and watches monitors."""

    def __init__(self, exec_root: str, data_root: str, host: Host) -> None:
        self._host = host
        self._states = States(exec_root, data_root)
        self._launcher = Launcher()
        self._reader = Reader(self._heard)
        self._filters = FilterCache(f"{data_root}/seccomp", host)

    # -- the launcher

    def start(self) -> None:
        """Spawn the launcher and start the reader."""
        self._states.make()
        self._launcher.start()
        self._reader.start()

    def close(self) -> None:
        """End the launcher and the reader; containers live on."""
        self._launcher.close()
        self._reader.stop()

    @property
    def launcher_pid(self) -> int:
        """The launcher's process."""
        return self._launcher.pid

    # -- containers

    def prepare(self, request: MonitorRequest) -> Sandboxed:
        """Fork a monitor and have it clone the first process; raises StartFailed."""
        join = dict(request.namespaces)
        own_pid = any(n["type"] == "pid" for n in request.spec["linux"]["namespaces"]) and "pid" not in join
        spec = {key: request.spec.get(key) for key in ("process", "root", "hostname", "domainname", "mounts", "linux")}
        if request.runtime:
            spec = bundle_config(request.spec, request.cgroup, request.rules)
        head = {
            **self._head("foreign" if request.runtime else "container", request.id, "init", request.cgroup),
            "runtime": runtime_command(request.runtime, request.cgroup),
            "userns": None if request.runtime else _maps(request.spec["linux"]),
            "new": [n["type"] for n in request.spec["linux"]["namespaces"] if n["type"] not in join],
            "log": _log(request),
            "join": list(join),
            "terminal": bool(request.spec["process"].get("terminal")),
            "open_stdin": request.open_stdin,
            "stdin_once": request.stdin_once,
            "exit_path": self._states.exit_path(request.id),
            "kill_on_exit": not own_pid,
        }
        body = {
            **self._body(request.id, request.user, request.groups, request.seccomp),
            "spec": spec,
            "rootfs": _root(request.rootfs),
            "images": {source: _layers(overlay) for source, overlay in request.images.items()},
            "mount_point": self._states.mount_point,
            "mknod": self._host.mknod,
            "overlay_append": self._host.overlay_lowerdir_append,
            "new_mount_api": self._host.new_mount_api,
        }
        self._states.drop_exit_record(request.id)
        channel = self._send(head, body, [*join.values(), *request.hold])
        cgroup = self._cgroup(request.cgroup)
        waiting = Waiting(self, request.id, channel, CREATE_PREFIX, cgroup)
        if isinstance(cgroup, ScopedCgroup) and not request.runtime:
            try:
                cgroup.begin(waiting.pid, request.spec["linux"].get("resources") or {})
            except OSError as error:
                waiting.abort()
                raise StartFailed(f"{CREATE_PREFIX}unable to start unit: {error}") from None
        return waiting

    def exec(self, request: ExecRequest, running: Running) -> Exec:
        """Fork a monitor for one more process in `running`; raises StartFailed or ProcessLookupError."""
        head = {
            **self._head("exec", request.container_id, request.exec_id, running.cgroup),
            "runtime": request.runtime,
            "userns": _maps(request.id_maps or {}),
            "new": [],
            "log": None,
            "join": ["init"],
            "terminal": bool(request.process.get("terminal")),
            "open_stdin": request.open_stdin,
            "stdin_once": True,
            "exit_path": self._states.exit_path(request.container_id, request.exec_id),
            "kill_on_exit": False,
        }
        body = {
            **self._body(request.container_id, request.user, request.groups, request.seccomp),
            "spec": {"process": request.process},
        }
        # A duplicate: `running` closes its own when the process ends, which may be now.
        pidfd = running.duplicate_pidfd()
        try:
            channel = self._send(head, body, [pidfd])
        finally:
            os.close(pidfd)
        return Waiting(self, f"{request.container_id}/{request.exec_id}", channel, EXEC_PREFIX, None)

    def _send(self, head: dict[str, Any], body: dict[str, Any], fds: Sequence[int]) -> Channel:
        """Fork a monitor with its request: the monitor reads the head, only the first process parses the body."""
        memfd = messages.to_memfd(body)
        try:
            channel = self._launcher.monitor("container" if head["kind"] == "container" else "exec")
            if not channel.tell(head, [memfd, *fds]):
                channel.close()
                raise Internal("the new monitor did not take its request")
        finally:
            os.close(memfd)
        return channel

    def _head(self, kind: str, container: str, name: str, cgroup: str) -> dict[str, Any]:
        return {
            "kind": kind,
            "id": container,
            "name": name,
            "state_dir": self._states.directory(container),
            "foreign": self._states.foreign(container),
            "boot_id": self._host.boot_id,
            "cgroup": cgroup if self._host.cgroup_mounts else "",
            "cgroup_mounts": self._host.cgroup_mounts,
        }

    def _body(self, container: str, user: str | None, groups: tuple[str, ...], seccomp: bytes) -> dict[str, Any]:
        return {
            "id": container,
            "user": user,
            "groups": list(groups),
            "seccomp": seccomp.hex(),
            "held": sum(1 << number for number in self._host.capabilities),
            "last_capability": self._host.last_capability,
        }

    def adopt(self, container_id: str, patience: float = PATIENCE) -> Running | None:
        """Find the monitor of an earlier wharfd; None when there is none any more (see `exit_record`, then `forget`).

        One that lives and does not answer within `patience` seconds is taken over as it was recorded. Raises OSError
        where it cannot be known (no descriptor is free).
        """
        return self._adopt(container_id, "init", patience)

    def adopt_exec(self, container_id: str, exec_id: str, patience: float = PATIENCE) -> Running | None:
        """The same for an exec."""
        return self._adopt(container_id, exec_id, patience)

    def _adopt(self, container_id: str, name: str, patience: float) -> Running | None:
        channel = connect(self._states.directory(container_id), name, patience)
        if channel is None:
            return self._adopt_recorded(container_id, name, Channel.to_nobody())
        try:
            message, fds = channel.hear(patience)
        except messages.Closed:
            channel.close()
            return self._adopt_recorded(container_id, name, Channel.to_nobody())
        except TimeoutError:
            return self._adopt_recorded(container_id, name, channel)
        if message["op"] != "status" or not message["running"]:
            messages.close_all(fds)
            channel.close()
            return None
        cgroup = self._cgroup(message["cgroup"]) if name == "init" else None
        label = _label(container_id, name)
        running = Running(label, channel, message["pid"], message["start_time"], fds[0], fds[1], cgroup)
        self.watch(running)
        return running

    def _adopt_recorded(self, container_id: str, name: str, channel: Channel) -> Running | None:
        """By what was written down at its start: the monitor may be busy with a slow disk, and answer when it can. None
        when it is not among the living."""
        state = self._states.monitor(container_id, name, self._host.boot_id)
        grace = GRACE if channel.mute else 0.0
        monitor = process.open_known(state["monitor"], state.get("monitor_start", 0), grace) if state else None
        if monitor is None:
            channel.close()
            return None
        log.warning("the monitor of %s lives, but does not answer: it is left alone", _label(container_id, name))
        child = process.open_known(state["pid"], state["start_time"])  # None: it ended, the monitor has yet to say how
        cgroup = self._cgroup(state["cgroup"]) if name == "init" else None
        label, pidfd = _label(container_id, name), -1 if child is None else child
        running = Running(label, channel, state["pid"], state["start_time"], pidfd, monitor, cgroup)
        self.watch(running)
        return running

    def exit_record(self, container_id: str) -> ExitRecord | None:
        """What the monitor wrote before it ended; None when it wrote nothing."""
        return self._states.exit_record(container_id)

    def live(self) -> list[str]:
        """Ids of containers that have, or had when it died, a monitor."""
        return self._states.containers()

    def foreign(self) -> list[str]:
        """Ids of containers of which another runtime has, or had, state."""
        return self._states.foreign_containers()

    def dead_execs(self, container_id: str) -> list[str]:
        """Execs whose monitor was killed: it has left its files."""
        return [name for name in self._states.execs(container_id) if not self._lives(container_id, name)]

    def _lives(self, container_id: str, name: str) -> bool:
        state = self._states.monitor(container_id, name, self._host.boot_id)
        monitor = process.open_known(state["monitor"], state.get("monitor_start", 0)) if state else None
        if monitor is not None:
            os.close(monitor)
        return monitor is not None

    def forget_exec(self, container_id: str, exec_id: str) -> None:
        """Remove what the dead monitor of an exec left."""
        self._states.remove_exec(container_id, exec_id)

    def forget(self, container_id: str) -> None:
        """Remove what a dead monitor left: every process of the cgroup, the cgroup, the state files."""
        cgroup = self._cgroup(self._states.cgroup(container_id))
        if cgroup is not None:
            cgroup.kill()
        foreign.delete(self._states.foreign(container_id), container_id)
        if cgroup is not None:
            cgroup.remove()
        self._states.remove(container_id)

    def seccomp_filter(self, profile: dict[str, Any] | None, capabilities: Iterable[str]) -> bytes:
        """The BPF program of a profile (None: the default one) for a bounding set; compiled once, kept on disk."""
        return self._filters.get(profile, capabilities)

    def seccomp_rules(self, profile: dict[str, Any] | None, capabilities: Iterable[str]) -> dict[str, Any]:
        """The same profile as `linux.seccomp` of the OCI specification, for other runtimes."""
        return self._filters.rules(profile, capabilities)

    # -- workers

    def worker(
        self, job: str, args: dict[str, Any], fds: Sequence[int] = (), timeout: float | None = None
    ) -> dict[str, Any]:
        """Run a job of `launcherd.JOBS` in its own process; raises what it raised, TimeoutError after `timeout`."""
        return self._launcher.work(job, args, fds, timeout)

    def run(self, job: str, args: dict[str, Any], fds: Sequence[int] = ()) -> dict[str, Any]:
        """`worker` without a time limit: storage's Protocol `Worker`."""
        return self.worker(job, args, fds)

    def keeping_workers(self) -> AbstractContextManager[None]:
        """Within the `with` a worker may do one job after another."""
        return self._launcher.keeping_workers()

    # -- what the reader hears

    def prepared(self, waiting: Waiting, name: str, monitor: int) -> None:
        """Write down what a later wharfd needs when the monitor is dead, before `go`: whose cgroup to kill."""
        container, _, execution = name.partition("/")
        state = {
            "version": messages.VERSION,
            "boot_id": self._host.boot_id,
            "monitor": monitor,
            "monitor_start": process.start_time(monitor),
            "pid": waiting.pid,
            "start_time": waiting.start_time,
            "cgroup": waiting.cgroup,
        }
        self._states.write(container, execution or "init", state)

    def started(self, running: Running) -> None:
        """Listen for the end of `running`, and have the next monitor forked ahead."""
        self.watch(running)
        self._launcher.fork_ahead()

    def watch(self, running: Running) -> None:
        """Listen for the end of `running`."""
        self._reader.add(running)

    def _heard(self, running: Running, message: dict[str, Any] | None) -> bool:
        """A message, or None at the end of the socket; whether `running` is over."""
        if message is not None and message["op"] != "exit":
            return False
        if message is not None:
            record = record_of(message)
        else:
            record = self._lost(running)
        running.ended(record)
        return True

    def _lost(self, running: Running) -> ExitRecord:
        """The monitor is gone without a word: its record if it wrote one, else 137 once the cgroup is dead."""
        container, _, name = running.name.partition("/")
        record = self._states.exit_record(container, name or "init")
        if record is not None:
            return record
        try:
            if name:
                running.signal(9)
            else:
                self.forget(container)
        except (OSError, ProcessLookupError):
            pass
        return ExitRecord(137, 9, False, time.time_ns(), DIED)

    def _cgroup(self, path: str) -> Cgroup | None:
        if path.endswith(".scope") and self._host.systemd_scopes:
            return ScopedCgroup(self._host.cgroup_mounts[""], path)
        return open_cgroup(self._host.cgroup_mounts, path) if path and self._host.cgroup_mounts else None


def _label(container: str, name: str) -> str:
    """How a Running is called: as its container, or `container/exec`."""
    return container if name == "init" else f"{container}/{name}"


def _maps(linux: dict[str, Any]) -> dict[str, Any] | None:
    """What the monitor writes for a user namespace; None for the host's."""
    if not linux.get("uidMappings"):
        return None
    return {"uid": linux["uidMappings"], "gid": linux["gidMappings"]}


def _root(mount: Mount) -> dict[str, Any]:
    layers = _layers(mount.overlay) if mount.overlay is not None else None
    return {"source": mount.source, "options": mount.options, "overlay": layers}


def _layers(overlay: Overlay) -> dict[str, Any]:
    return {"lower": overlay.lower, "upper": overlay.upper, "work": overlay.work, "options": overlay.options}


def _log(request: MonitorRequest) -> dict[str, Any] | None:
    if request.log is None:
        return None
    extra = json.dumps(request.log.extra, separators=(",", ":")) if request.log.extra else ""
    return {**asdict(request.log), "extra": extra}


__all__ = ["Exec", "Sandboxed", "Supervisor", "Waiting"]
