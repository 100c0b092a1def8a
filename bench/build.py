"""Builds: cold, unchanged, of stages that could overlap, of a large context with one changed file.

Docker builds with its classic builder, as the client with DOCKER_BUILDKIT=0 asks for it; the row that says so with
buildx, where the peer's root has the plugin.
"""

import http.client
import io
import os
import random
import shutil
import socket
import statistics
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.engines import Engine

FILES = 300
FILE_SIZE = 4_000
LARGE = 500 << 20
LARGE_FILES = 50
Row = Callable[..., None]
COLD = "build, 10 steps, 300 files"
BUILDX = "the same beside buildx"
UNCHANGED = "build, unchanged"
ENGINE = "build, unchanged, at the engine, ms"
OVERLAP = "build, three stages of 0.5 s"
CHANGED = "500 MB context, one file changed, MB/s"
STEPS = """FROM busybox
ENV A=1
WORKDIR /work
COPY . /work/
RUN echo one > /one
RUN cp -r /work /copy
RUN find /copy -type f | wc -l > /count
RUN echo two > /two
LABEL a=b
CMD ["true"]
"""
STAGES = (
    "FROM busybox AS a\nRUN sleep 0.5; echo a > /a\nFROM busybox AS b\nRUN sleep 0.5; echo b > /b\n"
    "FROM busybox AS c\nRUN sleep 0.5; echo c > /c\n"
    "FROM busybox\nCOPY --from=a /a /\nCOPY --from=b /b /\nCOPY --from=c /c /\n"
)


def rows(peers: list[Engine], work: Path, repeat: int, only: str, peer_root: str, row: Row) -> None:
    """The rows whose name contains `only`, or all where that is `build`."""
    wanted = [name for name in (COLD, BUILDX, UNCHANGED, ENGINE, OVERLAP, CHANGED) if only in name or only == "build"]
    if not wanted:
        return
    small = _context(work / "small", STEPS, FILES, FILE_SIZE)
    if COLD in wanted:
        row(COLD, _turns(peers, repeat, lambda engine: _build(engine, small, "--no-cache")), 0.20)
    if BUILDX in wanted and len(peers) > 1 and _plugin(peer_root):
        row(BUILDX, _turns(peers, repeat, lambda engine: _build(engine, small, "--no-cache", buildkit=True)), 1.00)
    if UNCHANGED in wanted:
        for engine in peers:
            _build(engine, small)
        row(UNCHANGED, _turns(peers, repeat, lambda engine: _build(engine, small)), 0.70)
    if ENGINE in wanted:
        row(ENGINE, [_at_the_engine(engine, small, repeat) for engine in peers], unit="  goal <= 20")
    if OVERLAP in wanted:
        stages = _context(work / "stages", STAGES, 0, 0)
        row(OVERLAP, _turns(peers, min(repeat, 3), lambda engine: _build(engine, stages, "--no-cache")))
    if CHANGED in wanted:
        row(CHANGED, [_changed(peers[0], work, min(repeat, 5))], unit="  goal >= 500")


def _turns(peers: list[Engine], repeat: int, call: Callable[[Engine], object]) -> list[float]:
    samples: dict[str, list[float]] = {engine.name: [] for engine in peers}
    for _ in range(repeat):
        for engine in peers:
            began = time.perf_counter()
            call(engine)
            samples[engine.name].append(time.perf_counter() - began)
    return [statistics.median(samples[engine.name]) for engine in peers]


def _build(engine: Engine, context: Path, *flags: str, buildkit: bool = False) -> None:
    mode = "1" if buildkit and engine.name == "docker" else "0"
    command = engine.command("build", "-q", "-t", "bench", *flags, str(context))
    subprocess.run(command, env={**os.environ, "DOCKER_BUILDKIT": mode}, check=True, capture_output=True)


def _context(place: Path, dockerfile: str, count: int, size: int) -> Path:
    place.mkdir(exist_ok=True)
    (place / "Dockerfile").write_text(dockerfile)
    noise = random.Random(9)
    for number in range(count):
        path = place / f"{number // 50}" / f"file-{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(noise.randbytes(size))
    return place


def _plugin(peer_root: str) -> bool:
    """Whether the client has buildx now: the peer's own, put where clients look for plugins."""
    found = Path(peer_root, "usr/libexec/docker/cli-plugins/docker-buildx")
    if not found.exists():
        return False
    place = Path(os.environ["DOCKER_CONFIG"], "cli-plugins")
    place.mkdir(exist_ok=True)
    shutil.copy(found, place)
    return True


def _at_the_engine(engine: Engine, context: Path, repeat: int) -> float:
    """Milliseconds of an unchanged build from the first byte of the request to the last of the answer."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.add(context, ".")
    samples = []
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(engine.host.removeprefix("unix://"))
    for _ in range(repeat + 2):
        began = time.perf_counter()
        connection.request("POST", "/v1.43/build?t=bench", out.getvalue(), {"Content-Type": "application/x-tar"})
        answer = connection.getresponse().read()
        samples.append(time.perf_counter() - began)
        assert b"Successfully built" in answer, answer[-500:]
    connection.close()
    return statistics.median(samples[2:]) * 1000


def _changed(engine: Engine, work: Path, repeat: int) -> float:
    """Megabytes a second of `wharf build` on a context that is known, but for one file."""
    large = _context(work / "large", "FROM scratch\nCOPY 0/file-0 /\n", LARGE_FILES, LARGE // LARGE_FILES)
    command = [str(Path(".venv/bin/wharf").absolute()), "-H", engine.host, "build", "-q", "-t", "bench-large"]
    samples = []
    for number in range(repeat + 1):
        (large / "0" / "file-0").write_text(f"changed {number}")
        time.sleep(0.1)
        began = time.perf_counter()
        subprocess.run([*command, str(large)], check=True, capture_output=True)
        samples.append(time.perf_counter() - began)
    shutil.rmtree(large)
    return LARGE / 1e6 / statistics.median(samples[1:])
