"""Another OCI runtime below the same monitor: the child that drives it, and how its leftovers go.

    monitor ── helper (own mount namespace) ── RUNTIME create ── the container's first process, waiting
                 │ born: pid, network namespace, rtnetlink socket; terminal; ready … go
                 └─ RUNTIME start, then gone: the root stays mounted in the container's namespace alone

The monitor is the subreaper meanwhile, so the first process becomes its child when the runtime ends, and all that
follows (pidfd, wait status, cgroup, log) is as with our own. An exec is born as the helper; its process is told with
`started`. Nothing is imported here after the fork.

<exec-root>/foreign/<container>/config.json, root/, binds/   the bundle, the runtime's own state, `foreign_binds`
"""

import _socket
import json
import os
import select
import signal
import time
from typing import Any, NoReturn

from wharf.kernel import caps, process
from wharf.kernel import namespaces as ns
from wharf.runtime import binds, credentials, foreign_binds, init, messages, rootfs
from wharf.runtime.credentials import InitFailed

CREATE_WORDS = "failed to create task for container: failed to create shim task: OCI runtime create failed: "
EXEC_WORDS = "OCI runtime exec failed: "
START_WORDS = "failed to start task for container: OCI runtime start failed: "
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
DELETE_LIMIT = 10.0
"""Seconds that a runtime has to delete what is dead already."""
_MAX_LOG = 1 << 20
_COMMAND = "command.json"


def create(inherited: init.Inherited, head: dict[str, Any]) -> NoReturn:
    """The helper of a container; `head` is the monitor's request. Never returns."""
    init.guarded(inherited.sync, lambda: _create(inherited, head))


def execute(inherited: init.Inherited, head: dict[str, Any]) -> NoReturn:
    """The helper of an exec. Never returns."""
    init.guarded(inherited.sync, lambda: _execute(inherited, head))


def _begin(inherited: init.Inherited) -> None:
    """As init begins, but dumpable: the runtime reaches our descriptors through /proc. We enter no container."""
    process.close_all_but(inherited.keep())
    init.begin()
    process.prctl(process.PR_SET_DUMPABLE, 1)
    inherited.take_streams()


# -- a container


def _create(inherited: init.Inherited, head: dict[str, Any]) -> None:
    _begin(inherited)
    request = messages.from_memfd(inherited.body)
    config, directory = request["spec"], head["foreign"]
    os.makedirs(directory, 0o700, exist_ok=True)
    _write(f"{directory}/{_COMMAND}", head["runtime"])
    network = _new_network() if "network" in head["new"] else None
    trees = foreign_binds.clone(request, inherited.join.pop(init.SHARED_MEMORY, -1))
    rootfs.enter_private_tree(config["linux"].get("rootfsPropagation", ""))
    trees |= binds.image_trees(request)
    rootfs.mount_root(request["rootfs"], request["mount_point"], request["overlay_append"])
    foreign_binds.attach(config["mounts"], trees, f"{directory}/binds")
    _identify(config["process"], request, lambda: os.chroot(request["mount_point"]))
    _join(config["linux"]["namespaces"], inherited.join, network)
    config["root"]["path"] = request["mount_point"]
    _write(f"{directory}/config.json", config)
    os.chdir(directory)
    console = _Console("init", bool(config["process"].get("terminal")))
    words = ["create", "--bundle", directory, "--pid-file", f"{directory}/init.pid", *console.words, head["id"]]
    _run(head, words, CREATE_WORDS)
    born = {"op": "born", "pid": _read_pid(f"{directory}/init.pid")}
    messages.send(inherited.sync, born, list(network or ()))
    console.pass_on(inherited.sync)
    messages.send(inherited.sync, {"op": "ready"})
    messages.receive(inherited.sync)
    _run(head, ["start", head["id"]], START_WORDS)


def _new_network() -> tuple[int, int]:
    """A network namespace with `lo` up and an rtnetlink socket inside; we go back, as runtimes refuse their own."""
    home = ns.open_namespace("network")
    ns.unshare(ns.CLONE_NEWNET)
    network = init.own_network()
    ns.setns(home, ns.CLONE_NEWNET)
    os.close(home)
    return network


