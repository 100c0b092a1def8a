"""What is known of the containers of this command, beneath its root directory.

    <root>/<id>/state.json   written by create, replaced as a whole (temporary name, then rename)
    <root>/<id>/start        the socket that the first process waits on for `start`; gone once it was told

The directory itself carries the lock (flock(2)) of whoever changes the container. The status is never stored: it
follows from the process, its cgroup and the socket.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from wharf.kernel import process
from wharf.kernel.cgroup import Cgroup, open_cgroup
from wharf.runtime.oci.errors import CommandFailed
from wharf.runtime.scopes import ScopedCgroup

_ID = re.compile(r"[\w+.-]{1,1024}", re.ASCII)
START_SOCKET = "start"
VERSION = 1


@dataclass(slots=True)
class Container:
    """One container. `pid` is 0 until the first process exists; `config` is its config.json.

    `cgroup_made`: the hierarchies where create made the cgroup, which go with the container; None in the state of an
    older release, which took all for its own. `scope`: systemd makes the cgroup, for --systemd-cgroup.
    """

    id: str
    bundle: str
    rootfs: str
    config: dict[str, Any]
    created: str
    owner: int
    cgroup_mounts: dict[str, str]
    boot_id: str
    cgroup: str = ""
    pid: int = 0
    start_time: int = 0
    version: int = VERSION
    annotations: dict[str, str] = field(default_factory=dict)
    cgroup_made: list[str] | None = None
    scope: bool = False

    def open_cgroup(self) -> Cgroup | None:
        """Its cgroup; None where the host has none."""
        return open_cgroup(self.cgroup_mounts, self.cgroup, self.scope) if self.cgroup_mounts else None

    def open_scope(self) -> ScopedCgroup | None:
        """Its cgroup where systemd makes it, else None."""
        return ScopedCgroup(self.cgroup_mounts[""], self.cgroup) if self.scope else None

    def own_cgroup(self) -> Cgroup | None:
        """As much of the cgroup as create made: what was there before stays (runtime.md#delete)."""
        if self.cgroup_made is None:
            return self.open_cgroup()
        mounts = {name: self.cgroup_mounts[name] for name in self.cgroup_made}
        return open_cgroup(mounts, self.cgroup, self.scope) if mounts else None

    def made(self, cgroup: Cgroup) -> list[str]:
        """The hierarchies where create made it."""
        return list(cgroup.mount_points()) if self.cgroup_made is None else self.cgroup_made

    def owns_pid_namespace(self) -> bool:
        """Whether its pid namespace is a new one, where every process ends with the first."""
        items = self.config["linux"].get("namespaces") or ()
        return any(item["type"] == "pid" and not item.get("path") for item in items)

    def alive(self) -> bool:
        """Whether the first process is there and no zombie: known by boot, pid and start time."""
        if self.pid <= 0 or self.boot_id != process.boot_id():
            return False
        try:
            with open(f"/proc/{self.pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            return False
        return fields[0] not in (b"Z", b"X") and int(fields[19]) == self.start_time

    def state(self, status: str, pid: int | None = None) -> dict[str, Any]:
        """The state of the specification (runtime.md#state)."""
        number = self.pid if pid is None else pid
        out: dict[str, Any] = {
            "ociVersion": self.config["ociVersion"],
            "id": self.id,
            "pid": 0 if status == "stopped" else number,
            "status": status,
            "bundle": self.bundle,
        }
        if self.annotations:
            out["annotations"] = self.annotations
        return out


class Store:
    """The directory of all containers of one `--root`."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)

    def directory(self, name: str) -> str:
        """Where a container's files are; raises CommandFailed for what is no id."""
        if not _ID.fullmatch(name) or name in (".", ".."):
            raise CommandFailed("invalid container ID format")
        return f"{self.root}/{name}"

    def make(self, name: str) -> str:
        """A directory for a new container."""
        directory = self.directory(name)
        os.makedirs(self.root, 0o700, exist_ok=True)
        try:
            os.mkdir(directory, 0o711)
        except FileExistsError:
            raise CommandFailed("container with given ID already exists") from None
        return directory

    def save(self, container: Container) -> None:
        """Write the state; a reader sees the old one or the new one."""
        path = f"{self.directory(container.id)}/state.json"
        with open(path + ".new", "w", opener=_private) as file:
            json.dump(asdict(container), file)
        os.rename(path + ".new", path)

    def load(self, name: str) -> Container:
        """A container; raises CommandFailed when there is none."""
        try:
            with open(f"{self.directory(name)}/state.json") as file:
                return Container(**json.load(file))
        except (FileNotFoundError, NotADirectoryError):
            raise CommandFailed("container does not exist") from None
        except (ValueError, TypeError) as error:
            raise CommandFailed(f"the state of container {name} cannot be read: {error}") from None

    def status(self, container: Container) -> str:
        """creating, created, running, paused or stopped, as the kernel has it now."""
        if container.pid == 0:
            return "creating"
        if not container.alive():
            return "stopped"
        cgroup = container.open_cgroup()
        if cgroup is not None and cgroup.frozen():
            return "paused"
        waiting = os.path.lexists(f"{self.directory(container.id)}/{START_SOCKET}")
        return "created" if waiting else "running"

    def names(self) -> list[str]:
        """The containers there are, sorted."""
        try:
            return sorted(name for name in os.listdir(self.root) if os.path.exists(f"{self.root}/{name}/state.json"))
        except FileNotFoundError:
            return []

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Nobody else changes the container meanwhile."""
        try:
            fd = os.open(self.directory(name), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise CommandFailed("container does not exist") from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def remove(self, name: str) -> None:
        """Forget a container."""
        shutil.rmtree(self.directory(name), ignore_errors=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
