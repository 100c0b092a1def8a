"""wharfd's side of launcher and monitors.

Calls block for a bounded time and are safe from any thread. One reader thread listens to all monitors and runs
the `on_exit` callbacks: these must be short (`loop.call_soon_threadsafe`). `close` ends launcher and reader,
never a container.
"""

import json
import os
import select
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from wharf import errors
from wharf.kernel.cgroup import Cgroup, open_cgroup
from wharf.kernel.process import start_time
from wharf.runtime import messages
from wharf.runtime.filters import FilterCache
from wharf.runtime.reader import Reader
from wharf.runtime.requests import ExecRequest, ExitRecord, MonitorRequest, StartFailed
from wharf.runtime.running import Channel, Running
from wharf.runtime.spawn import spawn_launcher
from wharf.spec.host import Host
from wharf.spec.mount import Mount

ANSWER_LIMIT = 60.0  # seconds for a monitor to answer; a hung mount of one container ends here
CREATE_PREFIX = (
    "failed to create task for container: failed to create shim task: OCI runtime create failed: "
    "runc create failed: unable to start container process: error during container init: "
)
EXEC_PREFIX = "OCI runtime exec failed: exec failed: unable to start container process: "
DIED = "the monitor of the container ended without a record"


def exit_code_of(text: str) -> int:
    """The exit code that Docker records for a failed start, read off its message (moby, daemon/start.go)."""
    if any(part in text for part in ("executable file not found", "no such file or directory", "not a directory")):
        return 127
    if any(part in text for part in ("permission denied", "is a directory", "operation not permitted")):
        return 126
    return 128


class Waiting:
    """A first process that was cloned and waits for `go`: attach now, so that nothing is missed."""

    def __init__(
        self, supervisor: "Supervisor", name: str, channel: Channel, prefix: str, cgroup: Cgroup | None
    ) -> None:
        self._supervisor, self._name, self._channel, self._prefix = supervisor, name, channel, prefix
        self._cgroup = cgroup
        self.pid = 0
        self.start_time = 0
        self.netns_fd: int | None = None
        self.rtnl: socket.socket | None = None
        self._pidfd = self._monitor = -1
        message, fds = self._answer()
        if message["op"] != "prepared":
            messages.close_all(fds)
            raise self._failure(message)
        self.pid, self._pidfd, self._monitor = message["pid"], fds[0], fds[1]
        self.start_time = start_time(self.pid)
        supervisor.write_state(name, message["monitor"], self)
        if len(fds) >= 4:
            self.netns_fd, self.rtnl = fds[2], socket.socket(fileno=fds[3])

    def _answer(self) -> tuple[dict[str, Any], list[int]]:
        try:
            return self._channel.hear(ANSWER_LIMIT)
        except (messages.Closed, TimeoutError) as error:
            self._channel.close()
            self._release()
            raise StartFailed(self._prefix + f"monitor: {error}") from None

    def _failure(self, message: dict[str, Any]) -> StartFailed:
        text = message.get("text", message["op"])
        self._channel.close()
        self._release()
        whole = text if message.get("bare") else self._prefix + text
        return StartFailed(whole, exit_code_of(text))

    def _release(self) -> None:
        messages.close_all([fd for fd in (self._pidfd, self._monitor) if fd >= 0])
        self._pidfd = self._monitor = -1
        self.close_network()

    def close_network(self) -> None:
        """Close the namespace's descriptor and the rtnetlink socket; `go` and `abort` do so too."""
        if self.netns_fd is not None:
            os.close(self.netns_fd)
            self.netns_fd = None
        if self.rtnl is not None:
            self.rtnl.close()
            self.rtnl = None

    @property
    def monitor_pidfd(self) -> int:
        """The monitor's pidfd, ours: its end is the sandbox's."""
        return self._monitor

    @property
    def cgroup(self) -> str:
        """The path of its cgroup, "" when it has none of its own."""
        return self._cgroup.path if self._cgroup else ""

    def attach(self, *, stdin: bool, stdout: bool, stderr: bool) -> socket.socket:
        """As `Running.attach`."""
        return self._channel.attach(stdin, stdout, stderr)

    def doorbell(self) -> int:
        """As `Running.doorbell`."""
        return self._channel.doorbell()

    def resize(self, height: int, width: int) -> None:
        """As `Running.resize`."""
        self._channel.resize(height, width)

    def go(self, hold: Sequence[int] = ()) -> Running:
        """Let it become the user's program; the monitor keeps duplicates of `hold`. Raises StartFailed."""
        self._channel.tell({"op": "go"}, list(hold))
        message, fds = self._answer()
        messages.close_all(fds)
        if message["op"] != "running":
            raise self._failure(message)
        self.close_network()
        running = Running(
            self._name, self._channel, self.pid, self.start_time, self._pidfd, self._monitor, self._cgroup
        )
        self._supervisor.watch(running)
        return running

    def abort(self) -> None:
        """Kill it and remove what was made; returns when the monitor has done so."""
        self._channel.tell({"op": "abort"})
        try:
            _, fds = self._channel.hear(ANSWER_LIMIT)
            messages.close_all(fds)
        except (messages.Closed, TimeoutError, OSError):
            pass
        self._channel.close()
        self._release()


