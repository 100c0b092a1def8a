"""The root of a container: the plan of mounts becomes mounts, inside a mount namespace of its own.

Runs in the first process, before pivot_root: sources are host paths, targets are walked inside the new root only.
"""

import errno
import os
import stat
from collections.abc import Mapping
from typing import Any

from wharf.kernel import mounts as mnt
from wharf.kernel.beneath import make_directory, make_file
from wharf.kernel.mount_words import PROPAGATION, flag_names
from wharf.kernel.paths import open_in_root
from wharf.runtime.binds import attach, bind, bind_by_path, fd_path, mount_layers, remount
from wharf.runtime.copy_up import copy_up
from wharf.runtime.mount_options import MountFailed, Options


def enter_private_tree(propagation: str) -> None:
    """Nothing mounted from here on reaches the host; with slave propagation host mounts still come in."""
    flags = PROPAGATION.get(propagation or "rslave", mnt.MS_SLAVE | mnt.MS_REC)
    if flags & (mnt.MS_SHARED | mnt.MS_UNBINDABLE):
        flags = mnt.MS_SLAVE | mnt.MS_REC
    mnt.mount("none", "/", None, flags)


def mount_root(rootfs: dict[str, Any], target: str, append: bool) -> None:
    """Mount the root file system (a `wharf.spec.mount.Mount` as a dictionary) at `target`."""
    overlay = rootfs.get("overlay")
    if overlay:
        mnt.overlay(overlay["lower"], overlay["upper"], overlay["work"], target, overlay["options"], append)
    else:
        mnt.mount(rootfs["source"], target, None, mnt.MS_BIND | mnt.MS_REC)
        if "ro" in rootfs.get("options", ()):
            mnt.mount("none", target, None, mnt.MS_BIND | mnt.MS_REMOUNT | mnt.MS_RDONLY)
    # pivot_root refuses a shared mount; one that follows the host's (rootfsPropagation) goes on to.
    mnt.mount("none", target, None, mnt.MS_SLAVE)


def mount_all(
    root: int,
    plan: list[dict[str, Any]],
    cgroup_points: dict[str, str],
    own_cgroupns: bool,
    trees: dict[int, int] | None,
    images: Mapping[str, dict[str, Any]],
) -> None:
    """Carry out `spec.mounts` in order below the directory `root`. Raises MountFailed.

    `trees`: index -> bind that is cloned already; None where the kernel has no open_tree(2). `images`: sources that
    are the layers of images.
    """
    for index, item in enumerate(plan):
        kind, target = item.get("type") or "bind", item["destination"]
        options = Options(list(item.get("options") or ()))
        if options.flags & mnt.MS_BIND:
            kind = "bind"
        try:
            if kind == "bind" and trees is None and item["source"] in images:
                mount_layers(root, item, images[item["source"]], options)
            elif kind == "bind":
                _bind(root, item, options, trees, index)
            elif kind == "cgroup":
                _cgroup(root, target, options, cgroup_points, own_cgroupns, trees is not None)
            else:
                _file_system(root, kind, item.get("source") or kind, target, options)
        except OSError as error:
            if kind == "bind" and error.errno == errno.ENOTDIR:
                raise MountFailed(_wrong_kind(item["source"], target)) from None
            what = f'error mounting "{item.get("source") or kind}" to rootfs at "{target}": '
            raise MountFailed(what + f"{_step(error, target)}: {os.strerror(error.errno or 0).lower()}") from None


def _bind(root: int, item: dict[str, Any], options: Options, trees: dict[int, int] | None, index: int) -> None:
    if trees is None:
        bind_by_path(root, item, options)
    else:
        bind(root, item, options, trees.get(index, -1))


def _wrong_kind(source: str, target: str) -> str:
    return (
        f'error mounting "{source}" to rootfs at "{target}": mount src={source}, dst={target}, '
        "flags=MS_BIND|MS_REC: not a directory: Are you trying to mount a directory onto a file (or vice-versa)? "
        "Check if the specified host path exists and is the expected type"
    )


def _step(error: OSError, target: str) -> str:
    """Our system calls name themselves; what Python made itself was the mount point."""
    step, colon, _ = str(error.strerror or "").rpartition(": ")
    return step if colon else f'create mountpoint for {target} mount: make mountpoint "{target}"'


def _file_system(root: int, kind: str, source: str, target: str, options: Options) -> None:
    mode = _mode_there(root, target) if kind == "tmpfs" else None
    directory = make_directory(root, target)
    try:
        data = options.data
        if mode is not None:  # a tmpfs over an existing directory keeps its mode, as runc does it
            data = f"mode={mode:o},{data}".rstrip(",")
        flags = options.flags & ~mnt.MS_RDONLY if kind == "tmpfs" else options.flags
        try:
            mnt.mount(source, fd_path(directory), kind, flags, data)
        except OSError as error:
            raise MountFailed(_refused(source, target, flags, data, error)) from None
        if options.copy_up:
            _copy_up(root, target, directory)
    finally:
        os.close(directory)
    if flags == options.flags and not options.propagation and not options.recursive:
        return
    mounted = open_in_root(root, target)
    try:
        if flags != options.flags:
            mnt.mount("none", fd_path(mounted), None, mnt.MS_REMOUNT | mnt.MS_BIND | options.flags)
        if options.recursive:
            mnt.set_attributes(fd_path(mounted), *options.recursive, recursive=True)
        for flag in options.propagation:
            mnt.mount("none", fd_path(mounted), None, flag)
    finally:
        os.close(mounted)


