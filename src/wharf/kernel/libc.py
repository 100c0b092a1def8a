"""The C library through ctypes: one place for prototypes and for errno -> OSError.

The launcher imports this and nothing heavier, so it uses the standard library only.
"""

import ctypes
import os
from collections.abc import Callable

LIBC = ctypes.CDLL(None, use_errno=True)
# PyDLL keeps the interpreter lock: a forked child then goes on owning it, as its parent did.
LIBC_LOCKED = ctypes.PyDLL(None, use_errno=True)

_AARCH64 = os.uname().machine in ("aarch64", "arm64")
# Numbers from 424 on are the same on every architecture.
SYS_PIVOT_ROOT = 41 if _AARCH64 else 155
SYS_SECCOMP = 277 if _AARCH64 else 317
SYS_KEYCTL = 219 if _AARCH64 else 250
SYS_CAPSET = 91 if _AARCH64 else 126
SYS_RT_SIGACTION = 134 if _AARCH64 else 13
SYS_SETGROUPS = 159 if _AARCH64 else 116
SYS_OPEN_TREE = 428
SYS_MOVE_MOUNT = 429
SYS_FSOPEN = 430
SYS_FSCONFIG = 431
SYS_FSMOUNT = 432
SYS_CLONE3 = 435
SYS_PIDFD_GETFD = 438
SYS_MOUNT_SETATTR = 442
SYS_QUOTACTL_FD = 443


def raise_errno(what: str, path: str | bytes | None = None) -> None:
    """Raise the OSError of the calling thread's errno; `what` is the call, `path` the object."""
    code = ctypes.get_errno()
    text = f"{what}: {os.strerror(code)}"
    if path is None:
        raise OSError(code, text)
    raise OSError(code, text, os.fsdecode(path))


def check(result: int, what: str, path: str | bytes | None = None) -> int:
    """`result`, or OSError when it is negative."""
    if result < 0:
        raise_errno(what, path)
    return result


_syscall = LIBC.syscall
_syscall.restype = ctypes.c_long


def syscall(number: int, *args: object) -> int:
    """syscall(2) with ctypes values as arguments (wrap integers wider than 32 bits); negative on error."""
    return int(_syscall(ctypes.c_long(number), *args))


def function(name: str, *argtypes: object) -> Callable[..., int]:
    """A C library function that returns an int."""
    found = getattr(LIBC, name)
    found.argtypes = argtypes
    found.restype = ctypes.c_int
    return found  # type: ignore[no-any-return]
