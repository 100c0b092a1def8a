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

    def command(self, *arguments: str) -> list[str]:
        """The client's command line; an engine without a daemon has no host."""
        return [*self.client, *(("-H", self.host) if self.host else ()), *arguments]

    def run(self, *arguments: str, check: bool = True, discard: bool = True) -> str:
        """Run the client; returns stdout, or "" when discarded. Raises CalledProcessError."""
        out = subprocess.run(
            self.command(*arguments),
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
        return subprocess.Popen(
            self.command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
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
def wharf(client: list[str], place: str, checkout: str = ".", name: str = "wharf") -> Iterator[Engine]:
    """A wharfd of a checkout, this one or another, with its data beneath `place`."""
    with _directory(place, "wharf-bench-") as root:
        socket = f"{root}/s"
        command = [
            str(Path(checkout, ".venv/bin/wharfd").absolute()), "-H", f"unix://{socket}", "--data-root", f"{root}/data",
            "--exec-root", f"{root}/exec", "--pidfile", f"{root}/pid", "--live-restore=false",
        ]  # fmt: skip
        with _daemon([*IN_OWN_NETWORK, *command], f"{root}/log") as pid:
            yield _ready(Engine(name, client, f"unix://{socket}", pid, ("wharf",)))


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


@contextmanager
def podman(place: str, peers: str, enter: str, insecure: tuple[str, ...]) -> Iterator[Engine]:
    """The podman of the root `peers`, its data beneath `place`; plain HTTP to the registries at `insecure`."""
    with (
        _directory(place, "wharf-bench-peer-") as root,
        _daemon([*IN_OWN_NETWORK, "sleep", "infinity"], os.devnull) as pid,
    ):
        entries = (f'[[registry]]\nlocation = "{host}"\ninsecure = true\n' for host in insecure)
        Path(root, "registries.conf").write_text("".join(entries))
        client = [
            "nsenter", f"--net=/proc/{pid}/ns/net", enter, "enter", peers, "podman", "--root", f"{root}/data",
            "--runroot", f"{root}/run", "--runtime", "runc", "--cgroup-manager", "cgroupfs",
        ]  # fmt: skip
        engine = Engine("podman", client, "", pid, ())
        engine.environment["CONTAINERS_REGISTRIES_CONF"] = f"{root}/registries.conf"
        yield _ready(engine)


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