def _join(namespaces: list[dict[str, Any]], joined: dict[str, int], network: tuple[int, int] | None) -> None:
    """Name the namespaces that are there already by our descriptors of them."""
    fds = dict(joined)
    if network is not None:
        fds["network"] = network[0]
    for item in namespaces:
        if item["type"] in fds:
            item["path"] = f"/proc/{os.getpid()}/fd/{fds[item['type']]}"


# -- an exec


def _execute(inherited: init.Inherited, head: dict[str, Any]) -> None:
    _begin(inherited)
    messages.send(inherited.sync, {"op": "born"})
    request = messages.from_memfd(inherited.body)
    directory, name, spec = head["foreign"], head["name"], request["spec"]["process"]

    def enter() -> None:
        ns.setns(inherited.join["init"], ns.CLONE_NEWNS)
        os.chdir("/")

    _identify(spec, request, enter)
    os.close(inherited.join["init"])
    _write(f"{directory}/{name}.process", spec)
    os.chdir(directory)
    console = _Console(name, bool(spec.get("terminal")))
    messages.send(inherited.sync, {"op": "ready"})
    messages.receive(inherited.sync)
    pid_file = f"{directory}/{name}.pid"
    words = ["exec", "--detach", "--process", f"{directory}/{name}.process", "--pid-file", pid_file, *console.words]
    try:
        _run(head, [*words, head["id"]], EXEC_WORDS)
        messages.send(inherited.sync, {"op": "started", "pid": _read_pid(pid_file)})
        console.pass_on(inherited.sync)
    finally:
        for suffix in ("process", "pid", "console", "log"):
            _unlink(f"{directory}/{name}.{suffix}")


# -- both


def _identify(spec: dict[str, Any], request: dict[str, Any], enter: Any) -> None:
    """Put uid, gid and groups into `spec`, looked up by a child of ours that `enter` takes into the root."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _look_up(spec, request, enter, writer)
    os.close(writer)
    with open(reader, "rb") as file:
        answer = json.loads(file.read() or b'{"text": "the user could not be looked up"}')
    os.waitpid(pid, 0)
    if "text" in answer:
        raise InitFailed(answer["text"], bare=True)
    spec["user"] = answer
    sets = spec.get("capabilities") or {}
    spec["capabilities"] = {key: [name for name in names if _held(name, request)] for key, names in sets.items()}
    if answer["uid"]:  # as Docker: a user other than root starts with a bounding set only
        spec["capabilities"] = {**spec["capabilities"], "permitted": [], "effective": []}


def _held(name: str, request: dict[str, Any]) -> bool:
    """Whether we have a capability ourselves: runtimes refuse to grant one that is not there."""
    return bool(request["held"] >> caps.NAMES.index(name) & 1)


def _look_up(spec: dict[str, Any], request: dict[str, Any], enter: Any, writer: int) -> NoReturn:
    try:
        process.prctl(process.PR_SET_DUMPABLE, 0)
        enter()
        os.chdir("/")
        who = credentials.identity(spec, request["user"], request["groups"])
        answer: dict[str, Any] = {"uid": who.uid, "gid": who.gid, "additionalGids": who.groups}
    except InitFailed as error:
        answer = {"text": error.text}
    except OSError as error:
        answer = {"text": f"cannot look the user up: {credentials.errno_text(error)}"}
    try:
        os.write(writer, json.dumps(answer).encode())
    finally:
        os._exit(0)


class _Console:
    """The socket that a runtime sends the terminal's master to, in the working directory (its name stays short)."""

    def __init__(self, name: str, wanted: bool) -> None:
        self._listener: _socket.socket | None = None
        self.words: list[str] = []
        if not wanted:
            return
        path = f"{name}.console"
        _unlink(path)
        here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        self._listener.bind(f"/proc/self/fd/{here}/{path}")
        os.close(here)
        self._listener.listen(1)
        self.words = ["--console-socket", path]

    def pass_on(self, sync: _socket.socket) -> None:
        """Give the master to the monitor; the runtime has sent it before it ended."""
        if self._listener is None:
            return
        if not select.select([self._listener.fileno()], [], [], 0)[0]:
            raise InitFailed("the runtime did not send the terminal")
        fd, _ = self._listener._accept()  # type: ignore[attr-defined]
        connection = _socket.socket(fileno=fd)
        _, ancillary, _, _ = connection.recvmsg(4096, _socket.CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC)
        if not ancillary:
            raise InitFailed("the runtime sent no terminal")
        master = int.from_bytes(ancillary[0][2][:4], "little")
        messages.send(sync, {"op": "terminal"}, [master])
        os.close(master)
        connection.close()
        self._listener.close()


