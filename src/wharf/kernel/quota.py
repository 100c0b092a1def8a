"""Project quotas of XFS: trees whose files count together against one limit (quotactl(2), xfs(5), ioctl_fsgetxattr(2)).

The calls name the file system by a descriptor of anything in it (quotactl_fd, Linux 5.14): no block device is needed.
"""

import ctypes
import errno
import fcntl
import os
import struct
from dataclasses import dataclass

from wharf.kernel.libc import SYS_QUOTACTL_FD, check, function, syscall

_XFS_MAGIC = 0x58465342
_PROJECTS = 2  # PRJQUOTA
_GET, _SET_LIMIT, _STATE = (ord("X") << 8 | number for number in (3, 4, 5))  # Q_XGETQUOTA, Q_XSETQLIM, Q_XGETQSTAT
_COUNTED_AND_ENFORCED = 1 << 4 | 1 << 5  # FS_QUOTA_PDQ_ACCT, FS_QUOTA_PDQ_ENFD
_DISK_QUOTA = "<bbHI6QiiHHbbbb3QiHH8s"  # struct fs_disk_quota of linux/dqblk_xfs.h
_BLOCK = 512
_SOFT_AND_HARD_BLOCKS = 1 << 2 | 1 << 3  # FS_DQ_BSOFT, FS_DQ_BHARD
_FSXATTR = struct.Struct("=IIIII8s")  # struct fsxattr of linux/fs.h
_FSGETXATTR, _FSSETXATTR = 0x801C581F, 0x401C5820
_INHERIT = 0x200  # FS_XFLAG_PROJINHERIT


@dataclass(frozen=True, slots=True)
class ProjectQuota:
    """Bytes; `limit` 0 is none. `files` counts inodes."""

    limit: int = 0
    used: int = 0
    files: int = 0


_fstatfs = function("fstatfs", ctypes.c_int, ctypes.c_void_p)


def _kind_of(fd: int) -> int:
    buffer = (ctypes.c_long * 32)()  # struct statfs begins with f_type
    check(_fstatfs(fd, ctypes.byref(buffer)), "fstatfs")
    return int(buffer[0])


def _quotactl(fd: int, command: int, project: int, data: bytes) -> bytes:
    buffer = ctypes.create_string_buffer(data, max(len(data), 128))
    result = syscall(
        SYS_QUOTACTL_FD, ctypes.c_uint(fd), ctypes.c_uint(command << 8 | _PROJECTS), ctypes.c_uint(project), buffer
    )
    check(result, f"quotactl of project {project}")
    return buffer.raw


def has_project_quotas(fd: int) -> bool:
    """Whether `fd` lies on an XFS that counts and enforces them, and this process may set them."""
    try:
        if _kind_of(fd) != _XFS_MAGIC:
            return False
        flags = struct.unpack_from("<xxH", _quotactl(fd, _STATE, 0, b""))[0]
    except OSError:
        return False
    return bool(flags & _COUNTED_AND_ENFORCED == _COUNTED_AND_ENFORCED)


def quota_of(fd: int, project: int) -> ProjectQuota:
    """What is set and used; zeroes for a project that nobody has used."""
    try:
        data = _quotactl(fd, _GET, project, b"")
    except OSError as error:
        if error.errno == errno.ENOENT:
            return ProjectQuota()
        raise
    values = struct.unpack_from(_DISK_QUOTA, data)
    return ProjectQuota(limit=values[4] * _BLOCK, used=values[8] * _BLOCK, files=values[9])


def limit_project(fd: int, project: int, limit: int) -> None:
    """Set the limit in bytes, rounded down to blocks of 512; 0 takes it away."""
    blocks = limit // _BLOCK
    head = struct.pack("<bbHI2Q", 1, _PROJECTS, _SOFT_AND_HARD_BLOCKS, project, blocks, blocks)
    _quotactl(fd, _SET_LIMIT, project, head.ljust(struct.calcsize(_DISK_QUOTA), b"\0"))


def project_of(fd: int) -> int:
    """The project that a file or directory counts for."""
    return int(_FSXATTR.unpack(fcntl.ioctl(fd, _FSGETXATTR, bytes(_FSXATTR.size)))[3])


def set_project(path: str, project: int) -> None:
    """Let a directory count for it, and all that will be made beneath."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        flags, *between, _, cow, rest = _FSXATTR.unpack(fcntl.ioctl(fd, _FSGETXATTR, bytes(_FSXATTR.size)))
        fcntl.ioctl(fd, _FSSETXATTR, _FSXATTR.pack(flags | _INHERIT, *between, project, cow, rest))
    finally:
        os.close(fd)
