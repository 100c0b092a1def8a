"""Waiting for a process in the foreground: its signals are forwarded, its terminal is served, its end is ours."""

import contextlib
import fcntl
import os
import select
import signal
import struct
import termios
import tty
from collections.abc import Callable, Iterator
from types import FrameType

from wharf.runtime import terminal

_KEPT = {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGURG, signal.SIGPIPE, signal.SIGWINCH}
_CHUNK = 1 << 16
_TIOCGWINSZ = 0x5413


def hold_signals() -> None:
    """Keep signals for `wait`, which forwards them: one that came earlier would end us and leave the child alone."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - _KEPT)


def wait(pid: int, pidfd: int, master: int = -1) -> int:
    """Serve until the child ends; its exit status, 128 + number for a signal."""
    with _forwarded(pid), _raw_terminal(master):
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if master >= 0:
            poll.register(master, select.POLLIN)
            poll.register(0, select.POLLIN)
        while not _serve(poll, pidfd, master):
            continue
        if master >= 0:
            while _copy(master, 1):
                continue
    status = os.waitpid(pid, 0)[1]
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _serve(poll: select.poll, pidfd: int, master: int) -> bool:
    over = False
    for fd, _ in poll.poll():
        if fd == pidfd:
            over = True
        elif fd == 0 and not _copy(0, master):
            poll.unregister(0)
            with contextlib.suppress(OSError):
                os.write(master, b"\x04")  # end of file for a program that reads its terminal by lines
        elif fd == master and not _copy(master, 1):
            poll.unregister(master)
    return over


def _copy(source: int, target: int) -> bool:
    """Some bytes; whether there may be more. A terminal without slaves gives EIO."""
    try:
        data = os.read(source, _CHUNK)
    except OSError:
        return False
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]
    return bool(data)


@contextlib.contextmanager
def _forwarded(pid: int) -> Iterator[None]:
    def forward(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    before = {}
    for number in signal.valid_signals() - _KEPT:
        with contextlib.suppress(OSError, ValueError):
            before[number] = signal.signal(number, forward)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals() - _KEPT)
    try:
        yield
    finally:
        for number, handler in before.items():
            with contextlib.suppress(OSError, ValueError, TypeError):
                signal.signal(number, handler)


@contextlib.contextmanager
def _raw_terminal(master: int) -> Iterator[None]:
    """Our own terminal hands every byte on, and its size goes along."""
    if master < 0 or not os.isatty(0):
        yield
        return
    resize = _resizer(master)
    resize(0, None)
    saved = termios.tcgetattr(0)
    previous = signal.signal(signal.SIGWINCH, resize)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, saved)
        signal.signal(signal.SIGWINCH, previous)


def _resizer(master: int) -> Callable[[int, FrameType | None], None]:
    def resize(_number: int, _frame: FrameType | None) -> None:
        rows, columns = struct.unpack("HHHH", fcntl.ioctl(0, _TIOCGWINSZ, bytes(8)))[:2]
        terminal.resize(master, rows, columns)

    return resize
