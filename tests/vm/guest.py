"""A wharfd inside the guest, spoken to with the `wharf` command line."""

import functools
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.support.busybox import docker_archive

CGROUPS = Path("/sys/fs/cgroup")
START_SECONDS = 120.0  # an emulated machine on a busy one
SYSTEMD = os.path.isdir("/run/systemd/system")
WHARF = [sys.executable, "-c", "import sys; from wharf.cli.main import main; sys.exit(main())"]


class Guest:
    """`with Guest(place) as engine`: data beneath `place`, running state beneath /run."""

    def __init__(self, place: str, *flags: str, prefix: tuple[str, ...] = ()) -> None:
        self.root = Path(place)
        self.root.mkdir(parents=True, exist_ok=True)
        self.run_root = Path("/run", self.root.name)
        self.run_root.mkdir(exist_ok=True)
        self.host = f"unix://{self.run_root}/s"
        self.flags, self.prefix = flags, prefix
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Guest":
        command = [
            *self.prefix, sys.executable, "-m", "wharf.daemon", "-H", self.host, "--data-root", f"{self.root}/data",
            "--exec-root", f"{self.run_root}/exec", "--pidfile", f"{self.run_root}/pid", *self.flags,
        ]  # fmt: skip
        with open(self.run_root / "log", "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while self.wharf("version", check=False).returncode:
            assert self.process.poll() is None and time.monotonic() < deadline, self.log()
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        ids = self.wharf("ps", "-aq", check=False).stdout.split()
        if ids:
            self.wharf("rm", "-f", *ids, check=False)
        self.stop()

    def stop(self) -> None:
        """SIGTERM, and wait."""
        assert self.process
        self.process.terminate()
        self.process.wait(60)

    def log(self) -> str:
        """What the daemon said."""
        return (self.run_root / "log").read_text(errors="replace")[-6000:]

    def wharf(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """One command line; AssertionError with its words when it fails."""
        out = subprocess.run(
            [*WHARF, "-H", self.host, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert not check or out.returncode == 0, f"wharf {words}: {out.returncode}\n{out.stderr}\n{self.log()}"
        return out

    def api(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """One request to the API: status and answer."""
        data = json.dumps(body).encode() if body is not None else b""
        head = f"{method} /v1.47{path} HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Type: application/json\r\n"
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(self.host.removeprefix("unix://"))
            sock.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
            answer = http.client.HTTPResponse(sock, method=method)
            answer.begin()
            return answer.status, json.loads(answer.read() or b"{}")

    def load_busybox(self) -> None:
        """busybox:latest."""
        path = self.root / "busybox.tar"
        path.write_bytes(docker_archive())
        self.wharf("load", "-i", str(path))

    def inspect(self, name: str) -> dict[str, Any]:
        """The container as `wharf inspect` shows it."""
        found: dict[str, Any] = json.loads(self.wharf("inspect", name).stdout)[0]
        return found

    def cgroup(self, name: str) -> Path:
        """The directory of a running container, by the kernel's word."""
        pid = self.inspect(name)["State"]["Pid"]
        return Path(f"{CGROUPS}{Path(f'/proc/{pid}/cgroup').read_text().strip().removeprefix('0::')}")


def until(what: Any, seconds: float = 30.0) -> None:
    """Wait for what another process does in its own time; AssertionError when it does not."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def unit(name: str, *properties: str) -> dict[str, str]:
    """Properties of a unit of systemd."""
    words = [f"--property={item}" for item in properties]
    out = subprocess.run(["systemctl", "show", *words, name], capture_output=True, text=True, check=True).stdout
    return dict(line.split("=", 1) for line in out.splitlines())


@functools.cache
def disk_major() -> int:
    """Major number of the guest's disks."""
    return os.major(os.stat("/dev/vda").st_rdev)
