"""`spec` writes a config.json to start from, `features` says what there is (features.md)."""

from typing import Any

from wharf.kernel.caps import NAMES
from wharf.kernel.namespaces import FLAG_OF_TYPE
from wharf.kernel.seccomp import FLAGS
from wharf.kernel.seccomp_compiler import ACTIONS, COMPARISONS
from wharf.runtime.mount_options import known_options
from wharf.runtime.oci.hooks import POINTS

OCI_VERSION = "1.2.1"
_PLAIN = ["nosuid", "noexec", "nodev"]
_ARCHITECTURES = ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_RISCV64", "SCMP_ARCH_X32", "SCMP_ARCH_X86"]


def features() -> dict[str, Any]:
    """The document of features.md."""
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": OCI_VERSION,
        "hooks": list(POINTS),
        "mountOptions": known_options(),
        "linux": {
            "namespaces": sorted([*FLAG_OF_TYPE, "time"]),
            "capabilities": list(NAMES),
            "cgroup": {"v1": True, "v2": True, "systemd": True, "systemdUser": False, "rdma": True},
            "seccomp": {
                "enabled": True,
                "actions": sorted(ACTIONS),
                "operators": sorted(COMPARISONS),
                "archs": [*_ARCHITECTURES, "SCMP_ARCH_X86_64"],
                "knownFlags": sorted(FLAGS),
                "supportedFlags": sorted(FLAGS),
            },
            "apparmor": {"enabled": True},
            "selinux": {"enabled": True},
            "intelRdt": {"enabled": False},
            "mountExtensions": {"idmap": {"enabled": True}},
        },
    }


def example() -> dict[str, Any]:
    """A container that runs a shell in `rootfs` with little of anything."""
    caps = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
    return {
        "ociVersion": OCI_VERSION,
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {"bounding": caps, "effective": caps, "permitted": caps},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "wharf",
        "mounts": _mounts(),
        "linux": {
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")],
            "maskedPaths": [
                *("/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats"),
                *("/proc/timer_list", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"),
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    }


def _mounts() -> list[dict[str, Any]]:
    pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
    rows: list[tuple[str, str, str, list[str]]] = [
        ("/proc", "proc", "proc", []),
        ("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        ("/dev/pts", "devpts", "devpts", pts),
        ("/dev/shm", "tmpfs", "shm", [*_PLAIN, "mode=1777", "size=65536k"]),
        ("/dev/mqueue", "mqueue", "mqueue", _PLAIN),
        ("/sys", "sysfs", "sysfs", [*_PLAIN, "ro"]),
        ("/sys/fs/cgroup", "cgroup", "cgroup", [*_PLAIN, "relatime", "ro"]),
    ]
    return [
        {"destination": target, "type": kind, "source": source, **({"options": list(words)} if words else {})}
        for target, kind, source, words in rows
    ]
