"""Debian base images for tests, made once from the package archive of the host's apt and kept in .cache as an archive.

debian:SUITE        as `wharf image bootstrap` makes it
faked:SUITE         the same with libfaketime before every program: the file /etc/faketimerc sets its clock
"""

import fcntl
import os
import subprocess
from pathlib import Path

from tests.support.wharfd import ROOT, Wharfd
from wharf.transfer.bootstrap.sources import host_codename

WHARF = str(ROOT / ".venv/bin/wharf")
SUITE = host_codename() or "stable"
DEBIAN, FAKED = f"debian:{SUITE}", f"faked:{SUITE}"
KEPT = ROOT / f".cache/debian-{SUITE}.tar"
LIBRARY = "/usr/lib/libfaketime.so.1"
FAKED_TEXT = f"""FROM {DEBIAN}
RUN --mount=type=bind,source=shared,target=/shared /shared/install libfaketime \
    && cp /usr/lib/*/faketime/libfaketime.so.1 {LIBRARY} && echo {LIBRARY} >/etc/ld.so.preload
# Only clocks: the times of files are what the kernel says.
ENV NO_FAKE_STAT=1 FAKE_UTIME=0
"""
MAKE_SECONDS = 900


def debian_archive() -> Path:
    """An archive of both, for `docker load`. Raises AssertionError when the package archive cannot be reached."""
    KEPT.parent.mkdir(exist_ok=True)
    with open(f"{KEPT}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not KEPT.exists():
            _make()
    return KEPT


def _make() -> None:
    # In the host's network: there the container reaches the package archive.
    with Wharfd(own_network=False) as daemon:
        _wharf(daemon, "image", "bootstrap", DEBIAN)
        _wharf(daemon, "build", "-q", "-t", FAKED, "-f", "-", str(ROOT / "catalog"), feed=FAKED_TEXT)
        staged = f"{KEPT}.{os.getpid()}"
        _wharf(daemon, "save", "-o", staged, DEBIAN, FAKED)
        os.rename(staged, KEPT)


def _wharf(daemon: Wharfd, *words: str, feed: str = "") -> None:
    done = subprocess.run(
        [WHARF, *words], env=daemon.environment, input=feed, capture_output=True, text=True, check=False,
        timeout=MAKE_SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
