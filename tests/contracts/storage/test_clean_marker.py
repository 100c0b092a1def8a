"""What says that an unpacked layer is on the disk: no failure of a sync is the last word, and none is passed over."""

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from wharf.kernel.syncing import sync_file_system
from wharf.storage.snapshots.clean import CleanMarker

SECONDS = 10.0


def committed(place: Path, marker: CleanMarker, name: str) -> Path:
    (place / name).mkdir()
    marker.put(str(place / name))
    return place / name / "unsynced"


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_thread_goes_on_after_a_failure(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = tmp_path / "committed"
    place.mkdir()
    marker = CleanMarker(str(place), "boot", retry_s=0.05)
    left = committed(place, marker, "a")
    os.rename(place, tmp_path / "away")  # for a while it cannot be read
    marker.start()
    until(lambda: "not on the disk yet" in caplog.text)
    os.rename(tmp_path / "away", place)
    until(lambda: not left.exists())  # nobody has woken it
    later = committed(place, marker, "b")
    marker.wake()
    until(lambda: not later.exists())
    last = committed(place, marker, "c")
    marker.wake()
    marker.close()
    assert not last.exists()


def test_a_sync_that_lost_something_vouches_for_nothing_of_it(tmp_path: Path) -> None:
    """The kernel tells a failed write once: the next sync succeeds, and what was lost is still not on the disk."""
    errors = [OSError(errno.EIO, "Input/output error"), OSError(errno.EMFILE, "Too many open files")]

    def sync(path: str) -> None:
        if errors:
            raise errors.pop(0)
        sync_file_system(path)

    marker = CleanMarker(str(tmp_path), "boot", sync_all=sync)
    lost = committed(tmp_path, marker, "lost")
    for expected in ("Input", "Too many"):
        late = lost if expected == "Input" else committed(tmp_path, marker, "late")
        with pytest.raises(OSError, match=expected):
            marker.sync()
        assert late.exists()
    marker.sync()
    assert lost.exists() and not late.exists()
    assert CleanMarker(str(tmp_path), "next boot").unclean() == ["lost"]
