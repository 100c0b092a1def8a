"""A supervisor with roots of its own, and containers from a BusyBox directory."""

import os
import re
import shutil
import socket
import tarfile
import tempfile
import uuid
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests.support.busybox import layer_tar
from wharf.kernel.probe import probe
from wharf.runtime.requests import ExecRequest, ExitRecord, LogSettings, MonitorRequest
from wharf.runtime.running import Running
from wharf.runtime.supervisor import Sandboxed, Supervisor
from wharf.spec.host import CgroupWorld
from wharf.spec.mount import Mount, Overlay

_CAP_NAMES = (
    "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL "
    "AUDIT_WRITE"
)
CAPS = [f"CAP_{name}" for name in re.findall(r"\w+", _CAP_NAMES)]
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MASKED = (
    "/proc/asound /proc/acpi /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list "
    "/proc/timer_stats /proc/sched_debug /proc/scsi /sys/firmware /sys/devices/virtual/powercap"
)
MASKED = re.findall(r"\S+", _MASKED)
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
_PLAIN = ["nosuid", "noexec", "nodev"]
MOUNTS = [
    {"destination": "/proc", "type": "proc", "source": "proc", "options": _PLAIN},
    {
        "destination": "/dev",
        "type": "tmpfs",
        "source": "tmpfs",
        "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
        "destination": "/dev/pts",
        "type": "devpts",
        "source": "devpts",
        "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*_PLAIN, "ro"]},
    {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", *_PLAIN]},
    {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": _PLAIN},
    {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": [*_PLAIN, "mode=1777", "size=67108864"]},
]


def device_rules() -> list[dict[str, Any]]:
    """Docker's device rules."""
    rules: list[dict[str, Any]] = [{"allow": False, "access": "rwm"}]
    rules += [{"allow": True, "type": kind, "access": "m"} for kind in "cb"]
    for major, minor in ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)):
        rules.append({"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"})
    return [*rules, {"allow": True, "type": "c", "major": 136, "access": "rwm"}]


def process(args: list[str], **more: Any) -> dict[str, Any]:
    """An OCI process with Docker's defaults."""
    sets = {"bounding": CAPS, "permitted": CAPS, "effective": CAPS}
    return {"args": args, "env": [PATH], "cwd": "/", "capabilities": sets, **more}


def make_spec(args: list[str], *, resources: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """An OCI spec with Docker's defaults; `more` goes into the process."""
    return {
        "process": process(args, **more),
        "root": {"readonly": False},
        "hostname": "box",
        "mounts": [dict(mount) for mount in MOUNTS],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("mount", "network", "uts", "pid", "ipc")],
            "resources": {"devices": device_rules(), **(resources or {})},
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
        },
    }


class Lab:
    """What a test starts containers with."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.host = probe()
        self.exec_root, self.data_root = str(directory / "exec"), str(directory / "data")
        self.supervisor = Supervisor(self.exec_root, self.data_root, self.host)
        self.supervisor.start()
        self.parent = f"/wharf-test-{uuid.uuid4().hex[:8]}"
        self.rootfs = directory / "rootfs"
        with tarfile.open(fileobj=BytesIO(layer_tar())) as tar:
            tar.extractall(self.rootfs)

    def request(self, spec: dict[str, Any], **more: Any) -> MonitorRequest:
        """A request for a new container of `spec`."""
        name = uuid.uuid4().hex * 2
        upper, work = self.directory / "snapshots" / name / "fs", self.directory / "snapshots" / name / "work"
        upper.mkdir(parents=True)
        work.mkdir()
        folder = Path(self.data_root, "containers", name)
        folder.mkdir(parents=True)
        more.setdefault("rootfs", Mount("overlay", overlay=Overlay((str(self.rootfs),), str(upper), str(work))))
        more.setdefault("log", LogSettings(str(folder / f"{name}-json.log")))
        more.setdefault("seccomp", self.supervisor.seccomp_filter(None, CAPS))
        more.setdefault("user", "")
        return MonitorRequest(name, spec, cgroup=f"{self.parent}/{name}", **more)

    def prepare(self, args: list[str], **more: Any) -> Sandboxed:
        """A container before `go`; `more` goes into the process, or `request` is its request's."""
        extra = more.pop("request", {})
        return self.supervisor.prepare(self.request(make_spec(args, **more), **extra))

    def start(self, args: list[str], **more: Any) -> Running:
        """A started container."""
        return self.prepare(args, **more).go()

    def run(self, args: list[str], **more: Any) -> tuple[ExitRecord, str]:
        """Exit record and output, both streams together."""
        waiting = self.prepare(args, **more)
        stream = waiting.attach(stdin=False, stdout=True, stderr=True)
        return finish(waiting.go(), stream, framed=not more.get("terminal"))

    def shell(self, script: str, **more: Any) -> str:
        """The output of a shell script."""
        return self.run(["sh", "-c", script], **more)[1]

    def exec(self, running: Running, args: list[str], **more: Any) -> tuple[ExitRecord, str]:
        """Exit record and output of an exec."""
        user = more.pop("user", "")
        body = process(args, **more)
        request = ExecRequest(running.name, uuid.uuid4().hex * 2, body, user=user, seccomp=self.filter())
        waiting = self.supervisor.exec(request, running)
        stream = waiting.attach(stdin=False, stdout=True, stderr=True)
        return finish(waiting.go(), stream, framed=not more.get("terminal"))

    def filter(self) -> bytes:
        """Docker's default filter."""
        return self.supervisor.seccomp_filter(None, CAPS)

    def restart(self) -> None:
        """Another supervisor, as after a crash of wharfd."""
        self.supervisor.close()
        self.supervisor = Supervisor(self.exec_root, self.data_root, self.host)
        self.supervisor.start()

    def log_lines(self, running: Running) -> list[str]:
        """The texts in the log."""
        from wharf.runtime.logfile import LogReader

        with LogReader(f"{self.data_root}/containers/{running.name}/{running.name}-json.log") as reader:
            return [entry.line.decode() for entry in reader.history()]


def unframe(data: bytes) -> tuple[str, str]:
    """Standard output and error of Docker's frames."""
    out: dict[int, bytes] = {1: b"", 2: b""}
    while data:
        size = int.from_bytes(data[4:8], "big")
        out[data[0]] += data[8 : 8 + size]
        data = data[8 + size :]
    return out[1].decode(), out[2].decode()


def read_all(stream: socket.socket) -> bytes:
    """Everything up to the end."""
    stream.settimeout(20)
    data = b""
    while piece := stream.recv(1 << 16):
        data += piece
    stream.close()
    return data


def finish(running: Running, stream: socket.socket, framed: bool = True) -> tuple[ExitRecord, str]:
    """Wait for the end; the record and all output."""
    data = read_all(stream)
    record = running.wait(20)
    assert record is not None
    return record, "".join(unframe(data)) if framed else data.decode()


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    if os.geteuid() != 0 or probe().cgroup_world is CgroupWorld.NONE:
        pytest.skip("needs root and cgroups")
    directory = Path(tempfile.mkdtemp(prefix="wharf-runtime-"))
    lab = Lab(directory)
    try:
        yield lab
        for name in lab.supervisor.live():
            running = lab.supervisor.adopt(name)
            if running is not None:
                running.kill_all()
                running.wait(10)
            lab.supervisor.forget(name)
    finally:
        lab.supervisor.close()
        for root in set(lab.host.cgroup_mounts.values()):
            if os.path.isdir(root + lab.parent):
                os.rmdir(root + lab.parent)
        shutil.rmtree(directory)
