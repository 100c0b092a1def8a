"""The files that outlive wharfd and monitor: who monitors what, beneath the exec root, and how it ended.

<exec-root>/monitors/<container>/init, <exec>             sockets the monitors listen on
<exec-root>/monitors/<container>/init.json, <exec>.json   whose cgroup to kill when the monitor is dead
<exec-root>/monitors/<container>/<exec>.exit              how an exec ended while no wharfd was there
<exec-root>/foreign/<container>/                          bundle and state of another runtime
<data-root>/containers/<container>/exit.json              how the container ended
"""

import contextlib
import json
import os
from typing import Any

from wharf.runtime.requests import ExitRecord


class States:
    """Paths and contents."""

    def __init__(self, exec_root: str, data_root: str) -> None:
        self._exec_root, self._data_root = exec_root, data_root

    def make(self) -> None:
        """Make the directories."""
        os.makedirs(f"{self._exec_root}/monitors", 0o700, exist_ok=True)
        os.makedirs(self.mount_point, 0o700, exist_ok=True)
        os.makedirs(f"{self._data_root}/containers", 0o710, exist_ok=True)

    @property
    def mount_point(self) -> str:
        """Where every container mounts its root, each in a mount namespace of its own."""
        return f"{self._exec_root}/root"

    def directory(self, container: str) -> str:
        """The directory of one container's monitors."""
        return f"{self._exec_root}/monitors/{container}"

    def foreign(self, container: str) -> str:
        """The directory of a container that another runtime runs: bundle and runtime's state."""
        return f"{self._exec_root}/foreign/{container}"

    def exit_path(self, container: str, name: str = "init") -> str:
        """Where a monitor records the end."""
        if name != "init":
            return f"{self.directory(container)}/{name}.exit"
        return f"{self._data_root}/containers/{container}/exit.json"

    def exit_record(self, container: str, name: str = "init") -> ExitRecord | None:
        """What the monitor recorded; None when nothing."""
        value = read_json(self.exit_path(container, name))
        return record_of(value) if value else None

    def drop_exit_record(self, container: str) -> None:
        """Before a new start."""
        path = self.exit_path(container)
        os.makedirs(os.path.dirname(path), 0o710, exist_ok=True)
        try:
            os.unlink(path)
        except FileNotFoundError:
            return

    def containers(self) -> list[str]:
        """Ids of containers that have, or had when it died, a monitor."""
        return _names(f"{self._exec_root}/monitors")

    def foreign_containers(self) -> list[str]:
        """Ids of containers of which another runtime has, or had, state."""
        return _names(f"{self._exec_root}/foreign")

    def execs(self, container: str) -> list[str]:
        """Ids of execs whose monitors were recorded."""
        found = [name.removesuffix(".json") for name in _names(self.directory(container)) if name.endswith(".json")]
        return [name for name in found if name != "init"]

    def remove_exec(self, container: str, name: str) -> None:
        """Remove the files of an exec's dead monitor."""
        for suffix in ("", ".json"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.directory(container)}/{name}{suffix}")

    def write(self, container: str, name: str, state: dict[str, Any]) -> None:
        """Record a monitor."""
        path = f"{self.directory(container)}/{name}.json"
        with open(path + ".new", "w") as file:
            file.write(json.dumps(state))  # json.dump would encode in Python, not in C
        os.rename(path + ".new", path)

    def cgroup(self, container: str) -> str:
        """The path of the cgroup that a monitor was recorded with, or ""."""
        return str(read_json(f"{self.directory(container)}/init.json").get("cgroup") or "")

    def monitor(self, container: str, name: str, boot_id: str) -> dict[str, Any]:
        """What was recorded of a monitor in this boot, as `Supervisor.prepared` wrote it; empty when nothing."""
        state = read_json(f"{self.directory(container)}/{name}.json")
        return state if state.get("boot_id") == boot_id else {}

    def remove(self, container: str) -> None:
        """Remove the files of dead monitors; one that is just ending may do the same."""
        directory = self.directory(container)
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(directory):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{directory}/{name}")
            os.rmdir(directory)


def _names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except FileNotFoundError:
        return []


def read_json(path: str) -> dict[str, Any]:
    """A file's object; empty when there is none."""
    try:
        with open(path) as file:
            value = json.load(file)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def record_of(value: dict[str, Any]) -> ExitRecord:
    """The record in a monitor's message or file."""
    return ExitRecord(value["code"], value["signal"], value["oom"], value["finished_at"], value["reason"])
