"""Engines under measurement: each in a network namespace of its own, its data on tmpfs or in a given directory."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

START_SECONDS = 60.0
IN_OWN_NETWORK = ["unshare", "-n", "sh", "-c", 'ip link set lo up; exec "$@"', "sh"]


@dataclass
class Engine:
    """An engine that answers at `host`; `pid` is its daemon, `processes` the words that name its other processes."""

    name: str
    client: list[str]
    host: str
    pid: int
    processes: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, check: bool = True, discard: bool = True) -> str:
        """Run the client; returns stdout, or "" when discarded. Raises CalledProcessError."""
        out = subprocess.run(
            [*self.client, "-H", self.host, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if discard else subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            check=check,
            env={**os.environ, **self.environment},
        )
        return out.stdout or ""

    def spawn(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the client and do not wait."""
        command = [*self.client, "-H", self.host, *arguments]
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, **self.environment},
        )  # fmt: skip

    def wait_until_it_answers(self) -> None:
        """Raises RuntimeError when the engine does not answer in time."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                self.run("version")
                return
            except subprocess.CalledProcessError:
                time.sleep(0.1)
        raise RuntimeError(f"{self.name} does not answer at {self.host}")


@contextmanager
def wharf(client: list[str], place: str) -> Iterator[Engine]:
    """A wharfd of this checkout with its data beneath `place`."""
    with _directory(place, "wharf-bench-") as root:
        socket = f"{root}/s"
        command = [
            str(Path(".venv/bin/wharfd").absolute()), "-H", f"unix://{socket}", "--data-root", f"{root}/data",
            "--exec-root", f"{root}/exec", "--pidfile", f"{root}/pid",
        ]  # fmt: skip
        with _daemon([*IN_OWN_NETWORK, *command], f"{root}/log") as pid:
            yield _ready(Engine("wharf", client, f"unix://{socket}", pid, ("wharf",)))


@contextmanager
def docker(client: list[str], place: str, peers: str, enter: str) -> Iterator[Engine]:
    """The dockerd of the root `peers` (made by `enter setup`), with its data beneath `place`."""
    with _directory(place, "wharf-bench-peer-") as root:
        runtime = tempfile.mkdtemp(prefix="wharf-bench-peer-", dir="/tmp")
        command = [
            enter, "enter", peers, "dockerd", "--data-root", f"{root}/data", "--exec-root", f"{runtime}/exec",
            "-H", f"unix://{runtime}/s", "--pidfile", f"{runtime}/pid", "--storage-driver", "overlay2",
        ]  # fmt: skip
        try:
            with _daemon([*IN_OWN_NETWORK, *command], f"{runtime}/log") as pid:
                yield _ready(Engine("docker", client, f"unix://{runtime}/s", pid, ("containerd-shim", "docker-proxy")))
        finally:
            shutil.rmtree(runtime, ignore_errors=True)


def _ready(engine: Engine) -> Engine:
    engine.wait_until_it_answers()
    return engine


@contextmanager
def _directory(place: str, prefix: str) -> Iterator[str]:
    root = tempfile.mkdtemp(prefix=prefix, dir=place)
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def _daemon(command: list[str], log: str) -> Iterator[int]:
    with open(log, "wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
    try:
        yield process.pid
    except BaseException:
        print(Path(log).read_text()[-4000:])
        raise
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
