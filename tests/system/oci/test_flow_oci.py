"""docs/flow-oci.md as tests: the bundle that runc writes, podman, and the command's verbs one after the other."""

import array
import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from tests.system.oci.lab import COMMAND, OciLab, peer, peer_environment

CONMON_SECONDS = 5.0
_PODMAN = """
set -e
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /dev/shm
mkdir -p /run/empty
ip link set lo up
exec "$@"
"""


def test_the_bundle_that_runc_spec_writes_runs(oci: OciLab) -> None:
    bundle = oci.bundle()
    (bundle / "config.json").unlink()
    subprocess.run([peer("runc"), "spec", "-b", str(bundle)], check=True, env=peer_environment())
    config = json.loads((bundle / "config.json").read_text())
    config["process"]["terminal"] = False  # its only line that needs a person
    (bundle / "config.json").write_text(json.dumps(config))
    script = "hostname; id -u; grep NoNewPrivs /proc/self/status; touch /x 2>&1; ulimit -n; exit 3"
    done = oci.call("run", "-b", str(bundle), oci.name(), stdin=_script(oci, script))
    assert done.returncode == 3, done.stderr
    assert done.stdout.split("\n")[:5] == [
        "runc", "0", "NoNewPrivs:\t1", "touch: /x: Read-only file system", "1024",
    ]  # fmt: skip


def test_runc_spec_with_its_terminal_runs_over_a_console_socket(oci: OciLab) -> None:
    bundle = oci.bundle()
    (bundle / "config.json").unlink()
    subprocess.run([peer("runc"), "spec", "-b", str(bundle)], check=True, env=peer_environment())
    path = oci.directory / "console"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)
    name = oci.name()
    oci.ok("create", "-b", str(bundle), "--console-socket", str(path), "--pid-file", str(path) + ".pid", name)
    master = _receive_fd(listener)
    assert int(Path(str(path) + ".pid").read_text()) == oci.state(name)["pid"]
    oci.ok("start", name)
    with os.fdopen(master, "r+b", buffering=0) as terminal:
        terminal.write(b"tty; echo $((6*7)); exit\n")
        text = b""
        while b"42" not in text:
            text += terminal.read(4096)
        assert b"/dev/pts/0" in text
    oci.ended(name)
    assert oci.state(name)["status"] == "stopped"
    oci.ok("delete", name)


def test_podman_runs_its_containers_through_it(oci: OciLab) -> None:
    rootfs = oci.bundle() / "rootfs"
    podman = Podman(oci)
    done = podman.call(
        "run", "--rm", "--rootfs", str(rootfs), "/bin/sh", "-c", "echo from $(hostname); exit 7", name="box"
    )
    assert (done.returncode, done.stdout) == (7, "from box\n"), done.stderr
    missing = podman.call("run", "--rm", "--rootfs", str(rootfs), "/bin/nosuch")
    assert missing.returncode == 127, missing.stderr
    assert "attempted to invoke a command that was not found" in missing.stderr
    refused = podman.call("run", "--rm", "--rootfs", str(rootfs), "/etc/passwd")
    assert refused.returncode == 126, refused.stderr
    terminal = podman.call("run", "--rm", "-t", "--rootfs", str(rootfs), "/bin/sh", "-c", "tty")
    assert terminal.stdout.strip().startswith("/dev/"), terminal.stderr
    podman.close()


def test_podman_drives_a_container_through_its_life(oci: OciLab) -> None:
    rootfs = oci.bundle() / "rootfs"
    podman = Podman(oci)
    script = f"""
    set -e
    P="{" ".join(podman.words)}"
    $P run -d --name c {" ".join(podman.limits)} --network none --rootfs {rootfs} /bin/sleep 300 >/dev/null
    $P exec c /bin/echo from exec
    $P exec c /bin/nosuch 2>/dev/null || echo missing $?
    $P pause c >/dev/null
    $P inspect -f '{{{{.State.Status}}}}' c
    $P unpause c >/dev/null
    $P kill -s KILL c >/dev/null
    $P wait c
    $P rm c >/dev/null
    """
    done = podman.enter(["/bin/sh", "-c", script])
    podman.close()
    assert done.stdout.split("\n") == ["from exec", "missing 127", "paused", "137", ""], done.stderr


class Podman:
    """podman in mount and network namespaces of its own: what it leaves goes with them."""

    def __init__(self, oci: OciLab) -> None:
        self._environment = peer_environment()
        # conmon starts podman again when a container ends: it must find the same libraries.
        variables = [f"{name}={value}" for name, value in self._environment.items()]
        settings = oci.directory / "containers.conf"
        settings.write_text(f"[engine]\nconmon_env_vars = {json.dumps(variables)}\n")
        self._environment["CONTAINERS_CONF"] = str(settings)
        self._parent = oci.name()
        # Limits of its own: podman asks for more than a host without CAP_SYS_RESOURCE may give.
        limits = "--ulimit nofile=1024:1024 --ulimit nproc=4096:4096"
        self.limits = [*limits.split(), "--cgroup-parent", f"/{self._parent}"]
        self._oci = oci
        conmon = peer("conmon")
        self.words = [
            peer("podman"), "--root", "/run/storage", "--runroot", "/run/runroot", "--storage-driver", "vfs",
            "--cgroup-manager", "cgroupfs", "--events-backend", "none", "--conmon", conmon, "--runtime", COMMAND,
        ]  # fmt: skip

    def call(self, verb: str, *words: str, name: str = "") -> "subprocess.CompletedProcess[str]":
        """A podman command."""
        named = ["--hostname", name] if name else []
        return self.enter([*self.words, verb, *self.limits, "--network", "none", *named, *words])

    def close(self) -> None:
        """Remove the parent of its cgroups, which podman leaves; what is still in use fails the test, but for a conmon
        that ends just behind its podman."""
        deadline = time.monotonic() + CONMON_SECONDS
        for directory in self._oci.cgroups(self._parent):
            for path, _, _ in os.walk(directory, topdown=False):
                while Path(path, "cgroup.procs").read_text() and time.monotonic() < deadline:
                    time.sleep(0.02)
                os.rmdir(path)

    def enter(self, words: list[str]) -> "subprocess.CompletedProcess[str]":
        """Any command beside podman's storage."""
        command = [
            shutil.which("unshare") or "unshare",
            "-n",
            "-m",
            "--propagation",
            "private",
            "sh",
            "-c",
            _PODMAN,
            "sh",
        ]
        return subprocess.run(
            [*command, *words], capture_output=True, text=True, timeout=60, check=False, env=self._environment
        )


def _script(oci: OciLab, text: str) -> int:
    path = oci.directory / "script"
    path.write_text(text + "\n")
    return os.open(path, os.O_RDONLY)


def _receive_fd(listener: socket.socket) -> int:
    listener.settimeout(10)
    connection, _ = listener.accept()
    _, ancillary, _, _ = connection.recvmsg(100, socket.CMSG_SPACE(4))
    connection.close()
    listener.close()
    return array.array("i", ancillary[0][2])[0]
