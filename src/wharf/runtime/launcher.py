"""The launcher: a small single-threaded process with everything imported, which only forks.

One message on its socket, with one descriptor (a control socket), is one fork: `monitor` or `worker`. It never
mounts, walks a path or waits. When wharfd is gone its socket ends, and so does the launcher; workers die with
it, monitors live on.
"""

import gc
import os
import signal
import socket

from wharf.kernel import namespaces as ns
from wharf.kernel import process
from wharf.runtime import messages, monitor, worker
from wharf.runtime.worker import Job


def serve(fd: int, jobs: dict[str, Job]) -> None:
    """Fork for each message until the socket ends. Never returns in a child."""
    sock = socket.socket(fileno=fd)
    process.set_name("wharf-launcher")
    process.prctl(process.PR_SET_DUMPABLE, 0)
    # Orphans of monitors that were killed come here, and the ignored SIGCHLD reaps all children at once.
    process.prctl(process.PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")
    os.umask(0o022)
    gc.collect()
    gc.freeze()
    gc.disable()
    while True:
        try:
            message, fds = messages.receive(sock)
        except messages.Closed:
            return
        if len(fds) == 1 and message.get("role") in ("monitor", "worker"):
            pid, pidfd = ns.clone3()
            if pid == 0:
                _child(message["role"], fds[0], jobs)
            os.close(pidfd)
        messages.close_all(fds)


def _child(role: str, fd: int, jobs: dict[str, Job]) -> None:
    """The forked process: nothing of the launcher's but memory, its own session, then its role."""
    code = 1
    try:
        os.setsid()
        process.close_all_but({2, fd} if role == "worker" else {fd})
        null = os.open("/dev/null", os.O_RDWR)
        for number in (0, 1) if role == "worker" else (0, 1, 2):
            if number != fd:
                os.dup2(null, number)
        if null > 2:
            os.close(null)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        control = socket.socket(fileno=fd)
        if role == "monitor":
            monitor.ignore_terminal_signals()
            process.set_name("wharf-monitor")
            monitor.main(control)
        else:
            process.set_name("wharf-worker")
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            worker.main(control, jobs)
        code = 0
    finally:
        os._exit(code)
