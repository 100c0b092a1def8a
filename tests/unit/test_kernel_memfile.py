"""Sealing a memory file that somebody still holds for a moment."""

import errno
import mmap
import os
import threading

import pytest

from wharf.kernel import memfile


def made() -> int:
    fd = os.memfd_create("sealed", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, b"x" * mmap.PAGESIZE)
    return fd


def test_it_is_asked_again_until_the_page_is_let_go() -> None:
    fd = made()
    held = mmap.mmap(fd, mmap.PAGESIZE)
    timer = threading.Timer(0.05, held.close)
    timer.start()
    memfile.seal(fd)
    assert held.closed
    with pytest.raises(PermissionError):
        os.write(fd, b"y")
    timer.join()
    os.close(fd)


def test_one_that_stays_held_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memfile, "PINNED_SECONDS", 0.03)
    fd = made()
    with mmap.mmap(fd, mmap.PAGESIZE), pytest.raises(OSError) as refused:
        memfile.seal(fd)
    assert refused.value.errno == errno.EBUSY
    os.close(fd)
