"""`--storage-opt size`, with the data on an XFS that has project quotas: not every host's kernel has them."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.guest import Guest, until
from wharf.kernel.quota import ProjectQuota, project_of, quota_of

SIZE = 20 << 20
FILL = "dd if=/dev/zero of=/big bs=1M count=30 2>&1; stat -c %s /big"


@pytest.fixture(scope="module")
def store() -> Iterator[Path]:
    image, place = Path("/var/tmp/xfs.img"), Path("/mnt/xfs")
    place.mkdir()
    with open(image, "wb") as file:
        file.truncate(512 << 20)
    subprocess.run(["mkfs.xfs", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop,pquota", image, place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)
    image.unlink()
    place.rmdir()


@pytest.fixture(scope="module")
def engine(store: Path) -> Iterator[Guest]:
    with Guest(f"{store}/wharf-sized") as guest:
        guest.load_busybox()
        yield guest


@pytest.fixture
def small(engine: Guest) -> Iterator[str]:
    engine.wharf("run", "-d", "--name", "small", "--storage-opt", "size=20m", "busybox", "sleep", "1000")
    yield "small"
    engine.wharf("rm", "-f", "small", check=False)


def _upper(engine: Guest, name: str) -> Path:
    return engine.root / "data/snapshots/active" / engine.inspect(name)["Id"] / "fs"


def _project(path: Path) -> int:
    fd = os.open(path, os.O_RDONLY)
    try:
        return project_of(fd)
    finally:
        os.close(fd)


def _quota(store: Path, project: int) -> ProjectQuota:
    fd = os.open(store, os.O_RDONLY)
    try:
        return quota_of(fd, project)
    finally:
        os.close(fd)


def _is_full(text: str) -> bool:
    size = int(text.split()[-1])
    return "No space left on device" in text and SIZE - (2 << 20) < size <= SIZE


def test_a_root_takes_what_it_may_and_no_more(engine: Guest, small: str, store: Path) -> None:
    assert engine.inspect(small)["HostConfig"]["StorageOpt"] == {"size": "20m"}
    # What comes from the image is moved out of the work directory, which is of the same project therefore.
    engine.wharf("exec", small, "sh", "-c", "echo x >>/etc/passwd && mv /etc/group /moved && rm /etc/passwd")
    assert _is_full(engine.wharf("exec", small, "sh", "-c", FILL).stdout)
    engine.wharf("restart", "-t", "0", small)
    assert _is_full(engine.wharf("exec", small, "sh", "-c", FILL).stdout)
    engine.wharf("exec", small, "rm", "/big")
    limits = _quota(store, _project(_upper(engine, small)))
    assert limits.limit == SIZE and limits.used < SIZE // 2


def test_copies_and_commits_go_on(engine: Guest, small: str) -> None:
    source = engine.root / "file"
    source.write_bytes(b"y" * 1000)
    engine.wharf("cp", str(source), f"{small}:/etc/passwd")
    engine.wharf("stop", "-t", "0", small)
    engine.wharf("cp", str(source), f"{small}:/etc/group")  # through a work directory of its own
    engine.wharf("commit", small, "big")
    script = f"wc -c </etc/passwd; wc -c </etc/group; {FILL}"
    out = engine.wharf("run", "--rm", "big", "sh", "-c", script).stdout.split()
    assert (out[0], out[1], out[-1]) == ("1000", "1000", str(30 << 20))


def test_a_removal_gives_the_project_back(engine: Guest, small: str, store: Path) -> None:
    first = _project(_upper(engine, small))
    engine.wharf("create", "--name", "other", "--storage-opt", "size=1g", "busybox", "true")
    second = _project(_upper(engine, "other"))
    assert first != second and _quota(store, second).limit == 1 << 30
    engine.wharf("rm", "-f", small, "other")
    until(lambda: {_quota(store, first), _quota(store, second)} == {ProjectQuota()})
    engine.wharf("create", "--name", "plain", "busybox", "true")
    assert _project(_upper(engine, "plain")) == 0
    engine.wharf("rm", "plain")


def test_other_options_are_refused(engine: Guest) -> None:
    for option, words in (("bogus=1", "Unknown option bogus"), ("size=much", "invalid size: 'much'")):
        refused = engine.wharf("create", "--storage-opt", option, "busybox", check=False)
        assert refused.returncode == 1 and words in refused.stderr
