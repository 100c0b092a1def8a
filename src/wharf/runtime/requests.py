"""What wharfd asks of a monitor and what it hears back, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wharf.spec.mount import Mount, Overlay


@dataclass(frozen=True, slots=True)
class LogSettings:
    """The log that the monitor writes. Sizes in bytes; -1 is unlimited.

    `extra` goes into each line as `attrs` (json-file only). `form`: `json` or `local`. `compress`: rotated files.
    `guarded`: nothing is dropped before `shipped` has named its time; the container waits instead.
    """

    path: str
    max_size: int = -1
    max_file: int = 1
    extra: dict[str, str] = field(default_factory=dict)
    form: str = "json"
    compress: bool = False
    guarded: bool = False


@dataclass(frozen=True, slots=True)
class MonitorRequest:
    """One container to start.

    `spec` has the shape of config.json (OCI runtime specification); its `root.path` is not used: `rootfs` is.
    `user` is Docker's Config.User, resolved inside the image ("" is root); None takes `process.user` as it is.
    `namespaces`: OCI type -> descriptor of a namespace to join. `hold`: descriptors (published sockets) that the
    monitor keeps open. The caller keeps and closes its own copies of all descriptors.
    """

    id: str
    spec: dict[str, Any]
    rootfs: Mount
    cgroup: str = ""
    user: str | None = None
    groups: tuple[str, ...] = ()
    log: LogSettings | None = None
    open_stdin: bool = False
    stdin_once: bool = False
    seccomp: bytes = b""
    namespaces: Mapping[str, int] = field(default_factory=dict)
    hold: tuple[int, ...] = ()
    runtime: tuple[str, ...] = ()
    """Absolute path and arguments of another OCI runtime; empty for ours."""
    rules: dict[str, Any] | None = None
    """`linux.seccomp` for such a runtime, in the place of `seccomp`."""
    images: Mapping[str, Overlay] = field(default_factory=dict)
    """Binds of `spec.mounts` whose source is no path of the host: the source -> the layers that are shown there."""


@dataclass(frozen=True, slots=True)
class ExecRequest:
    """One more process in a running container; `process` is the OCI process object."""

    container_id: str
    exec_id: str
    process: dict[str, Any]
    user: str | None = None
    groups: tuple[str, ...] = ()
    open_stdin: bool = False
    seccomp: bytes = b""
    runtime: tuple[str, ...] = ()
    id_maps: dict[str, Any] | None = None
    """`uidMappings` and `gidMappings` of the container's user namespace."""


@dataclass(frozen=True, slots=True)
class ExitRecord:
    """How a first process ended: `code` 0..255 (128 + signal when killed), `finished_at` ns since the epoch."""

    code: int
    signal: int = 0
    oom: bool = False
    finished_at: int = 0
    reason: str = ""


class StartFailed(Exception):
    """The process could not be started; `message` is Docker's whole wording, `exit_code` 126, 127 or 128."""

    def __init__(self, message: str, exit_code: int = 128) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code
