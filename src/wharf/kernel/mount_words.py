"""The words of mount(8) for flags and propagation, as numbers of mount(2)."""

from wharf.kernel import mounts as mnt

FLAGS = {
    "ro": mnt.MS_RDONLY,
    "nosuid": mnt.MS_NOSUID,
    "nodev": mnt.MS_NODEV,
    "noexec": mnt.MS_NOEXEC,
    "sync": mnt.MS_SYNCHRONOUS,
    "dirsync": mnt.MS_DIRSYNC,
    "remount": mnt.MS_REMOUNT,
    "noatime": mnt.MS_NOATIME,
    "nodiratime": mnt.MS_NODIRATIME,
    "bind": mnt.MS_BIND,
    "rbind": mnt.MS_BIND | mnt.MS_REC,
    "relatime": mnt.MS_RELATIME,
    "strictatime": mnt.MS_STRICTATIME,
    "silent": mnt.MS_SILENT,
}
CLEARED = {
    "rw": mnt.MS_RDONLY,
    "suid": mnt.MS_NOSUID,
    "dev": mnt.MS_NODEV,
    "exec": mnt.MS_NOEXEC,
    "async": mnt.MS_SYNCHRONOUS,
    "atime": mnt.MS_NOATIME,
    "diratime": mnt.MS_NODIRATIME,
    "norelatime": mnt.MS_RELATIME,
    "nostrictatime": mnt.MS_STRICTATIME,
    "loud": mnt.MS_SILENT,
    "defaults": 0,
}
PROPAGATION = {
    "private": mnt.MS_PRIVATE,
    "rprivate": mnt.MS_PRIVATE | mnt.MS_REC,
    "slave": mnt.MS_SLAVE,
    "rslave": mnt.MS_SLAVE | mnt.MS_REC,
    "shared": mnt.MS_SHARED,
    "rshared": mnt.MS_SHARED | mnt.MS_REC,
    "unbindable": mnt.MS_UNBINDABLE,
    "runbindable": mnt.MS_UNBINDABLE | mnt.MS_REC,
}
_NAMES = {
    mnt.MS_RDONLY: "RDONLY",
    mnt.MS_NOSUID: "NOSUID",
    mnt.MS_NODEV: "NODEV",
    mnt.MS_NOEXEC: "NOEXEC",
    mnt.MS_SYNCHRONOUS: "SYNCHRONOUS",
    mnt.MS_REMOUNT: "REMOUNT",
    mnt.MS_DIRSYNC: "DIRSYNC",
    mnt.MS_NOATIME: "NOATIME",
    mnt.MS_NODIRATIME: "NODIRATIME",
    mnt.MS_BIND: "BIND",
    mnt.MS_MOVE: "MOVE",
    mnt.MS_REC: "REC",
    mnt.MS_SILENT: "SILENT",
    mnt.MS_RELATIME: "RELATIME",
    mnt.MS_STRICTATIME: "STRICTATIME",
}


def flag_names(flags: int) -> str:
    """`MS_NOSUID|MS_NODEV`: the flags of a mount as errors name them, lowest bit first."""
    return "|".join(f"MS_{name}" for flag, name in sorted(_NAMES.items()) if flags & flag)
