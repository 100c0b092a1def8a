"""Pulls from, and pushes to, the distribution's docker-registry: one in each engine's network, all on one store."""

import io
import os
import random
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from bench.archive import docker_archive
from bench.cases import FILES, Case, Step
from bench.engines import Engine

PORT = 5000
HOST = f"127.0.0.1:{PORT}"
BIG = 1 << 30
"""Bytes of the layer that is one file."""
START_SECONDS = 60.0
FILES_IMAGE, BIG_IMAGE, NEW = f"{HOST}/files:1", f"{HOST}/big:1", f"{HOST}/new:1"


def big_layer() -> bytes:
    """A tar of one file of noise, which no encoder makes smaller."""
    out = io.BytesIO()
    noise = random.Random(11)
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        entry = tarfile.TarInfo("data")
        entry.size = BIG
        tar.addfile(entry, io.BytesIO(b"".join(noise.randbytes(1 << 20) for _ in range(BIG >> 20))))
    return out.getvalue()


def _entry(name: str) -> bytes:
    """An empty file's entry, without the end of an archive."""
    entry = tarfile.TarInfo(name)
    return entry.tobuf(tarfile.USTAR_FORMAT)


@contextmanager
def registries(peers: list[Engine], work: Path) -> Iterator[None]:
    """A registry at HOST for each engine; the images that are pulled are in them."""
    program = subprocess.run(["tools/registry-peer"], capture_output=True, text=True, check=True).stdout.strip()
    config = work / "registry.yml"
    config.write_text(
        "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
        f"storage: {{filesystem: {{rootdirectory: {work}/registry}}}}\nhttp: {{addr: '{HOST}'}}\n"
    )
    running: list[subprocess.Popen[bytes]] = []
    try:
        for engine in peers:
            inside = ["nsenter", f"--net=/proc/{engine.pid}/ns/net"]
            with open(work / f"registry-{engine.name}.log", "wb") as log:
                running.append(subprocess.Popen([*inside, program, "serve", str(config)], stdout=log, stderr=log))
            _wait(engine, inside)
        _fill(peers[0], work)
        yield
    finally:
        for process in running:
            process.terminate()
            process.wait()


def _wait(engine: Engine, inside: list[str]) -> None:
    probe = f"exec 3<>/dev/tcp/127.0.0.1/{PORT}"
    deadline = time.monotonic() + START_SECONDS
    while subprocess.run([*inside, "bash", "-c", probe], stderr=subprocess.DEVNULL, check=False).returncode:
        if time.monotonic() > deadline:
            raise RuntimeError(f"docker-registry does not answer beside {engine.name}")
        time.sleep(0.05)


def _fill(engine: Engine, work: Path) -> None:
    """The images come from Wharf, as what it pushes is the same for everybody."""
    archive = work / "big.tar"
    archive.write_bytes(docker_archive(big_layer(), "big:load"))
    for path, loaded, name in ((work / "image.tar", "files:load", FILES_IMAGE), (archive, "big:load", BIG_IMAGE)):
        engine.run("load", "-i", str(path))
        engine.run("tag", loaded, name)
        engine.run("push", name)
        engine.run("rmi", "-f", loaded, name)
    os.unlink(archive)


def cases(work: Path) -> list[Case]:
    """The rows of registries."""
    numbers = count()

    def pull(name: str) -> Step:
        return lambda engine: engine.run("pull", "-q", name)

    def remove(name: str) -> Step:
        return lambda engine: engine.run("rmi", "-f", name, check=False)

    def before_push(engine: Engine) -> None:
        # A layer that nobody has seen: engines remember which repository has what.
        archive = work / "push.tar"
        archive.write_bytes(docker_archive(_entry(f"number-{next(numbers)}") + (work / "files.tar").read_bytes(), NEW))
        engine.run("load", "-i", str(archive))
        os.unlink(archive)

    def push(engine: Engine) -> None:
        engine.run("push", "-q", NEW)

    remove_new = remove(NEW)

    return [
        Case(f"pull of {FILES} files", pull(FILES_IMAGE), 0.20, before=remove(FILES_IMAGE)),
        Case("pull again, unchanged", pull(FILES_IMAGE), 0.5, once=pull(FILES_IMAGE), finish=remove(FILES_IMAGE)),
        Case("pull of a layer of 1 GB", pull(BIG_IMAGE), 0.5, before=remove(BIG_IMAGE), finish=remove(BIG_IMAGE)),
        Case(f"push of {FILES} files", push, 0.5, before=before_push, after=remove_new),
    ]
