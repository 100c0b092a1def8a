"""The same archive as a context again: it is not unpacked again, and nothing that a build does changes it."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.building import build, inside, wharf, write
from tests.support.wharfd import Wharfd

WRITES = (
    "FROM busybox\nRUN --mount=type=bind,target=/m,rw echo changed > /m/file; rm /m/other; cat /m/file\n"
    "COPY --chmod=600 --chown=3:4 file /copied\nADD . /all/\nRUN echo more >> /all/file\n"
)


def _kept(daemon: Wharfd) -> list[str]:
    return os.listdir(f"{daemon.root}/data/build/unpacked")


def test_it_is_kept_as_it_came(daemon: Wharfd, tmp_path: Path) -> None:
    root = write(tmp_path / "c", {"Dockerfile": WRITES, "file": "as it came\n", "other": "too\n"})
    build(daemon, root, "-t", "same")
    (kept,) = _kept(daemon)
    assert "changed" in build(daemon, root, "-t", "same", "--no-cache", "--progress=plain")
    assert _kept(daemon) == [kept]
    assert inside(daemon, "same", "cat /all/file; cat /all/other /copied") == "as it came\nmore\ntoo\nas it came\n"
    place = Path(daemon.root, "data/build/unpacked", kept)
    assert (place / "file").read_text() == "as it came\n" and (place / "other").stat().st_mode & 0o777 == 0o644
    (root / "file").write_text("another\n")
    build(daemon, root, "-t", "same")
    assert len(_kept(daemon)) == 2 and inside(daemon, "same", "head -1 /all/file") == "another\n"


def test_a_handful_stays_and_prune_takes_them(daemon: Wharfd, tmp_path: Path) -> None:
    root = write(tmp_path / "c", {"Dockerfile": "FROM scratch\nCOPY file /\n", "file": "0"})
    for number in range(12):
        (root / "file").write_text(str(number))
        build(daemon, root, "-t", "handful")
    assert len(_kept(daemon)) == 8
    assert "Total" in wharf(daemon, "builder", "prune", "-a", "-f").stdout
    assert _kept(daemon) == []


def test_builds_share_it_at_once(daemon: Wharfd, tmp_path: Path) -> None:
    root = write(tmp_path / "c", {"Dockerfile": "FROM busybox\nCOPY file /\nRUN cat /file\n", "file": "shared\n"})
    with ThreadPoolExecutor(6) as pool:
        ids = set(pool.map(lambda _: build(daemon, root, "-q", "--no-cache"), range(6)))
    assert len(ids) == 1 and re.match(r"sha256:[0-9a-f]{64}$", ids.pop().strip())
    assert len(_kept(daemon)) == 1
