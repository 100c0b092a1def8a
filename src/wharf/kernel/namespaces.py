"""Namespaces: clone3(2), unshare(2), setns(2)."""

import ctypes
import os

from wharf.kernel.libc import LIBC_LOCKED, SYS_CLONE3, check, function, raise_errno

CLONE_NEWTIME = 0x80
CLONE_PIDFD = 0x1000
CLONE_PARENT = 0x8000
CLONE_NEWNS = 0x20000
CLONE_NEWCGROUP = 0x2000000
CLONE_NEWUTS = 0x4000000
CLONE_NEWIPC = 0x8000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_INTO_CGROUP = 0x200000000

FLAG_OF_TYPE = {
    "mount": CLONE_NEWNS,
    "cgroup": CLONE_NEWCGROUP,
    "uts": CLONE_NEWUTS,
    "ipc": CLONE_NEWIPC,
    "user": CLONE_NEWUSER,
    "pid": CLONE_NEWPID,
    "network": CLONE_NEWNET,
}
"""OCI namespace type -> clone flag."""

PROC_NAME = {
    "mount": "mnt",
    "cgroup": "cgroup",
    "uts": "uts",
    "ipc": "ipc",
    "user": "user",
    "pid": "pid",
    "network": "net",
}
"""OCI namespace type -> name below /proc/<pid>/ns."""

_SIGCHLD = 17


class _CloneArgs(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_uint64)
        for name in (
            "flags",
            "pidfd",
            "child_tid",
            "parent_tid",
            "exit_signal",
            "stack",
            "stack_size",
            "tls",
            "set_tid",
            "set_tid_size",
            "cgroup",
        )
    ]


_raw_syscall = LIBC_LOCKED.syscall
_raw_syscall.restype = ctypes.c_long
_raw_syscall.argtypes = (ctypes.c_long, ctypes.c_void_p, ctypes.c_size_t)
_unshare = function("unshare", ctypes.c_int)
_setns = function("setns", ctypes.c_int, ctypes.c_int)


def clone3(flags: int = 0, cgroup_fd: int = -1) -> tuple[int, int]:
    """Fork by clone3(2): (0, -1) in the child, (pid, pidfd) in the parent.

    Only for a single-threaded process that collects no garbage: it skips what os.fork() does around the call,
    which keeps a waiting child smaller. `cgroup_fd` is a directory of a v2 hierarchy (CLONE_INTO_CGROUP).
    """
    pidfd = ctypes.c_int(-1)
    # A sibling of the caller ends with the caller's own signal; naming one is an error.
    exit_signal = 0 if flags & CLONE_PARENT else _SIGCHLD
    args = _CloneArgs(flags=flags | CLONE_PIDFD, pidfd=ctypes.addressof(pidfd), exit_signal=exit_signal)
    if cgroup_fd >= 0:
        args.flags |= CLONE_INTO_CGROUP
        args.cgroup = cgroup_fd
    pid = _raw_syscall(SYS_CLONE3, ctypes.addressof(args), ctypes.sizeof(args))
    if pid < 0:
        raise_errno("clone3")
    return (0, -1) if pid == 0 else (pid, pidfd.value)


def unshare(flags: int) -> None:
    """unshare(2)."""
    check(_unshare(flags), "unshare")


def setns(fd: int, flags: int) -> None:
    """setns(2); `fd` is a namespace or a pidfd (then `flags` names the namespaces)."""
    check(_setns(fd, flags), "setns")


def open_namespace(kind: str, pid: int | str = "self") -> int:
    """A descriptor of one namespace (OCI type name) of a process."""
    return os.open(f"/proc/{pid}/ns/{PROC_NAME[kind]}", os.O_RDONLY | os.O_CLOEXEC)