Sandboxed = Waiting
Exec = Waiting


class Supervisor:
    """Starts, finds again and watches monitors."""

    def __init__(self, exec_root: str, data_root: str, host: Host) -> None:
        self._exec_root, self._data_root, self._host = exec_root, data_root, host
        self._lock = threading.Lock()
        self._launcher: socket.socket | None = None
        self._launcher_pid = 0
        self._reader = Reader(self._heard)
        self._filters = FilterCache(f"{data_root}/seccomp", host)

    # -- the launcher

    def start(self) -> None:
        """Spawn the launcher and start the reader."""
        os.makedirs(f"{self._exec_root}/monitors", 0o700, exist_ok=True)
        os.makedirs(f"{self._exec_root}/root", 0o700, exist_ok=True)
        os.makedirs(f"{self._data_root}/containers", 0o710, exist_ok=True)
        self._launcher_pid, self._launcher = spawn_launcher()
        self._reader.start()

    def close(self) -> None:
        """End the launcher and the reader; containers live on."""
        with self._lock:
            launcher, self._launcher = self._launcher, None
            if launcher is not None:
                launcher.close()
                os.waitpid(self._launcher_pid, 0)
        self._reader.stop()

    def _fork(self, role: str) -> Channel:
        """Have the launcher fork; a launcher that died is started again once."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, self._lock:
            for attempt in (1, 2):
                if self._launcher is None:
                    raise errors.Unavailable("the launcher is closed")
                try:
                    messages.send(self._launcher, {"role": role}, [theirs.fileno()])
                    break
                except messages.Closed:
                    if attempt == 2:
                        raise errors.Internal("the launcher does not start") from None
                    self._launcher.close()
                    os.waitpid(self._launcher_pid, 0)
                    self._launcher_pid, self._launcher = spawn_launcher()
        return Channel(ours)

    # -- containers

    def prepare(self, request: MonitorRequest) -> Sandboxed:
        """Fork a monitor and have it clone the first process; raises StartFailed."""
        join = dict(request.namespaces)
        own_pid = any(n["type"] == "pid" for n in request.spec["linux"]["namespaces"]) and "pid" not in join
        spec = {key: request.spec.get(key) for key in ("process", "root", "hostname", "domainname", "mounts", "linux")}
        head = {
            **self._head("container", request.id, "init", request.cgroup),
            "new": [n["type"] for n in request.spec["linux"]["namespaces"] if n["type"] not in join],
            "log": _log(request),
            "join": list(join),
            "terminal": bool(request.spec["process"].get("terminal")),
            "open_stdin": request.open_stdin,
            "stdin_once": request.stdin_once,
            "exit_path": self._exit_path(request.id),
            "kill_on_exit": not own_pid,
        }
        body = {
            **self._body(request.id, request.user, request.groups, request.seccomp),
            "spec": spec,
            "rootfs": _root(request.rootfs),
            "mount_point": f"{self._exec_root}/root",
            "mknod": self._host.mknod,
            "overlay_append": self._host.overlay_lowerdir_append,
        }
        self._drop_old_record(request.id)
        channel = self._send(head, body, [*join.values(), *request.hold])
        return Waiting(self, request.id, channel, CREATE_PREFIX, self._cgroup(request.cgroup))

    def exec(self, request: ExecRequest, running: Running) -> Exec:
        """Fork a monitor for one more process in `running`; raises StartFailed or ProcessLookupError."""
        if running.pidfd < 0:
            raise ProcessLookupError(f"no process {running.pid}")
        path = f"{self._state_dir(request.container_id)}/{request.exec_id}.exit"
        head = {
            **self._head("exec", request.container_id, request.exec_id, running.cgroup),
            "new": [],
            "log": None,
            "join": ["init"],
            "terminal": bool(request.process.get("terminal")),
            "open_stdin": request.open_stdin,
            "stdin_once": True,
            "exit_path": path,
            "kill_on_exit": False,
        }
        body = {
            **self._body(request.container_id, request.user, request.groups, request.seccomp),
            "spec": {"process": request.process},
        }
        channel = self._send(head, body, [running.pidfd])
        return Waiting(self, f"{request.container_id}/{request.exec_id}", channel, EXEC_PREFIX, None)

    def _send(self, head: dict[str, Any], body: dict[str, Any], fds: Sequence[int]) -> Channel:
        """Fork a monitor with its request: the monitor reads the head, only the first process parses the body."""
        memfd = messages.to_memfd(body)
        try:
            channel = self._fork("monitor")
            channel.tell(head, [memfd, *fds])
        finally:
            os.close(memfd)
        return channel

    def _head(self, kind: str, container: str, name: str, cgroup: str) -> dict[str, Any]:
        return {
            "kind": kind,
            "id": container,
            "name": name,
            "state_dir": self._state_dir(container),
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

    def adopt(self, container_id: str) -> Running | None:
        """Find the monitor of an earlier wharfd; None when none answers (see `exit_record`, then `forget`)."""
        return self._adopt(container_id, "init")

    def adopt_exec(self, container_id: str, exec_id: str) -> Running | None:
        """The same for an exec."""
        return self._adopt(container_id, exec_id)

    def _adopt(self, container_id: str, name: str) -> Running | None:
        sock = self._connect(container_id, name)
        if sock is None:
            return None
        channel = Channel(sock)
        try:
            message, fds = channel.hear(ANSWER_LIMIT)
        except (messages.Closed, TimeoutError):
            channel.close()
            return None
        if message["op"] != "status" or not message["running"]:
            messages.close_all(fds)
            channel.close()
            return None
        label = container_id if name == "init" else f"{container_id}/{name}"
        cgroup = self._cgroup(message["cgroup"]) if name == "init" else None
        running = Running(label, channel, message["pid"], message["start_time"], fds[0], fds[1], cgroup)
        self.watch(running)
        return running

    def _connect(self, container_id: str, name: str) -> socket.socket | None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            directory = os.open(self._state_dir(container_id), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                sock.settimeout(ANSWER_LIMIT)
                sock.connect(f"/proc/self/fd/{directory}/{name}")
                sock.settimeout(None)
            finally:
                os.close(directory)
        except OSError:
            sock.close()
            return None
        return sock

    def exit_record(self, container_id: str) -> ExitRecord | None:
        """What the monitor wrote before it ended; None when it wrote nothing."""
        return _read_record(self._exit_path(container_id))

    def live(self) -> list[str]:
        """Ids of containers that have, or had when it died, a monitor."""
        try:
            return sorted(os.listdir(f"{self._exec_root}/monitors"))
        except FileNotFoundError:
            return []

    def forget(self, container_id: str) -> None:
        """Remove what a dead monitor left: every process of the cgroup, the cgroup, the state files."""
        directory = self._state_dir(container_id)
        try:
            names = os.listdir(directory)
        except FileNotFoundError:
            return
        state = _read_json(f"{directory}/init.json")
        cgroup = self._cgroup(str(state.get("cgroup") or ""))
        if cgroup is not None:
            cgroup.kill()
            cgroup.remove()
        for name in names:
            os.unlink(f"{directory}/{name}")
        os.rmdir(directory)

    def seccomp_filter(self, profile: dict[str, Any] | None, capabilities: Iterable[str]) -> bytes:
        """The BPF program of a profile (None: the default one) for a bounding set; compiled once, kept on disk."""
        return self._filters.get(profile, capabilities)

    # -- workers

    def worker(
        self, job: str, args: dict[str, Any], fds: Sequence[int] = (), timeout: float | None = None
    ) -> dict[str, Any]:
        """Run a job of `launcherd.JOBS` in its own process; raises what it raised, TimeoutError after `timeout`."""
        channel = self._fork("worker")
        try:
            channel.tell({"job": job, "args": args}, list(fds))
            poller = select.poll()
            poller.register(channel.sock.fileno(), select.POLLIN)
            if not poller.poll(None if timeout is None else timeout * 1000):
                raise TimeoutError(f"{job} did not end within {timeout:.0f} s")
            message, passed = messages.receive(channel.sock)
            messages.close_all(passed)
        except messages.Closed:
            raise errors.Internal(f"the worker of {job} died") from None
        finally:
            channel.close()
        return _result(job, message)

    def run(self, job: str, args: dict[str, Any], fds: Sequence[int] = ()) -> dict[str, Any]:
        """`worker` without a time limit: storage's Protocol `Worker`."""
        return self.worker(job, args, fds)

    # -- what the reader hears

    def write_state(self, label: str, monitor: int, waiting: Waiting) -> None:
        """What a later wharfd needs when the monitor is dead: whose cgroup to kill. Written before `go`."""
        container, _, name = label.partition("/")
        state = {
            "version": messages.VERSION,
            "boot_id": self._host.boot_id,
            "monitor": monitor,
            "pid": waiting.pid,
            "start_time": waiting.start_time,
            "cgroup": waiting.cgroup,
        }
        path = f"{self._state_dir(container)}/{name or 'init'}.json"
        with open(path + ".new", "w") as file:
            json.dump(state, file)
        os.rename(path + ".new", path)

    def watch(self, running: Running) -> None:
        """Listen for the end of `running`."""
        self._reader.add(running)

    def _heard(self, running: Running, message: dict[str, Any] | None) -> bool:
        """A message, or None at the end of the socket; whether `running` is over."""
        if message is not None and message["op"] != "exit":
            return False
        if message is not None:
            record = _record(message)
        else:
            record = self._lost(running)
        running.ended(record)
        return True

    def _lost(self, running: Running) -> ExitRecord:
        """The monitor is gone without a word: its record if it wrote one, else 137 once the cgroup is dead."""
        container, _, name = running.name.partition("/")
        path = f"{self._state_dir(container)}/{name}.exit" if name else self._exit_path(container)
        record = _read_record(path)
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

    # -- names

    def _state_dir(self, container_id: str) -> str:
        return f"{self._exec_root}/monitors/{container_id}"

    def _exit_path(self, container_id: str) -> str:
        return f"{self._data_root}/containers/{container_id}/exit.json"

    def _cgroup(self, path: str) -> Cgroup | None:
        return open_cgroup(self._host.cgroup_mounts, path) if path and self._host.cgroup_mounts else None

    def _drop_old_record(self, container_id: str) -> None:
        path = self._exit_path(container_id)
        os.makedirs(os.path.dirname(path), 0o710, exist_ok=True)
        try:
            os.unlink(path)
        except FileNotFoundError:
            return


