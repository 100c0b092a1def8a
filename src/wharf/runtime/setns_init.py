"""The first process of an exec: enters the namespaces of a running container, then ends as init does."""

import errno
import os
from typing import Any, NoReturn

from wharf.kernel import namespaces as ns
from wharf.kernel import process
from wharf.kernel.cgroup import Cgroup
from wharf.runtime import credentials, init, messages, terminal, userns
from wharf.runtime.credentials import InitFailed

_ENTERED = ns.CLONE_NEWNS | ns.CLONE_NEWNET | ns.CLONE_NEWIPC | ns.CLONE_NEWUTS | ns.CLONE_NEWCGROUP


def join_pid_namespace(joined: dict[str, int]) -> None:
    """In the monitor: its next child is born in the container's pid namespace (it stays outside itself)."""
    ns.setns(joined["init"], ns.CLONE_NEWPID)


def run(inherited: init.Inherited, head: dict[str, Any]) -> NoReturn:
    """Become the exec's process; never returns."""
    init.guarded(inherited.sync, lambda: _run(inherited, head))


def _run(inherited: init.Inherited, head: dict[str, Any]) -> None:
    process.close_all_but(inherited.keep())
    init.begin()
    inherited.take_streams()
    messages.send(inherited.sync, {"op": "born"})
    request = messages.from_memfd(inherited.body)
    spec = request["spec"]["process"]
    cgroup = init.cgroup_of(head)
    if cgroup is not None:
        _enter_cgroup(cgroup, inherited.join["init"])
    if spec.get("oomScoreAdj") is not None:
        init.write_oom_score(spec["oomScoreAdj"])
    credentials.confine(spec)
    try:
        if head.get("userns"):
            credentials.set_limits(spec.get("rlimits") or [])  # inside there is no right to raise them
            ns.setns(inherited.join["init"], _ENTERED | ns.CLONE_NEWUSER)
            userns.become_root()
        else:
            ns.setns(inherited.join["init"], _ENTERED)
    except OSError as error:
        raise InitFailed(f"{messages.JOINING}{credentials.errno_text(error)}") from None
    os.close(inherited.join["init"])
    os.chdir("/")
    if spec.get("terminal"):
        terminal.open_own(spec.get("consoleSize"), inherited.sync)
    process.new_session_keyring(f"_ses.{request['id']}")
    init.finish(request, inherited.sync)


def _enter_cgroup(cgroup: Cgroup, pidfd: int) -> None:
    """With v2 a cgroup that hands controllers down admits no process: the container (its own systemd, say) has moved
    its first process below, and there the exec goes too."""
    try:
        init.enter_cgroup(cgroup)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        for fd in cgroup.join_fds_beside(process.pid_of(pidfd)):
            os.write(fd, b"0")
            os.close(fd)