def _run(head: dict[str, Any], words: list[str], what: str) -> None:
    """Run the runtime and wait; raises InitFailed with the last error that it logged."""
    log = f"{head['foreign']}/{head['name']}.log"
    command = [*_command(head["runtime"], head["foreign"]), "--log", log, "--log-format", "json", *words]
    if not os.access(command[0], os.X_OK):
        raise InitFailed(f"{what}fork/exec {command[0]}: no such file or directory", bare=True)
    pid = os.fork()
    if pid == 0:
        _become(command)
    status = os.waitpid(pid, 0)[1]
    if status:
        raise InitFailed(what + (_last_error(log) or f"{command[0]} ended with status {status}"), bare=True)


def _become(command: list[str]) -> NoReturn:
    try:
        process.prctl(process.PR_SET_PDEATHSIG, signal.SIGKILL)
        os.execve(command[0], command, ENVIRONMENT)
    finally:
        os._exit(127)


def _command(runtime: list[str], directory: str) -> list[str]:
    return [*runtime, "--root", f"{directory}/root"]


def _last_error(log: str) -> str:
    """What went wrong in words: the last error line (the format of logrus, which crun writes too)."""
    found = ""
    try:
        with open(log, "rb") as file:
            lines = file.read(_MAX_LOG).splitlines()
    except FileNotFoundError:
        return ""
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("level") in ("error", "fatal"):
            found = str(entry.get("msg", ""))
    return found


def _read_pid(path: str) -> int:
    with open(path) as file:
        return int(file.read())


def _write(path: str, value: Any) -> None:
    with open(path, "w", opener=lambda name, flags: os.open(name, flags | os.O_CLOEXEC, 0o600)) as file:
        json.dump(value, file)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


# -- the end: called by the monitor, and by wharfd when the monitor is dead


def delete(directory: str, container: str) -> None:
    """Have the runtime forget a dead container, then remove its directory; nothing there is fine."""
    try:
        with open(f"{directory}/{_COMMAND}") as file:
            runtime = json.load(file)
    except (FileNotFoundError, ValueError):
        runtime = None
    if runtime:
        _delete(_command(runtime, directory), container)
    _remove_tree(directory)


def _delete(command: list[str], container: str) -> None:
    null = [(os.POSIX_SPAWN_OPEN, number, "/dev/null", os.O_RDWR, 0) for number in (0, 1, 2)]
    words = [*command, "delete", "--force", container]
    try:
        pid = os.posix_spawn(command[0], words, ENVIRONMENT, file_actions=null)
    except OSError:  # the runtime was removed from the host: what it made below our cgroup goes with that
        return
    pidfd = os.pidfd_open(pid)
    try:
        deadline = time.monotonic() + DELETE_LIMIT
        if not select.select([pidfd], [], [], max(0.0, deadline - time.monotonic()))[0]:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.waitpid(pid, 0)
    finally:
        os.close(pidfd)


def _remove_tree(path: str) -> None:
    try:
        names = os.listdir(path)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        _unlink(path)
        return
    for name in names:
        inner = f"{path}/{name}"
        if os.path.isdir(inner) and not os.path.islink(inner):
            _remove_tree(inner)
        else:
            _unlink(inner)
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return
