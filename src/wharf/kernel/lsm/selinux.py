"""SELinux: labels of containers and of what they mount (selinux(8), lxc_contexts(5), container_selinux(8)).

Glossary: a *label* is `user:role:type[:level]`; the level of two containers differs in its categories (MCS), so that
one may not touch the other's files. The *process* label is put on at execve, the *mount* label on files.
"""

import errno
import os
import secrets
from collections.abc import Container
from dataclasses import dataclass, replace

XATTR = "security.selinux"
CATEGORIES = 1024
SHARED_LEVEL = "s0"
PRIVILEGED_LEVEL = "s0:c1022,c1023"
"""Of the files of containers whose processes are not labelled."""
CONTEXT_FILES = ("/usr/share/containers/selinux/contexts", "/etc/selinux/{policy}/contexts/lxc_contexts")
CONFIG = "/etc/selinux/config"
MAX_FILE = 1 << 20
_KEEP = """
    / /bin /boot /dev /etc /etc/passwd /etc/pki /etc/shadow /home /lib /lib64 /media /opt /proc /root /run /sbin /srv
    /sys /tmp /usr /var /var/lib /var/log
"""
KEEP = frozenset(_KEEP.split())
"""What holds the host's system together and keeps its labels."""


@dataclass(frozen=True, slots=True)
class Label:
    """`user:role:type[:level]`."""

    user: str
    role: str
    type: str
    level: str = ""

    @classmethod
    def parse(cls, text: str) -> "Label":
        """Raises ValueError for what has fewer than three parts."""
        parts = text.split(":", 3)
        if len(parts) < 3:
            raise ValueError(f"invalid label: {text[:200]!r}")
        return cls(*parts)

    def __str__(self) -> str:
        return ":".join(part for part in (self.user, self.role, self.type, self.level) if part)


def policy_labels(root: str = "") -> tuple[str, str]:
    """The policy's labels for the processes and files of containers; "" where it has none. `root` is for tests."""
    policy = _values(f"{root}{CONFIG}").get("SELINUXTYPE", "targeted")
    for name in CONTEXT_FILES:
        path = f"{root}{name.format(policy=policy)}"
        if os.path.exists(path):
            values = _values(path)
            return values.get("process", ""), values.get("file", "")
    return "", ""


def _values(path: str) -> dict[str, str]:
    """`key = "value"` lines; {} for a file that is not there."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read(MAX_FILE).splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line and line.strip()[:1] not in ("#", ";"))
    return {key.strip(): value.strip().strip('"') for key, _, value in pairs}


def unique_level(taken: Container[str]) -> str:
    """Two categories that no other container has: `s0:c1,c2`."""
    while True:
        first, second = secrets.randbelow(CATEGORIES), secrets.randbelow(CATEGORIES)
        level = f"s0:c{min(first, second)},c{max(first, second)}"
        if first != second and level not in taken:
            return level


def at_level(label: str, level: str) -> str:
    """The label with another level; one without a level stays as it is."""
    parsed = Label.parse(label)
    return str(replace(parsed, level=level)) if parsed.level else label


def mount_option(label: str) -> list[str]:
    """The option that gives all files of a mount one label, as mount(2) reads it: categories have a comma."""
    return [f'context="{label}"'] if label else []


def relabel(path: str, label: str, shared: bool) -> None:
    """Give a file, or a directory and what is below it, a mount label; `shared`: without a container's categories.

    Raises PermissionError for a directory of the host's own, OSError naming the path.
    """
    path = os.path.normpath(path)
    if path in KEEP or path == os.path.expanduser("~"):
        raise PermissionError(errno.EACCES, f"SELinux relabeling of {path} is not allowed")
    value = str(replace(Label.parse(label), level=SHARED_LEVEL)) if shared else label
    try:
        _set(path, value)
        if os.path.isdir(path) and not os.path.islink(path):
            # By descriptors: what a container moves meanwhile leads nowhere else.
            for _, directories, files, fd in os.fwalk(path, follow_symlinks=False):
                for name in (*directories, *files):
                    _set(f"/proc/self/fd/{fd}/{name}", value)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:  # a file system without labels
            raise


def _set(path: str, label: str) -> None:
    try:
        os.setxattr(path, XATTR, label.encode() + b"\0", follow_symlinks=False)
    except FileNotFoundError:
        return
