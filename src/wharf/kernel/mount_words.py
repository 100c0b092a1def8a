"""The words of mount(8) for flags and propagation, as numbers of mount(2) and mount_setattr(2)."""

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
    "mand": mnt.MS_MANDLOCK,
    "nosymfollow": mnt.MS_NOSYMFOLLOW,
    "iversion": mnt.MS_I_VERSION,
    "lazytime": mnt.MS_LAZYTIME,
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
    "nomand": mnt.MS_MANDLOCK,
    "symfollow": mnt.MS_NOSYMFOLLOW,
    "noiversion": mnt.MS_I_VERSION,
    "nolazytime": mnt.MS_LAZYTIME,
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
_ATIME = mnt.MOUNT_ATTR_ATIME
RECURSIVE = {
    "rro": (mnt.MOUNT_ATTR_RDONLY, 0),
    "rrw": (0, mnt.MOUNT_ATTR_RDONLY),
    "rnosuid": (mnt.MOUNT_ATTR_NOSUID, 0),
    "rsuid": (0, mnt.MOUNT_ATTR_NOSUID),
    "rnodev": (mnt.MOUNT_ATTR_NODEV, 0),
    "rdev": (0, mnt.MOUNT_ATTR_NODEV),
    "rnoexec": (mnt.MOUNT_ATTR_NOEXEC, 0),
    "rexec": (0, mnt.MOUNT_ATTR_NOEXEC),
    "rnodiratime": (mnt.MOUNT_ATTR_NODIRATIME, 0),
    "rdiratime": (0, mnt.MOUNT_ATTR_NODIRATIME),
    "rrelatime": (mnt.MOUNT_ATTR_RELATIME, _ATIME),
    "rnorelatime": (0, _ATIME),
    "rnoatime": (mnt.MOUNT_ATTR_NOATIME, _ATIME),
    "ratime": (0, _ATIME),
    "rstrictatime": (mnt.MOUNT_ATTR_STRICTATIME, _ATIME),
    "rnostrictatime": (0, _ATIME),
    "rnosymfollow": (mnt.MOUNT_ATTR_NOSYMFOLLOW, 0),
    "rsymfollow": (0, mnt.MOUNT_ATTR_NOSYMFOLLOW),
}
"""Words for a mount and all below it (mount_setattr(2)): what is set, and what is cleared; of the three kinds of atime
only the whole field can be."""
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
    mnt.MS_MANDLOCK: "MANDLOCK",
    mnt.MS_NOSYMFOLLOW: "NOSYMFOLLOW",
    mnt.MS_I_VERSION: "I_VERSION",
    mnt.MS_LAZYTIME: "LAZYTIME",
}


def flag_names(flags: int) -> str:
    """`MS_NOSUID|MS_NODEV`: the flags of a mount as errors name them, lowest bit first."""
    return "|".join(f"MS_{name}" for flag, name in sorted(_NAMES.items()) if flags & flag)
