"""What the host can do: one value, probed once (by `kernel.probe`), switched off feature by feature in tests."""

from dataclasses import dataclass, field
from enum import Enum


class CgroupWorld(Enum):
    """V1: one hierarchy per controller (hybrid counts here); V2: the unified hierarchy alone."""

    V1 = "1"
    V2 = "2"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Host:
    """Capabilities are numbers of capability.h; paths are absolute; flags say that the feature works here."""

    kernel_release: str
    machine: str
    boot_id: str
    capabilities: frozenset[int]
    last_capability: int
    cgroup_world: CgroupWorld
    cgroup_mounts: dict[str, str] = field(default_factory=dict)
    """Controller name (v1) or "" (v2) -> mount point, or the delegated subtree beneath it."""
    cgroup_driver: str = "cgroupfs"
    systemd_scopes: bool = False
    """systemd is init and rules the whole of a pure v2 hierarchy."""
    new_mount_api: bool = True
    """fsopen(2) and its kin, for starts; without it (a sandbox forbids it: Linux has it since 5.2) copies fail."""
    overlay_lowerdir_append: bool = True
    idmapped_mounts: bool = True
    idmapped_overlay: bool = True
    """Overlayfs takes idmapped layers."""
    mknod: bool = True
    xattr_prefix: str = "trusted."
    seccomp: bool = True
    apparmor: bool = False
    selinux: bool = False
    ipv6: bool = True
    recursive_readonly: bool = True
