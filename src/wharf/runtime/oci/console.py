"""What a caller is handed over its sockets and files: the master of a terminal, a pidfd, a pid."""

import array
import os
import socket

from wharf.runtime.oci.errors import CommandFailed


def check(terminal: bool, console_socket: str, detached: bool) -> None:
    """Refuse what would lose the terminal, or a socket that nothing would be sent to."""
    if terminal and detached and not console_socket:
        raise CommandFailed("cannot allocate tty if runc will detach without setting console socket")
    if console_socket and not (terminal and detached):
        raise CommandFailed("cannot use console socket if runc will not detach or allocate tty")


def hand_over(path: str, master: int) -> None:
    """Send the master to the Unix socket at `path`; closes it."""
    try:
        _send(path, b"/dev/pts/ptmx", master, "console socket")
    finally:
        os.close(master)


def hand_pidfd(path: str, pidfd: int, kind: bytes) -> None:
    """Send the pidfd of a process to the Unix socket at `path`, when there is one; `kind` as runc calls it: standard
    for a first process, setns for that of an exec."""
    if path:
        _send(path, kind, pidfd, "pidfd socket")


def _send(path: str, text: bytes, fd: int, what: str) -> None:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.connect(path)
            sock.sendmsg([text], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
    except OSError as error:
        raise CommandFailed(f"{what} {path}: {os.strerror(error.errno or 0).lower()}") from None


def write_pid_file(path: str, pid: int) -> None:
    """The number, complete as soon as the name is there."""
    if not path:
        return
    directory, name = os.path.split(os.path.abspath(path))
    with open(f"{directory}/.{name}", "w") as file:
        file.write(str(pid))
    os.rename(f"{directory}/.{name}", path)
