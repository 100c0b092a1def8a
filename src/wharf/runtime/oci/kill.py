"""`kill`, `pause` and `resume`."""

import contextlib
import os
import signal

from wharf.runtime.oci.errors import CommandFailed
from wharf.runtime.oci.state import Container, Store


def signal_number(text: str) -> int:
    """`9`, `KILL`, `SIGKILL`, `RTMIN+3`; raises CommandFailed."""
    if text.isdecimal() and 0 < int(text) <= 64:
        return int(text)
    name = text.upper().removeprefix("SIG")
    for base in ("RTMIN+", "RTMAX-"):
        if name.startswith(base) and name[len(base) :].isdecimal():
            offset = int(name[len(base) :])
            return 34 + offset if base == "RTMIN+" else 64 - offset
    found = getattr(signal, f"SIG{name}", None)
    if not isinstance(found, signal.Signals):
        raise CommandFailed(f"unknown signal {text!r}")
    return int(found)


def kill(store: Store, name: str, text: str, everyone: bool) -> None:
    """Send a signal to the first process, or to every process of the container."""
    number = signal_number(text)
    container = store.load(name)
    status = store.status(container)
    if everyone or (number == signal.SIGKILL and not container.owns_pid_namespace()):
        _kill_everyone(container, number)
        return
    if status == "stopped" or status == "creating":
        raise CommandFailed("container not running")
    _signal(container, number)


def _signal(container: Container, number: int) -> None:
    """By pidfd, so that a number that was given to another process meanwhile is not hit."""
    try:
        pidfd = os.pidfd_open(container.pid)
    except OSError:
        raise CommandFailed("container not running") from None
    try:
        if not container.alive():
            raise CommandFailed("container not running")
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        raise CommandFailed("container not running") from None
    finally:
        os.close(pidfd)


def _kill_everyone(container: Container, number: int) -> None:
    cgroup = container.open_cgroup()
    if cgroup is None:
        raise CommandFailed("unable to signal all processes without a cgroup")
    if number == signal.SIGKILL:
        cgroup.kill()
        return
    for pid in cgroup.pids():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def pause(store: Store, name: str) -> None:
    """Freeze every process."""
    with store.locked(name):
        container = store.load(name)
        status = store.status(container)
        if status not in ("running", "created"):
            raise CommandFailed(f"unable to pause: container not running or created: {status}")
        _freeze(container, True)


def resume(store: Store, name: str) -> None:
    """Thaw them."""
    with store.locked(name):
        container = store.load(name)
        if store.status(container) != "paused":
            raise CommandFailed("container not paused")
        _freeze(container, False)


def _freeze(container: Container, frozen: bool) -> None:
    cgroup = container.open_cgroup()
    if cgroup is None:
        raise CommandFailed("this host has no cgroup to freeze a container with")
    try:
        cgroup.freeze(frozen)
    except OSError as error:
        raise CommandFailed(f"unable to {'freeze' if frozen else 'thaw'}: {error}") from None
