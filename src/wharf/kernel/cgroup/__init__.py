"""Control groups, both worlds behind one Protocol.

Glossary: a *cgroup* is one path below every hierarchy the host has (v1) or below the one there is (v2);
*resources* are the `linux.resources` object of the OCI runtime specification (config-linux.md#control-groups).
"""

from typing import Any, Protocol

from wharf.kernel.cgroup.v1 import CgroupV1
from wharf.kernel.cgroup.v2 import CgroupV2


class Cgroup(Protocol):
    """One container's cgroup. Every method raises OSError naming the file."""

    path: str

    def create(self, resources: dict[str, Any]) -> None:
        """Make the directories (idempotent) and write the limits."""
        ...

    def limit(self, resources: dict[str, Any]) -> None:
        """Write the limits that `resources` names; others stay."""
        ...

    def join_fds(self) -> list[int]:
        """Descriptors for `join`, opened while the host's /sys is in sight."""
        ...

    def join_fds_beside(self, pid: int) -> list[int]:
        """The same for where `pid` is now, in this cgroup or below it."""
        ...

    def mount_points(self) -> dict[str, str]:
        """Controller ("" for v2) -> directory of this cgroup on the host."""
        ...

    def freeze(self, frozen: bool) -> None:
        """Freeze or thaw every process, and wait until it is so."""
        ...

    def frozen(self) -> bool:
        """Whether it is frozen now."""
        ...

    def kill(self) -> None:
        """SIGKILL to every process, until none is left (bounded). Refused for the root of the hierarchy."""
        ...

    def pids(self) -> list[int]:
        """The processes in it."""
        ...

    def oom_kills(self) -> int:
        """How many processes the kernel killed here for want of memory."""
        ...

    def oom_events(self) -> int:
        """A descriptor that polls as changed at each OOM kill, for a cgroup that may be gone at the end; else -1."""
        ...

    def stats(self) -> dict[str, Any]:
        """Usage: cpu, memory, pids, blkio; numbers in the units of the files. `world`: a value of `CgroupWorld`."""
        ...

    def remove(self) -> None:
        """Remove the directories; missing ones are fine. Refused for the root of the hierarchy."""
        ...


def open_cgroup(mounts: dict[str, str], path: str, scope: bool | None = None) -> Cgroup:
    """The cgroup at `path` ("/wharf/<id>"); `mounts` is `Host.cgroup_mounts`, the key "" meaning v2; `scope` as for
    CgroupV2."""
    if set(mounts) == {""}:
        return CgroupV2(mounts[""], path, scope)
    return CgroupV1({name: root for name, root in mounts.items() if name}, path)
