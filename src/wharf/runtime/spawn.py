"""Starting the launcher: posix_spawn of the interpreter from a sealed memfd.

A process that enters a container can be reached through /proc by what runs there; what it would find is this
sealed copy, never the host's interpreter on disk. posix_spawn, since a threaded process must not fork.
"""

import fcntl
import os
import socket
import sys

_LAUNCHER_FD = 3
_CODE = "import sys; sys.path.insert(0, sys.argv[1]); from wharf.launcherd import main; main(int(sys.argv[2]))"
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def sealed_interpreter() -> int:
    """A descriptor of a read-only copy of the running interpreter."""
    with open(os.path.realpath(sys.executable), "rb") as source:
        size = os.fstat(source.fileno()).st_size
        fd = os.memfd_create("wharf-python", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        done = 0
        while done < size:
            done += os.sendfile(fd, source.fileno(), done, size - done)
    os.fchmod(fd, 0o555)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    return fd


def spawn_launcher() -> tuple[int, socket.socket]:
    """Start a launcher; its pid and our end of its socket."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    interpreter = sealed_interpreter()
    # The directory that holds the package; in isolated mode nothing else but the standard library is on the path.
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    arguments = [sys.executable, "-I", "-S", "-X", "utf8", "-c", _CODE, package, str(_LAUNCHER_FD)]
    try:
        pid = os.posix_spawn(
            f"/proc/self/fd/{interpreter}",
            arguments,
            {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDWR, 0),
                (os.POSIX_SPAWN_DUP2, 0, 1),
                (os.POSIX_SPAWN_DUP2, theirs.fileno(), _LAUNCHER_FD),
            ],
            setsid=True,
            setsigmask=(),
        )
    finally:
        os.close(interpreter)
        theirs.close()
    return pid, ours
