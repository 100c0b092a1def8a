"""`wharf-runtime` as its callers see it: a bundle from a BusyBox root, the command, and what it answers."""

import copy
import json
import os
import shutil
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from tests.support.busybox import layer_tar
from wharf.kernel.probe import probe
from wharf.runtime.oci.example import example

COMMAND = str(Path(sys.executable).with_name("wharf-runtime"))
PEERS = Path(__file__).parents[3] / ".cache" / "oci-peers"
TIME_LIMIT = 30
Config = dict[str, Any]
Edit = Callable[[Config], None]


def peer(name: str) -> str:
    """A program of the peers: unpacked by setup, or the host's."""
    for place in (PEERS / "usr/sbin" / name, PEERS / "usr/bin" / name):
        if place.exists():
            return str(place)
    found = shutil.which(name)
    assert found, f"{name} is neither in {PEERS} nor on this host: run tools/oci-peers"
    return found


def peer_environment() -> dict[str, str]:
    """Where the peers find each other and their libraries."""
    libraries = ":".join(str(path) for path in sorted(PEERS.glob("usr/lib/*-linux-gnu")))
    path = f"{PEERS}/usr/bin:{PEERS}/usr/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path, "LD_LIBRARY_PATH": libraries, "HOME": "/root"}


class OciLab:
    """Bundles and containers below one directory; every id starts with `prefix`, and `close` removes what is left."""

    def __init__(self, directory: Path, command: Sequence[str] = (COMMAND,), limit: int = TIME_LIMIT) -> None:
        self.directory, self.command, self.limit = directory, command, limit
        self.root = directory / "state"
        self.prefix = f"wharf-oci-{uuid.uuid4().hex[:8]}"
        self._count = 0
        self._rootfs = directory / "image"
        with tarfile.open(fileobj=BytesIO(layer_tar())) as tar:
            tar.extractall(self._rootfs)

    def close(self) -> None:
        """End and forget whatever a test left."""
        for name in self.call("list", "-q").stdout.split():
            self.call("delete", "--force", name)
        shutil.rmtree(self.directory)

    def name(self) -> str:
        """A new id."""
        self._count += 1
        return f"{self.prefix}-{self._count}"

    def bundle(self, *edits: Edit, script: str = "") -> Path:
        """A bundle that runs `script` in a shell, without a terminal; `edits` change its config.json."""
        bundle = self.directory / f"bundle-{uuid.uuid4().hex[:8]}"
        rootfs = bundle / "rootfs"
        bundle.mkdir()
        # Hard links: a root of its own for each bundle, without a copy of BusyBox.
        subprocess.run(["cp", "-al", str(self._rootfs), str(rootfs)], check=True)
        config = copy.deepcopy(example())
        config["process"] |= {"terminal": False, "args": ["sh", "-c", script]}
        config["root"]["readonly"] = False
        for edit in edits:
            edit(config)
        (bundle / "config.json").write_text(json.dumps(config))
        return bundle

    def call(self, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        """The command with `--root`; its streams are files, so that a container that keeps them open holds nobody."""
        log = more.pop("log", None)
        flags = ["--log", str(log), "--log-format", "json"] if log else []
        out, err = self.directory / f"out-{uuid.uuid4().hex}", self.directory / f"err-{uuid.uuid4().hex}"
        command = [*self.command, "--root", str(self.root), *flags, *words]
        with open(out, "w+") as stdout, open(err, "w+") as stderr:
            more.setdefault("stdin", subprocess.DEVNULL)
            more.setdefault("timeout", self.limit)
            done = subprocess.run(command, stdout=stdout, stderr=stderr, check=False, **more)
            result = subprocess.CompletedProcess(command, done.returncode, out.read_text(), err.read_text())
        result.out_file = out  # type: ignore[attr-defined]
        return result

    def ok(self, *words: str, **more: Any) -> str:
        """The output of a call that must succeed."""
        done = self.call(*words, **more)
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def fails(self, *words: str, **more: Any) -> str:
        """The error of a call that must fail."""
        done = self.call(*words, **more)
        assert done.returncode != 0, f"{words} succeeded: {done.stdout}"
        return done.stderr

    def run(self, script: str, *edits: Edit) -> str:
        """The output of a script in a container that is gone afterwards."""
        bundle = self.bundle(*edits, script=script)
        return self.ok("run", "-b", str(bundle), self.name())

    def refused(self, *edits: Edit) -> str:
        """The error of a configuration that must not be carried out, after which nothing is left."""
        name = self.name()
        error = self.fails("create", "-b", str(self.bundle(*edits, script="true")), name)
        assert name not in self.call("list", "-q").stdout
        assert not self.cgroups(name)
        return error

    def created(self, script: str, *edits: Edit) -> str:
        """The id of a created container."""
        name = self.name()
        self.ok("create", "-b", str(self.bundle(*edits, script=script)), name)
        return name

    def started(self, script: str = "exec sleep 300", *edits: Edit) -> str:
        """The id of a running container."""
        name = self.created(script, *edits)
        self.ok("start", name)
        return name

    def state(self, name: str) -> dict[str, Any]:
        """What `state` tells."""
        found: dict[str, Any] = json.loads(self.ok("state", name))
        return found

    def ended(self, name: str) -> None:
        """Wait until the first process is gone."""
        pid = self.state(name)["pid"]
        if pid:
            try:
                fd = os.pidfd_open(pid)
            except ProcessLookupError:
                return
            import select

            poll = select.poll()
            poll.register(fd, select.POLLIN)
            assert poll.poll(self.limit * 1000), f"{name} did not end"
            os.close(fd)

    def cgroups(self, name: str) -> list[str]:
        """The directories of a container's cgroup that exist."""
        roots = set(probe().cgroup_mounts.values())
        return [f"{root}/{name}" for root in roots if os.path.isdir(f"{root}/{name}")]
