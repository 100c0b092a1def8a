"""Pruning, garbage collection and `system check` without pause beside loads, commits, imports, creates and removals:
what is being made is leased and stays, what is kept is whole, and in the end nothing is left over."""

import io
import json
import os
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.busybox import docker_archive, layer_tar
from tests.support.footprint import at_rest, difference, settled
from tests.support.wharfd import ROOT, Wharfd

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("hammer")]
SECONDS = 10.0
ROUNDS = 3
RACES = ("a prune operation is already running",)
"""What Docker answers too when two of them meet."""


def layer(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


class Hammer:
    """One daemon, many hands."""

    def __init__(self, daemon: Wharfd) -> None:
        self.daemon = daemon
        self.problems: list[str] = []
        self.rounds: dict[str, int] = {}
        self._until = time.monotonic() + SECONDS

    def docker(self, *line: str) -> str:
        out = self.daemon.docker(*line, check=False)
        if out.returncode and not any(words in out.stderr for words in RACES):
            self.problems.append(f"docker {' '.join(line)}: {out.stderr.strip()}")
        return out.stdout

    def hand(self, work: Callable[[int], None]) -> threading.Thread:
        def run() -> None:
            number = 0
            # On a busy machine some hands are slow: each has had its turns before the end.
            while (time.monotonic() < self._until or number < ROUNDS) and len(self.problems) < 5:
                try:
                    work(number)
                except Exception as error:
                    self.problems.append(f"{work.__name__}: {error!r}")
                number += 1
            self.rounds[work.__name__] = number

        return threading.Thread(target=run, name=work.__name__)

    # -- those who make

    def load(self, number: int) -> None:
        name = f"loaded:{number}"
        path = f"{self.daemon.root}/loaded.tar"
        Path(path).write_bytes(docker_archive(name, [layer_tar(), layer(f"file-{number}", os.urandom(300_000))]))
        self.docker("load", "-q", "-i", path)
        self.docker("run", "--rm", "--network", "none", name, "true")
        self.docker("rmi", name)

    def commit(self, number: int) -> None:
        name = f"committed:{number}"
        self.docker("commit", "works", name)
        if self.docker("run", "--rm", "--network", "none", name, "cat", "/kept") != "kept\n":
            self.problems.append(f"{name} has lost its file")
        self.docker("rmi", name)

    def bring_in(self, number: int) -> None:
        path = f"{self.daemon.root}/plain.tar"
        Path(path).write_bytes(layer(f"plain-{number}", os.urandom(200_000)) + b"\0" * 512)
        self.docker("import", path, "imported:1")  # the one of before has no name any more: the prune's
        self.docker("create", "--name", f"of-imported-{number}", "imported:1", "/x")
        self.docker("rm", f"of-imported-{number}")

    def create(self, number: int) -> None:
        name = f"created-{number}"
        self.docker("create", "--name", name, "-v", f"volume-{number}:/data", "busybox", "true")
        self.docker("start", "-a", name)
        self.docker("rm", "-v", name)
        self.docker("volume", "rm", f"volume-{number}")

    # -- those who clean

    def prune(self, number: int) -> None:
        self.docker("image", "prune", "-f")
        self.docker("volume", "prune", "-f")

    def check(self, number: int) -> None:
        out = subprocess.run(
            [str(ROOT / ".venv/bin/wharf"), "-H", self.daemon.host, "system", "check", "--format", "json"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if out.stdout.strip() != "[]":
            self.problems.append(f"system check: {out.stdout}{out.stderr}")


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    with Wharfd() as started:
        started.load_busybox()
        keep = Path(f"{started.root}/keep.tar")
        keep.write_bytes(docker_archive("keep:1", [layer_tar(), layer("keep", b"kept\n" * 1000)]))
        started.docker("load", "-q", "-i", str(keep))
        started.docker("run", "-d", "--name", "works", "busybox", "sh", "-c", "echo kept > /kept; exec sleep 1000")
        yield started


def test_nothing_is_lost_and_nothing_is_left(daemon: Wharfd) -> None:
    daemon.docker("run", "--rm", "--network", "none", "keep:1", "true")  # makes what all its containers share
    before = at_rest(daemon)
    saved = daemon.docker("image", "inspect", "keep:1").stdout
    hammer = Hammer(daemon)
    work = (hammer.load, hammer.commit, hammer.bring_in, hammer.create, hammer.prune, hammer.check)
    hands = [hammer.hand(each) for each in work]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join()
    assert not hammer.problems, "\n".join(hammer.problems)
    assert all(count >= ROUNDS for count in hammer.rounds.values()), hammer.rounds
    daemon.docker("rmi", "imported:1")
    daemon.docker("image", "prune", "-f")
    assert json.loads(daemon.docker("image", "inspect", "keep:1").stdout) == json.loads(saved)
    whole = subprocess.run(["tar", "-tf", "-"], input=_saved(daemon), capture_output=True, check=True).stdout
    assert b"manifest.json" in whole
    assert daemon.docker("run", "--rm", "--network", "none", "keep:1", "cat", "/keep").stdout == "kept\n" * 1000
    hammer.check(0)
    assert not hammer.problems, "\n".join(hammer.problems)
    after = settled(daemon, (before,))
    assert after == before, difference(after, before)


def _saved(daemon: Wharfd) -> bytes:
    path = f"{daemon.root}/saved.tar"
    daemon.docker("save", "-o", path, "keep:1")
    return Path(path).read_bytes()
