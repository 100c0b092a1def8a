"""`exec`: one more process in a running container."""

import copy
import json
import os
from dataclasses import dataclass, field
from typing import Any

from wharf.runtime import messages
from wharf.runtime.oci import birth, cgroups, console, first, foreground, spec_check
from wharf.runtime.oci.birth import Child
from wharf.runtime.oci.errors import CommandFailed
from wharf.runtime.oci.state import Container, Store
from wharf.spec.host import Host


@dataclass(slots=True)
class Options:
    """Flags of exec."""

    process_file: str = ""
    command: list[str] = field(default_factory=list)
    detach: bool = False
    tty: bool = False
    cwd: str = ""
    env: list[str] = field(default_factory=list)
    user: str = ""
    groups: list[str] = field(default_factory=list)
    caps: list[str] = field(default_factory=list)
    no_new_privs: bool | None = None
    apparmor: str = ""
    process_label: str = ""
    console_socket: str = ""
    pid_file: str = ""
    preserve_fds: int = 0
    ignore_paused: bool = False
    pidfd_socket: str = ""
    cgroups: list[str] = field(default_factory=list)


def process_of(container: Container, options: Options) -> dict[str, Any]:
    """The process object: the file that is named, or the container's own with what the flags change."""
    if options.process_file:
        try:
            with open(options.process_file) as file:
                found: dict[str, Any] = json.load(file)
                return found
        except (OSError, ValueError) as error:
            raise CommandFailed(f"{options.process_file}: {error}") from None
    if not options.command:
        raise CommandFailed("process args cannot be empty")
    out: dict[str, Any] = copy.deepcopy(container.config["process"])
    out.pop("consoleSize", None)
    out["args"], out["terminal"] = options.command, options.tty
    out["cwd"] = options.cwd or out["cwd"]
    out["env"] = [*(out.get("env") or ()), *options.env]
    for key, value in (("apparmorProfile", options.apparmor), ("selinuxLabel", options.process_label)):
        if value:
            out[key] = value
    if options.no_new_privs is not None:
        out["noNewPrivileges"] = options.no_new_privs
    if options.caps:
        sets = out.setdefault("capabilities", {}) or {}
        for kind in ("bounding", "effective", "permitted"):
            sets[kind] = [*(sets.get(kind) or ()), *options.caps]
        out["capabilities"] = sets
    _set_user(out, options)
    return out


def _set_user(process: dict[str, Any], options: Options) -> None:
    user = process.setdefault("user", {})
    if options.user:
        uid, colon, gid = options.user.partition(":")
        if not uid.isdecimal() or (colon and not gid.isdecimal()):
            raise CommandFailed(f"parsing {options.user} as int for uid failed")
        user["uid"] = int(uid)
        if colon:
            user["gid"] = int(gid)
    if not all(group.isdecimal() for group in options.groups):
        raise CommandFailed(f"additional gids are numbers: {', '.join(options.groups)}")
    if options.groups:
        user["additionalGids"] = [*(user.get("additionalGids") or ()), *map(int, options.groups)]


def execute(store: Store, name: str, options: Options, host: Host) -> int:
    """Run it; the exit status of the process, or 0 at once when detached."""
    container = store.load(name)
    status = store.status(container)
    if status == "stopped":
        raise CommandFailed("cannot exec in a stopped container")
    if status == "creating":
        raise CommandFailed("cannot exec in a container that is being created")
    if status == "paused" and not options.ignore_paused:
        raise CommandFailed("cannot exec in a paused container (use --ignore-paused to override)")
    process = process_of(container, options)
    spec_check.check_process(process, host)
    console.check(bool(process.get("terminal")), options.console_socket, options.detach)
    if not options.detach:
        foreground.hold_signals()
    child = _clone(container, process, options, host)
    try:
        console.hand_pidfd(options.pidfd_socket, child.pidfd, b"setns")
        master = _talk(child, process, options)
        console.write_pid_file(options.pid_file, child.pid)
    except BaseException:
        child.kill()
        raise
    if options.detach:
        return 0
    return foreground.wait(child.pid, child.pidfd, master)


def _clone(container: Container, process: dict[str, Any], options: Options, host: Host) -> Child:
    config = container.config
    try:
        pidfd = os.pidfd_open(container.pid)
    except OSError:
        raise CommandFailed("cannot exec in a stopped container") from None
    if not container.alive():
        raise CommandFailed("cannot exec in a stopped container")
    fds = cgroups.join_fds(container, options.cgroups)
    ours, theirs = messages.pair()
    inherited = first.Inherited(theirs, {"init": pidfd}, fds, -1, options.preserve_fds)
    request = {
        "id": container.id,
        "spec": {"process": process, "linux": {"personality": config["linux"].get("personality")}},
        "user_namespace": not _same_namespace("user", container.pid),
        **birth.capabilities_of(host),
        **birth.filter_of(config, process, host),
    }
    child = birth.clone(first.run_exec, inherited, request, ours, 0)
    child.prefix = birth.EXEC_PREFIX
    return child


def _same_namespace(kind: str, pid: int) -> bool:
    return os.path.samestat(os.stat(f"/proc/self/ns/{kind}"), os.stat(f"/proc/{pid}/ns/{kind}"))


def _talk(child: Child, process: dict[str, Any], options: Options) -> int:
    """Until the program runs; the master of its terminal when it is served here, or -1."""
    master = -1
    birth.write_oom_score(child.pid, process.get("oomScoreAdj"))
    child.tell({"op": "go"})
    ready = False
    while True:
        message, fds = child.hear()
        if message == "terminal" and options.console_socket:
            console.hand_over(options.console_socket, fds[0])
        elif message == "terminal":
            master = fds[0]
        elif message == "ready":
            ready = True
            child.tell({"op": "go"})
        elif message == "gone":
            if not ready:
                raise CommandFailed(birth.EXEC_PREFIX + "the process ended before it could run a program")
            return master