def _copy_up(root: int, target: str, below: int) -> None:
    """Fill what was just mounted at `target` with what it lies over."""
    source = os.open(fd_path(below), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        mounted = open_in_root(root, target, os.O_RDONLY | os.O_DIRECTORY)
        try:
            copy_up(source, mounted)
        finally:
            os.close(mounted)
    finally:
        os.close(source)


def _mode_there(root: int, target: str) -> int | None:
    """Permissions of what is at the mount point, None when nothing is."""
    there = _open_existing(root, target)
    if there is None:
        return None
    try:
        return stat.S_IMODE(os.fstat(there).st_mode)
    finally:
        os.close(there)


def _refused(source: str, target: str, flags: int, data: str, error: OSError) -> str:
    what = f"mount src={source}, dst={target}"
    what += f", flags={flag_names(flags)}" if flags else ""
    what += f", data={data}" if data else ""
    return f'error mounting "{source}" to rootfs at "{target}": {what}: {os.strerror(error.errno or 0).lower()}'


def _cgroup(root: int, target: str, options: Options, points: dict[str, str], own_namespace: bool, trees: bool) -> None:
    """The container's view of its cgroup: v2 mounts it; v1 binds one directory for each controller into a tmpfs."""
    if set(points) == {""}:
        if own_namespace:
            _file_system(root, "cgroup2", "cgroup", target, options)
        else:
            options.flags |= mnt.MS_BIND
            _bind_directory(root, points[""], target, options, trees)
        return
    tmpfs = Options(["nosuid", "noexec", "nodev", "mode=755"])
    _file_system(root, "tmpfs", "tmpfs", target, tmpfs)
    here = open_in_root(root, target)
    try:
        for name, directory in points.items():
            folder = name.removeprefix("name=")
            if own_namespace:
                data = name if name.startswith("name=") else folder
                _file_system(root, "cgroup", "cgroup", f"{target}/{folder}", Options([*options.words(), data]))
            elif trees:
                _bind_hierarchy(here, folder, directory, Options(options.words()))
            else:
                plain = Options(options.words())
                plain.flags |= mnt.MS_BIND
                _bind_directory(root, directory, f"{target}/{folder}", plain, trees)
        if options.flags & mnt.MS_RDONLY:
            remount(fd_path(here), tmpfs.flags | mnt.MS_RDONLY, 0)
    finally:
        os.close(here)


def _bind_hierarchy(here: int, folder: str, directory: str, options: Options) -> None:
    """In the tmpfs `here`, which was mounted a moment ago: nothing of the image's is in there, so a name in it is no
    path to be walked from the root. With some ten hierarchies that walk was a quarter of a first process's work."""
    os.mkdir(folder, 0o755, dir_fd=here)
    place = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
    try:
        tree = mnt.clone_tree(directory)
        try:
            attach(tree, place, options)
        finally:
            os.close(tree)
    finally:
        os.close(place)


def _bind_directory(root: int, source: str, target: str, options: Options, trees: bool) -> None:
    _bind(root, {"source": source, "destination": target}, options, {} if trees else None, 0)


def bind_console(root: int, slave: int) -> None:
    """Lay the terminal over /dev/console."""
    place = make_file(root, "/dev/console")
    try:
        mnt.mount(fd_path(slave), fd_path(place), None, mnt.MS_BIND)
    finally:
        os.close(place)


def pivot(root: int) -> None:
    """Make `root` the root of this mount namespace and drop the old one (pivot_root(2), the "." trick)."""
    old = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    os.fchdir(root)
    mnt.pivot_root(".", ".")
    # The old root now lies over the new one: keep its unmount from reaching the host, then let go of it.
    # "." must be the old root here: from the new one it would make slaves of the container's shared mounts.
    os.fchdir(old)
    mnt.mount("", ".", None, mnt.MS_SLAVE | mnt.MS_REC)
    mnt.umount(".", mnt.MNT_DETACH)
    os.close(old)
    os.chdir("/")


def set_root_read_only() -> None:
    """Remount "/" read-only, keeping its other flags."""
    remount("/", mnt.MS_RDONLY, 0)


def mask(root: int, paths: list[str]) -> None:
    """Hide files behind the null device and directories behind an empty read-only tmpfs; missing ones are fine."""
    if not paths:
        return
    null = open_in_root(root, "/dev/null")
    try:
        if os.fstat(null).st_rdev != os.makedev(1, 3):
            raise MountFailed("/dev/null of the container is not the null device, so nothing can be masked with it")
        for path in paths:
            target = _open_existing(root, path)
            if target is None:
                continue
            try:
                if stat.S_ISDIR(os.fstat(target).st_mode):
                    mnt.mount("tmpfs", fd_path(target), "tmpfs", mnt.MS_RDONLY, "")
                else:
                    mnt.mount(fd_path(null), fd_path(target), None, mnt.MS_BIND)
            finally:
                os.close(target)
    finally:
        os.close(null)


def make_read_only(root: int, paths: list[str]) -> None:
    """Bind paths onto themselves read-only; missing ones are fine."""
    for path in paths:
        target = _open_existing(root, path)
        if target is None:
            continue
        try:
            mnt.mount(fd_path(target), fd_path(target), None, mnt.MS_BIND | mnt.MS_REC)
        finally:
            os.close(target)
        bound = open_in_root(root, path)
        try:
            remount(fd_path(bound), mnt.MS_RDONLY, 0)
        finally:
            os.close(bound)


def _open_existing(root: int, path: str) -> int | None:
    try:
        return open_in_root(root, path)
    except (FileNotFoundError, NotADirectoryError):
        return None
