"""Pulls from, and pushes to, two registries in each engine's network: the distribution's docker-registry and ours.

The docker-registries work on one store; ours, which locks its store, have one each, with the same files.
"""

import io
import os
import random
import shutil
import signal
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from bench import memory, registry_server
from bench.archive import docker_archive
from bench.cases import FILES, Case, Step
from bench.engines import Engine

HOST, OURS = "127.0.0.1:5000", "127.0.0.1:5001"
BIG, NOISE = 1 << 30, 16 << 20
"""Bytes of the layer that is one file, and of the noise that it repeats, too far apart for gzip to find."""
START_SECONDS = 60.0
SAMPLE_SECONDS = 0.1
AGAIN, MEMORY = "pull again, at the engine, ms", "pull, push of 1 GB: memory, MB"


def fetch_peer(only: str) -> None:
    """The docker-registry that the rows need; in the host's network, where a package archive can be reached."""
    names = (AGAIN, MEMORY, *registry_server.NAMES, *(case.name for case in cases(Path())))
    if any(only in name for name in names):
        subprocess.run(["tools/registry-peer"], stdout=subprocess.DEVNULL, check=True)


def big_layer() -> bytes:
    """A tar of one file of noise, which no encoder makes smaller."""
    out = io.BytesIO()
    noise = random.Random(11).randbytes(NOISE)
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        entry = tarfile.TarInfo("data")
        entry.size = BIG
        tar.addfile(entry, io.BytesIO(noise * (BIG // NOISE)))
    return out.getvalue()


def _entry(name: str) -> bytes:
    """An empty file's entry, without the end of an archive."""
    entry = tarfile.TarInfo(name)
    return entry.tobuf(tarfile.USTAR_FORMAT)


@contextmanager
def registries(peers: list[Engine], work: Path, names: list[str]) -> Iterator[None]:
    """Both registries for each engine; the images that the rows of these names pull are in them."""
    program = subprocess.run(["tools/registry-peer"], capture_output=True, text=True, check=True).stdout.strip()
    config = work / "registry.yml"
    config.write_text(
        "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
        f"storage: {{filesystem: {{rootdirectory: {work}/registry}}}}\nhttp: {{addr: '{HOST}'}}\n"
    )
    with ExitStack() as stack:
        for engine in peers:
            stack.enter_context(_server(engine, HOST, [program, "serve", str(config)], work))
        with _server(peers[0], OURS, _ours(work, peers[0]), work):
            _fill(peers[0], work, names)
        for engine in peers[1:]:
            _clone(work / f"ours-{peers[0].name}", work / f"ours-{engine.name}")
        for engine in peers:
            stack.enter_context(_server(engine, OURS, _ours(work, engine), work))
        yield


def _ours(work: Path, engine: Engine) -> list[str]:
    command = str(Path(".venv/bin/wharf").absolute())
    return [command, "registry", "serve", "--root", str(work / f"ours-{engine.name}"), "--addr", OURS]


def _clone(source: Path, target: Path) -> None:
    """Blobs are links: files of a store never change."""
    shutil.copytree(source / "content", target / "content", copy_function=os.link)
    shutil.copy(source / "registry.db", target)


@contextmanager
def _server(engine: Engine, host: str, command: list[str], work: Path) -> Iterator[None]:
    inside = ["nsenter", f"--net=/proc/{engine.pid}/ns/net"]
    with open(work / f"registry-{engine.name}-{host}.log", "ab") as log:
        process = subprocess.Popen([*inside, *command], stdout=log, stderr=log)
    try:
        _wait(inside, host, engine)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _wait(inside: list[str], host: str, engine: Engine) -> None:
    probe = f"exec 3<>/dev/tcp/{host.replace(':', '/')}"
    deadline = time.monotonic() + START_SECONDS
    while subprocess.run([*inside, "bash", "-c", probe], stderr=subprocess.DEVNULL, check=False).returncode:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the registry at {host} does not answer beside {engine.name}")
        time.sleep(0.05)


def _fill(engine: Engine, work: Path, names: list[str]) -> None:
    """What the rows pull. The images come from Wharf, as what it pushes is the same for everybody."""
    archive = work / "big.tar"
    big = [name for name in names if "1 GB" in name]
    files = [name for name in names if name.startswith("pull") and name not in big]
    images = [(work / "image.tar", "files:load", files)] if files else []
    if big:
        archive.write_bytes(docker_archive(big_layer(), "big:load"))
        images.append((archive, "big:load", big))
    for path, loaded, rows in images:
        engine.run("load", "-i", str(path))
        for host in (HOST, OURS):
            if any((host == OURS) == ("ours" in row) for row in rows):
                name = f"{host}/{loaded.replace(':load', ':1')}"
                engine.run("tag", loaded, name)
                engine.run("push", name)
                engine.run("rmi", "-f", name)
        engine.run("rmi", "-f", loaded)
    archive.unlink(missing_ok=True)


def cases(work: Path) -> list[Case]:
    """The rows of registries."""
    return [case for host in (HOST, OURS) for case in _of_host(work, host)]


def _of_host(work: Path, host: str) -> list[Case]:
    numbers = count()
    files, big, new = f"{host}/files:1", f"{host}/big:1", f"{host}/new:1"

    def pull(name: str) -> Step:
        return lambda engine: engine.run("pull", "-q", name)

    def remove(name: str) -> Step:
        return lambda engine: engine.run("rmi", "-f", name, check=False)

    def before_push(engine: Engine) -> None:
        # A layer that nobody has seen: engines remember which repository has what.
        archive = work / "push.tar"
        archive.write_bytes(docker_archive(_entry(f"number-{next(numbers)}") + (work / "files.tar").read_bytes(), new))
        engine.run("load", "-i", str(archive))
        os.unlink(archive)

    def push(engine: Engine) -> None:
        engine.run("push", "-q", new)

    ours = "" if host == HOST else " ours,"
    rows = [
        Case(f"pull of{ours} {FILES} files", pull(files), 0.20, before=remove(files), finish=remove(files)),
        Case(f"pull of{ours} a layer of 1 GB", pull(big), 0.5, before=remove(big), finish=remove(big), most=3),
        Case(f"push of{ours} {FILES} files", push, 0.5, before=before_push, after=remove(new), most=5),
    ]
    if host == HOST:
        rows.insert(1, Case("pull again, unchanged", pull(files), 0.5, once=pull(files), finish=remove(files)))
    return rows


def at_the_engine(peers: list[Engine], repeat: int, row: Callable[..., None]) -> None:
    """Milliseconds of a pull of an unchanged tag, from the request on the socket to the end of the answer."""
    name = f"{HOST}/files"
    figures = []
    for engine in peers:
        engine.run("pull", "-q", f"{name}:1")
        samples = sorted(_pull(engine.host, name, "1") for _ in range(repeat))
        figures.append(samples[len(samples) // 2] * 1000)
        engine.run("rmi", "-f", f"{name}:1")
    row(AGAIN, figures, None, " (goal: 50)")


def _pull(host: str, name: str, tag: str) -> float:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(host.removeprefix("unix://"))
        begun = time.perf_counter()
        head = f"POST /images/create?fromImage={name}&tag={tag} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
        client.sendall(f"{head}Connection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: client.recv(65536), b""))
        if b"up to date" not in answer:
            raise RuntimeError(f"not pulled again: {answer[-500:]!r}")
        return time.perf_counter() - begun


def pull_memory(peers: list[Engine], repeat: int, row: Callable[..., None]) -> None:
    """The most private memory that the engine's own processes have while a layer of 1 GB is pulled, and pushed."""
    name = f"{HOST}/big:1"
    figures = []  # once: the highest is no matter of luck
    for engine in peers:
        with _Highest(engine) as pulling:
            engine.run("pull", "-q", name)
        engine.run("tag", name, f"{HOST}/again:1")
        with _Highest(engine) as pushing:
            engine.run("push", "-q", f"{HOST}/again:1")
        engine.run("rmi", "-f", name, f"{HOST}/again:1")
        figures.append(max(pulling.bytes, pushing.bytes) / 1e6)
    row(MEMORY, figures, None, " (goal: 150)")


class _Highest:
    """Samples the private memory of an engine while the block runs; registries beside it do not count."""

    def __init__(self, engine: Engine) -> None:
        self.bytes = 0
        self._engine, self._ended = engine, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            pids = [pid for pid in memory.network_mates(self._engine.pid) if not _is_registry(pid)]
            self.bytes = max(self.bytes, sum(memory.private(pid) for pid in pids))

    def __enter__(self) -> "_Highest":
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._ended.set()
        self._thread.join()


def _is_registry(pid: int) -> bool:
    try:
        return b"registry" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True
