"""Where in a v2 hierarchy an engine may make cgroups: at the root in sight, or in the subtree delegated to it.

    root writable                      -> the root; Docker's place, and systemd's
    else own cgroup writable           -> own cgroup (Delegate=yes, a container's, a user's)
    neither                            -> the root: creating says what is refused

A cgroup that hands controllers down holds no process itself, except for the true root; so whoever is in the chosen
one moves into a leaf.
"""

import os

from wharf.kernel.cgroup import files

LEAF = "/wharfd"


def v2_top(mount: str, own: str | None = None) -> str:
    """The directory below which cgroups are made; `own`: this process's path (/proc/self/cgroup)."""
    if _writable(mount):
        return mount
    if own is None:
        own = own_path()
    top = mount + own.removesuffix(LEAF).rstrip("/")
    # A path that leads out of sight belongs to another cgroup namespace.
    return top if "/../" not in top + "/" and _writable(top) else mount


def own_path() -> str:
    """The v2 path of this process, as its cgroup namespace shows it."""
    lines = files.read("/proc/self/cgroup").splitlines()
    return next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "/")


def _writable(directory: str) -> bool:
    # What is delegated: the directory and these two files (cgroup-v2.rst, "Model of Delegation").
    names = ("", "/cgroup.procs", "/cgroup.subtree_control")
    return all(os.access(directory + name, os.W_OK) for name in names)


def empty_top(top: str) -> None:
    """Move the processes of `top` into its leaf; the true root, which has no cgroup.type, may keep its own."""
    if not os.path.exists(f"{top}/cgroup.type") or files.read(f"{top}/cgroup.subtree_control").strip():
        return
    pids = files.read(f"{top}/cgroup.procs").split()
    if not pids:
        return
    try:
        os.mkdir(top + LEAF, 0o755)
    except FileExistsError:
        pass
    for pid in pids:
        try:
            files.write(f"{top}{LEAF}/cgroup.procs", pid)
        except ProcessLookupError:
            continue
