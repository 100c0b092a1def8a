"""What this host can do, asked of the kernel once: `probe()` gives the `Host` that everything else reads."""

import ctypes
import os

from wharf.kernel import caps, process
from wharf.kernel.cgroup.place import v2_top
from wharf.kernel.libc import SYS_FSOPEN, SYS_MOUNT_SETATTR, syscall
from wharf.spec.host import CgroupWorld, Host


def cgroup_mounts(mountinfo: str | None = None) -> tuple[CgroupWorld, dict[str, str]]:
    """The hierarchies in sight (proc(5), mountinfo): v1 wins where any controller is on it (hybrid)."""
    if mountinfo is None:
        with open("/proc/self/mountinfo") as file:
            mountinfo = file.read()
    v1: dict[str, str] = {}
    v2 = ""
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        point = fields.split()[4]
        kind, _, options = rest.split(" ", 2)
        if kind == "cgroup2":
            v2 = v2 or point
        elif kind == "cgroup":
            known = [word for word in options.split(",") if word not in ("rw", "ro") and not word.startswith("release")]
            for name in known:
                if name.startswith("name=") or os.path.exists(f"{point}/cgroup.procs"):
                    v1.setdefault(name, point)
    controllers = {name: point for name, point in v1.items() if name not in ("xattr", "clone_children", "noprefix")}
    if any(not name.startswith("name=") for name in controllers):
        return CgroupWorld.V1, controllers
    return (CgroupWorld.V2, {"": v2}) if v2 else (CgroupWorld.NONE, {})


def _systemd_scopes(world: CgroupWorld, mounts: dict[str, str]) -> bool:
    """Whether to ask systemd for cgroups: it is init (sd_booted(3)), and of v2 alone the true root is in sight."""
    if world is not CgroupWorld.V2 or not os.path.isdir("/run/systemd/system"):
        return False
    root = mounts[""]
    return v2_top(root) == root and not os.path.exists(f"{root}/cgroup.type")


def _initial_user_namespace() -> bool:
    with open("/proc/self/uid_map") as file:
        return file.read().split() == ["0", "0", "4294967295"]


def _has(number: int, *arguments: object) -> bool:
    """Whether a system call exists: it must fail for another reason than ENOSYS."""
    result = syscall(number, *arguments)
    if result >= 0:
        os.close(result)
        return True
    return ctypes.get_errno() != 38


def probe() -> Host:
    """Ask the kernel; takes about a millisecond."""
    uname = os.uname()
    held, last = caps.held(), caps.last()
    world, mounts = cgroup_mounts()
    scopes = _systemd_scopes(world, mounts)
    if world is CgroupWorld.V2:
        mounts = {"": v2_top(mounts[""])}
    release = tuple(int(part) for part in uname.release.split("-")[0].split(".")[:2] if part.isdigit())
    new_mount = _has(SYS_FSOPEN, ctypes.c_char_p(b"overlay"), ctypes.c_uint(1))
    setattr_ = _has(SYS_MOUNT_SETATTR, ctypes.c_int(-1), None, ctypes.c_uint(0), None, ctypes.c_size_t(0))
    initial = _initial_user_namespace()
    return Host(
        kernel_release=uname.release,
        machine=uname.machine,
        boot_id=process.boot_id(),
        capabilities=frozenset(number for number in range(last + 1) if held >> number & 1),
        last_capability=last,
        cgroup_world=world,
        cgroup_mounts=mounts,
        cgroup_driver="systemd" if scopes else "cgroupfs",
        systemd_scopes=scopes,
        new_mount_api=new_mount,
        overlay_lowerdir_append=new_mount and release >= (6, 8),
        idmapped_mounts=setattr_,
        idmapped_overlay=setattr_ and new_mount and release >= (5, 19),
        mknod=initial and bool(held >> caps.NUMBERS["CAP_MKNOD"] & 1),
        xattr_prefix="trusted." if initial else "user.",
        seccomp=os.path.exists("/proc/sys/kernel/seccomp/actions_avail"),
        apparmor=os.path.isdir("/sys/kernel/security/apparmor"),
        selinux=os.path.isdir("/sys/fs/selinux"),
        ipv6=os.path.exists("/proc/net/if_inet6"),
        recursive_readonly=setattr_,
    )
