"""The launcher: a small single-threaded process with everything imported, which only forks.

One message on its socket, with one descriptor (a control socket), is one fork: one of `ROLES`. It never
mounts, walks a path or waits. When wharfd is gone its socket ends, and so does the launcher; workers die with
it, monitors live on.
"""

import _signal  # type: ignore[import-not-found]
import _socket
import gc
import os
import sys
import time

from wharf.kernel import namespaces as ns
from wharf.kernel import process
from wharf.runtime import logs, messages, monitor, worker
from wharf.runtime.jsonlog import timestamp
from wharf.runtime.pump import Poller, Pump
from wharf.runtime.worker import Jobs

WARM_ROUNDS = 20
ROLES = ("monitor", "ahead", "worker")
"""`ahead`: a monitor that clones a first process before its request comes."""


def serve(fd: int, jobs: Jobs) -> None:
    """Fork for each message until the socket ends. Never returns in a child."""
    sock = _socket.socket(fileno=fd)
    process.set_name("wharf-launcher")
    process.prctl(process.PR_SET_DUMPABLE, 0)
    # Orphans of monitors that were killed come here, and the ignored SIGCHLD reaps all children at once.
    process.prctl(process.PR_SET_CHILD_SUBREAPER, 1)
    for number in _signal.valid_signals() - {_signal.SIGPIPE, _signal.SIGXFSZ}:  # the interpreter's own two
        if _signal.getsignal(number) == _signal.SIG_IGN:  # as whoever started wharfd had it (a shell's `&`)
            _signal.signal(number, _signal.SIG_DFL)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)
    process.default_internal_signals()
    for number in (_signal.SIGINT, _signal.SIGHUP, _signal.SIGTERM):
        _signal.signal(number, _signal.SIG_IGN)
    os.chdir("/")
    os.umask(0o022)
    warm_up()
    gc.collect()
    gc.freeze()
    gc.disable()
    while True:
        try:
            message, fds = messages.receive(sock)
        except messages.Closed:
            return
        if len(fds) == 1 and message.get("role") in ROLES:
            pid, pidfd = ns.clone3()
            if pid == 0:
                _child(message["role"], fds[0], jobs)
            os.close(pidfd)
        messages.close_all(fds)


def warm_up() -> None:
    """Run what every monitor will run, often enough for the interpreter to specialise it here, once for all.

    Specialising writes into code objects: done after the fork it would give each monitor a copy of its own, and
    cost it time.
    """
    for _ in range(WARM_ROUNDS):
        ours, theirs = messages.pair()
        messages.send(ours, {"op": "attach", "stdin": True, "list": ["a", 1]}, [theirs.fileno()])
        messages.close_all(messages.receive(theirs)[1])
        reader, writer = os.pipe()
        poller = Poller()
        pump = Pump(poller, logs.open_log({"path": "/dev/null"}), True)
        pump.add_output(reader, 1)
        client, other = _socket.socketpair()
        pump.attach(client, True, frozenset((1, 2)))
        pump.add_doorbell(os.eventfd(0))
        os.write(writer, b"line\npart")
        poller.once(0)
        other.close()
        poller.once(0)
        os.close(writer)
        poller.once(0)
        pump.shipped(0)
        pump.close_doorbells()
        pump.finish()
        for sock in (ours, theirs):
            sock.close()
    process.start_time(os.getpid())
    timestamp(time.time_ns())


def _child(role: str, fd: int, jobs: Jobs) -> None:
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
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        control = _socket.socket(fileno=fd)
        if role != "worker":
            process.set_name("wharf-monitor")
            sys.meta_path.clear()  # no import from here on: a module would be read in a container's mounts
            monitor.main(control, role == "ahead")
        else:
            process.set_name("wharf-worker")
            _signal.signal(_signal.SIGTERM, _signal.SIG_DFL)
            worker.main(control, jobs)
        code = 0
    finally:
        os._exit(code)
