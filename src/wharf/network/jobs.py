"""What a worker does inside a sandbox that runs: jobs of a few system calls. Standard library only.

fds[0] is the network namespace. The worker enters it and nothing else; /proc/sys/net shows the namespace of who looks.
"""

import _socket
import array
import os
from collections.abc import Callable
from typing import Any

from wharf.kernel import namespaces as ns
from wharf.kernel import process

Job = Callable[[dict[str, Any], list[int]], dict[str, Any]]

_NETLINK_ROUTE = 0


def _open_job(args: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Open an rtnetlink socket inside and send it over the socket fds[1]: it goes on working on that namespace."""
    _enter(fds[0])
    made = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, _NETLINK_ROUTE)
    channel = _socket.socket(fileno=os.dup(fds[1]))
    channel.sendmsg([b"\0"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", [made.fileno()]))])
    return {}


def _sysctl_job(args: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Write `values`: [path beneath /proc/sys/net, value] each; raises OSError for what the kernel refuses."""
    _enter(fds[0])
    for path, value in args["values"]:
        fd = os.open(f"/proc/sys/net/{path}", os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)
    return {}


def _enter(netns: int) -> None:
    process.prctl(process.PR_SET_DUMPABLE, 0)
    ns.setns(netns, ns.CLONE_NEWNET)


JOBS: dict[str, Job] = {"network.open": _open_job, "network.sysctl": _sysctl_job}
