"""Docker as the peer of record: dockerd from a root of Debian's newest suite, in namespaces of its own.

The root directory is a plain Debian tree with docker.io in it; `make_root` makes one with mmdebstrap. dockerd runs in
its own network namespace (it leaves no bridge and no rule on the host) and its own mount namespace, with the host's
/proc, /sys, /dev and /tmp inside.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

PACKAGES = (
    "docker.io,docker-cli,runc,containerd,busybox-static,iptables,nftables,ca-certificates,iproute2,procps,python3"
)
START_SECONDS = 60.0
BOUND = ("proc", "sys", "dev", "tmp")


def make_root(root: Path, suite: str, mirror: str) -> None:
    """A Debian root with Docker in it, about a minute and 1 GB; nothing is done when dockerd is there."""
    if (root / "usr/sbin/dockerd").exists():
        return
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", suite, str(root), mirror], check=True
    )


def enter(root: str, command: list[str]) -> None:
    """Become `command` inside root. The caller made the mount namespace, private, and the network namespace."""

    def run(*words: str) -> None:
        subprocess.run(words, check=True)

    run("ip", "link", "set", "lo", "up")
    run("mount", "--bind", root, root)
    for name in BOUND:
        run("mount", "--rbind", f"/{name}", f"{root}/{name}")
    run("mount", "-t", "tmpfs", "tmpfs", f"{root}/run")
    run("mount", "-t", "tmpfs", "tmpfs", f"{root}/mnt")
    os.makedirs(f"{root}/mnt/old")
    os.chdir(root)
    run("pivot_root", ".", "mnt/old")
    os.chroot(".")
    os.chdir("/")
    run("umount", "-l", "/mnt/old")
    os.execvp(command[0], command)


class Peer:
    """`with Peer(root) as peer`: dockerd answers at peer.host inside; all of it is gone after."""

    def __init__(self, root: Path, place: str = "/dev/shm") -> None:
        self.peer_root = root
        self.work = tempfile.mkdtemp(prefix="conf-peer-", dir="/tmp")
        self.data = tempfile.mkdtemp(prefix="conf-peer-", dir=place)
        self.host = f"unix://{self.work}/s"
        self.client = str(root / "usr/bin/docker")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def enter(self) -> list[str]:
        """Prefix of a command that shall run in dockerd's network namespace."""
        return ["nsenter", f"--net=/proc/{self.process.pid}/ns/net"] if self.process else []

    def __enter__(self) -> Peer:
        flags = ["--data-root", self.data, "--exec-root", "/run/docker", "-H", self.host]
        flags += ["--pidfile", f"{self.work}/pid"]
        command = ["unshare", "--net", "--mount", "--propagation", "private", sys.executable, "-m", __name__]
        with open(f"{self.work}/log", "wb") as log:
            self.process = subprocess.Popen(
                [*command, str(self.peer_root), "dockerd", *flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_SECONDS
        while b"API listen on" not in Path(f"{self.work}/log").read_bytes():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"dockerd did not start:\n{Path(f'{self.work}/log').read_text()}")
            time.sleep(0.1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.rmtree(self.data, ignore_errors=True)


if __name__ == "__main__":
    enter(sys.argv[1], sys.argv[2:])
