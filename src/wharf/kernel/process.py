"""Processes: prctl(2), close_range(2), identity that survives pid reuse."""

import ctypes
import errno
import os
import select
import signal

from wharf.kernel.libc import LIBC, SYS_KEYCTL, SYS_PIDFD_GETFD, SYS_RT_SIGACTION, check, function, syscall

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4

_LAST_FD = 0x7FFFFFFF
_KEYCTL_JOIN_SESSION_KEYRING = 1
_PIDFD_SIGNAL_PROCESS_GROUP = 1 << 2

_ULONG = ctypes.c_ulong
_prctl = function("prctl", ctypes.c_int, _ULONG, _ULONG, _ULONG, _ULONG)
_malloc_trim = function("malloc_trim", ctypes.c_size_t) if hasattr(LIBC, "malloc_trim") else None
_mallopt = function("mallopt", ctypes.c_int, ctypes.c_int) if hasattr(LIBC, "mallopt") else None
_M_ARENA_MAX = -8
_NAME = ctypes.create_string_buffer(16)
_setdomainname = function("setdomainname", ctypes.c_char_p, ctypes.c_size_t)


def prctl(option: int, arg2: int = 0, arg3: int = 0, arg4: int = 0) -> int:
    """prctl(2)."""
    return check(_prctl(option, arg2, arg3, arg4, 0), f"prctl {option}")


def set_name(name: str) -> None:
    """The name that ps shows (at most 15 bytes)."""
    _NAME.value = name.encode()[:15]
    prctl(PR_SET_NAME, ctypes.addressof(_NAME))


def set_domainname(name: str) -> None:
    """setdomainname(2)."""
    raw = os.fsencode(name)
    check(_setdomainname(raw, len(raw)), "setdomainname", name)


def close_all_but(keep: "set[int] | frozenset[int]") -> None:
    """Close every descriptor that is not in `keep`, by ranges (close_range(2))."""
    first = 0
    for fd in sorted(keep):
        if fd > first:  # closerange(0, 0) would close all
            os.closerange(first, fd)
        first = fd + 1
    os.closerange(first, _LAST_FD)


def new_session_keyring(name: str) -> None:
    """A session keyring of its own, so that the host's keys cannot be reached; kernels without keys are fine."""
    syscall(SYS_KEYCTL, ctypes.c_int(_KEYCTL_JOIN_SESSION_KEYRING), ctypes.c_char_p(name.encode()))


def release_memory() -> None:
    """malloc_trim(3): free pages of the C library's heap go back to the system. Other C libraries lack it."""
    if _malloc_trim is not None:
        _malloc_trim(0)


def one_heap() -> None:
    """mallopt(3) M_ARENA_MAX: all threads share one heap of the C library. Each would take one of its own otherwise,
    about 1 MB that never goes back; threads that take turns at the interpreter's lock gain nothing by it."""
    if _mallopt is not None:
        _mallopt(_M_ARENA_MAX, 1)


def descriptor_of(pidfd: int, number: int) -> int:
    """pidfd_getfd(2): a duplicate of another process's descriptor, the caller's to close; raises OSError."""
    return check(syscall(SYS_PIDFD_GETFD, ctypes.c_int(pidfd), ctypes.c_int(number), ctypes.c_uint(0)), "pidfd_getfd")


def signal_group(pidfd: int, number: int) -> None:
    """Signal the process group that a session leader leads (PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9), before that only
    the leader; ProcessLookupError when it is gone."""
    try:
        signal.pidfd_send_signal(pidfd, number, None, _PIDFD_SIGNAL_PROCESS_GROUP)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        signal.pidfd_send_signal(pidfd, number)


def pid_of(pidfd: int) -> int:
    """The pid behind a pidfd, as the /proc in sight numbers it; -1 when the process is gone."""
    with open(f"/proc/self/fdinfo/{pidfd}") as file:
        return next((int(line.split()[1]) for line in file if line.startswith("Pid:")), -1)


def start_time(pid: int) -> int:
    """Start of a process in clock ticks since boot (proc(5), stat field 22); ProcessLookupError when it is gone."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ProcessLookupError(f"no process {pid}") from None
    try:
        stat = os.read(fd, 1024)
    finally:
        os.close(fd)
    return int(stat[stat.rindex(b")") + 2 :].split()[19])


def open_known(pid: int, started: int, grace: float = 0.0) -> int | None:
    """A pidfd of the process that began at `started` (0: it is not known); None when that one is gone, or has ended
    within `grace` seconds."""
    try:
        fd = os.pidfd_open(pid)
    except (ProcessLookupError, ValueError, OverflowError):
        return None
    try:
        lives = not started or start_time(pid) == started  # else the number is another's by now
    except ProcessLookupError:
        lives = False
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    if not lives or poller.poll(grace * 1000):
        os.close(fd)
        return None
    return fd


def boot_id() -> str:
    """The kernel's random id of this boot."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def default_internal_signals() -> None:
    """Signals 32 and 33 belong to the C library, whose posix_spawn leaves them ignored and whose sigaction(3) refuses
    them: put back their default, so that no program inherits that. Failure changes nothing that matters."""
    default = ctypes.create_string_buffer(32)  # struct kernel_sigaction, all zero: SIG_DFL
    for number in (32, 33):
        syscall(SYS_RT_SIGACTION, ctypes.c_int(number), default, None, ctypes.c_size_t(8))
