"""Where the master of a container's terminal goes: to the caller's socket, or it is served here."""

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
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.connect(path)
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [master]))]
            sock.sendmsg([b"/dev/pts/ptmx"], rights)
    except OSError as error:
        raise CommandFailed(f"console socket {path}: {os.strerror(error.errno or 0).lower()}") from None
    finally:
        os.close(master)


def write_pid_file(path: str, pid: int) -> None:
    """The number, complete as soon as the name is there."""
    if not path:
        return
    directory, name = os.path.split(os.path.abspath(path))
    with open(f"{directory}/.{name}", "w") as file:
        file.write(str(pid))
    os.rename(f"{directory}/.{name}", path)