def _root(mount: Mount) -> dict[str, Any]:
    overlay = mount.overlay
    layers = None
    if overlay is not None:
        layers = {"lower": overlay.lower, "upper": overlay.upper, "work": overlay.work, "options": overlay.options}
    return {"source": mount.source, "options": mount.options, "overlay": layers}


def _log(request: MonitorRequest) -> dict[str, Any] | None:
    if request.log is None:
        return None
    extra = json.dumps(request.log.extra, separators=(",", ":")) if request.log.extra else ""
    return {**asdict(request.log), "extra": extra}


def _read_json(path: str) -> dict[str, Any]:
    try:
        with open(path) as file:
            value = json.load(file)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _read_record(path: str) -> ExitRecord | None:
    value = _read_json(path)
    return _record(value) if value else None


def _record(value: dict[str, Any]) -> ExitRecord:
    return ExitRecord(value["code"], value["signal"], value["oom"], value["finished_at"], value["reason"])


def _result(job: str, message: dict[str, Any]) -> dict[str, Any]:
    if message["op"] == "done":
        result: dict[str, Any] = message["result"]
        return result
    if message["op"] == "refused":
        kind = getattr(errors, message["class"], errors.Internal)
        raise kind(message["message"])
    if message["op"] == "os":
        raise OSError(message["errno"], message["message"], message["path"] or None)
    raise errors.Internal(f"{job}: {message['message']}\n{message['traceback']}")


__all__ = ["Exec", "Sandboxed", "Supervisor", "Waiting"]
