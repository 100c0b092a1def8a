"""A wharfd of a test's own: its data beneath a temporary directory, its network in a namespace of its own."""

import functools
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 20.0
STOP_SECONDS = 30.0
OWN_NETWORK = ["unshare", "-n", "sh", "-c", 'ip link set lo up; exec "$@"', "sh"]


@functools.lru_cache(maxsize=1)
def docker_client() -> str:
    """A docker command line of version 28.2 or later; WHARF_TEST_DOCKER names another.

    The host's own where it has such a one, else the newest: Debian's 28.5 takes 60 ms longer to start, for a table that
    one of its libraries fills at start (go-runewidth 0.0.26), and the tests start thousands.
    """
    named, own = os.environ.get("WHARF_TEST_DOCKER"), shutil.which("docker")
    if named or own is None:
        return named or newest_docker_client()
    told = subprocess.run([own, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"Docker version (\d+)\.(\d+)", told)
    return own if version and (int(version[1]), int(version[2])) >= (28, 2) else newest_docker_client()


def newest_docker_client() -> str:
    """The docker command line that set-up chose, which answers were recorded with; WHARF_TEST_DOCKER names another."""
    unpacked = ROOT / ".cache/docker-client/usr/bin/docker"
    return os.environ.get("WHARF_TEST_DOCKER") or (str(unpacked) if unpacked.exists() else "docker")


class Wharfd:
    """`with Wharfd() as daemon`: started and answering inside, nothing left after.

    The daemon runs in a network namespace of its own, which ends with it; `enter` is the command prefix that runs a
    program there (a client that connects to a published port).
    """

    def __init__(self, *flags: str, place: str = "/tmp", own_network: bool = True) -> None:
        self.root = tempfile.mkdtemp(prefix="wharf-test-", dir=place)
        self.socket = f"{self.root}/s"
        self.host = f"unix://{self.socket}"
        self.flags = flags
        self.own_network = own_network
        self.program = [str(ROOT / ".venv/bin/wharfd")]
        self.holder: subprocess.Popen[bytes] | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.environment = {**os.environ, "DOCKER_HOST": self.host, "DOCKER_CONFIG": f"{self.root}/client"}

    @property
    def enter(self) -> list[str]:
        """Prefix of a command that shall run in the daemon's network namespace."""
        return ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net"] if self.holder else []

    def __enter__(self) -> "Wharfd":
        if self.own_network:
            # The holder keeps the namespace while the daemon is killed and started again.
            script = "ip link set lo up; echo; exec sleep infinity"
            self.holder = subprocess.Popen(["unshare", "-n", "sh", "-c", script], stdout=subprocess.PIPE)
            assert self.holder.stdout
            self.holder.stdout.readline()
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def start(self) -> None:
        """Start the daemon and wait until it answers; raises AssertionError with its log."""
        command = [
            *self.program, "-H", self.host, "--data-root", f"{self.root}/data",
            "--exec-root", f"{self.root}/exec", "--pidfile", f"{self.root}/pid", *self.flags,
        ]  # fmt: skip
        with open(f"{self.root}/log", "ab") as log:
            self.process = subprocess.Popen([*self.enter, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"wharfd did not start:\n{self.log()}")
            time.sleep(0.01)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(START_SECONDS)
            try:
                probe.connect(self.socket)
                probe.sendall(b"GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
                return probe.recv(64).startswith(b"HTTP/1.1 200")
            except OSError:
                return False

    def kill(self) -> None:
        """kill -9, and no chance to tidy up."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM and the exit code."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    def log(self) -> str:
        """What the daemon printed; its last 8,000 characters."""
        return Path(f"{self.root}/log").read_text(errors="replace")[-8000:]

    def docker(self, *arguments: str, check: bool = True, feed: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run the docker command line against this daemon; raises AssertionError with its words when it fails."""
        out = subprocess.run(
            [docker_client(), *arguments],
            env=self.environment,
            input=feed,
            stdin=None if feed is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or out.returncode == 0, (
            f"docker {' '.join(arguments)}: {out.returncode}\n{out.stderr}\n{self.log()}"
        )
        return out

    def load_busybox(self) -> None:
        """`busybox:latest` from this machine's static busybox."""
        from tests.support.busybox import docker_archive

        path = Path(self.root) / "busybox.tar"
        path.write_bytes(docker_archive("busybox:latest"))
        self.docker("load", "-i", str(path))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self.process and self.process.poll() is None:
                ids = self.docker("ps", "-aq", check=False).stdout.split()
                if ids:
                    self.docker("rm", "-f", "-v", *ids, check=False)
                self.stop()
        finally:
            if self.process and self.process.poll() is None:
                self.kill()
            if self.holder:
                self.holder.kill()
                self.holder.wait()
            shutil.rmtree(self.root, ignore_errors=True)
