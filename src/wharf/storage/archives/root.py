"""The root of a container as a descriptor, for a worker: a running one's own mount, or a fresh one of its files.

Nothing here changes the worker's root: after a chroot an import would load the container's code. Every path is walked
by openat2(2) with the descriptor as root instead.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import Any

from wharf.errors import Internal
from wharf.kernel import mounts, namespaces, paths
from wharf.kernel.beneath import make_directory, make_file
from wharf.kernel.overlay_trees import overlay_tree

_MAX_LINKS = 255
_MISSING = (errno.ENOENT, errno.ENOTDIR)


def open_root(args: dict[str, Any], fds: list[int]) -> int:
    """The root that `args` describe by `mounts`, its own first, made in a mount namespace of this process.

    With `userns`, fds[1] is the user namespace of a running container that has one of its own. When `running` is
    true, fds[0] is the mount namespace of a running container, and the root is its root mount
    itself: overlayfs refuses a second writable mount of one upper directory. What is mounted in the container beside
    its volumes (/proc, /dev, tmpfs) is not seen, as in Docker.
    """
    clone = _clone_root(fds[0]) if args.get("running") else None
    userns = fds[1] if args.get("userns") else -1
    namespaces.unshare(namespaces.CLONE_NEWNS)
    mounts.mount("none", "/", None, mounts.MS_REC | mounts.MS_PRIVATE)
    first, *others = args["mounts"]
    root = mount_root(first) if clone is None else _attach(clone, first)
    for mount in others:
        if mount["type"] == "bind":
            _bind(root, mount, userns)
        elif mount["type"] == "overlay":
            _attach_layers(root, mount, userns)
    if userns >= 0:
        _enter_user_namespace(userns)
    return root


def _enter_user_namespace(userns: int) -> None:
    """The clone shows the ids of the host: read and write them as those of the image, by the container's own map."""
    namespaces.setns(userns, namespaces.CLONE_NEWUSER)
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def _clone_root(namespace: int) -> int:
    """The root mount of another mount namespace, without what is mounted in it: a detached copy.

    setns(2) moves this process's root too; it is taken back at once, before anything could be imported from there.
    """
    own_root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    own = namespaces.open_namespace("mount")
    try:
        namespaces.setns(namespace, namespaces.CLONE_NEWNS)
        try:
            return mounts.open_tree("/", mounts.OPEN_TREE_CLONE | mounts.OPEN_TREE_CLOEXEC)
        finally:
            namespaces.setns(own, namespaces.CLONE_NEWNS)
            os.fchdir(own_root)
            os.chroot(".")
    finally:
        os.close(own)
        os.close(own_root)


def _attach(clone: int, mount: dict[str, Any]) -> int:
    """Upon the directory that the container's own mount has as its upper; nobody else sees this namespace."""
    overlay = mount.get("overlay")
    mounts.move_mount(clone, overlay["upper"] if overlay else mount["source"])
    return clone


def mount_root(mount: dict[str, Any]) -> int:
    """A descriptor of a snapshot's root, mounted upon one of its own directories: nobody else sees this namespace."""
    overlay = mount.get("overlay")
    if overlay is None:
        target = mount["source"]
        mounts.mount(target, target, None, mounts.MS_BIND | mounts.MS_REC)
    else:
        lower, upper = overlay["lower"], overlay.get("upper", "")
        target = upper or lower[0]
        rest = (overlay.get("work", ""), target, overlay.get("options", ()))
        try:
            mounts.overlay(lower, upper, *rest, append=True)
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.EINVAL):
                raise
            mounts.overlay(lower, upper, *rest, append=False)
    return os.open(target, paths.DIRECTORY)


def _bind(root: int, mount: dict[str, Any], userns: int = -1) -> None:
    """A volume or bind mount where the container has it; its place is made if need be, as at the start."""
    source, target, place = mount["source"], mount["target"], -1
    subdir = next((word for word in mount.get("options", ()) if word.startswith(mounts.SUBDIR)), "")
    tree = mounts.clone_tree(source, subdir.removeprefix(mounts.SUBDIR), recursive=True)
    try:
        place = _place_for(tree, root, source, target)
        if userns >= 0 and "idmap" in mount.get("options", ()):
            mounts.set_id_map(tree, userns)
        if "ro" in mount.get("options", ()):
            mounts.set_read_only(f"/proc/self/fd/{tree}", recursive=True)
        mounts.move_mount_to(tree, place)
    finally:
        os.close(tree)
        if place >= 0:
            os.close(place)


def _place_for(tree: int, root: int, source: str, target: str) -> int:
    """A descriptor of the mount point, made if need be; raises Internal."""
    try:
        is_directory = stat.S_ISDIR(os.stat(tree).st_mode)
        return make_directory(root, target) if is_directory else make_file(root, target)
    except OSError as error:
        raise Internal(f"cannot mount {source} at {target}: {os.strerror(error.errno or 0)}") from None


def _attach_layers(root: int, mount: dict[str, Any], userns: int) -> None:
    """An image mount where the container has it."""
    layers = mount["overlay"]
    subdir = next((word for word in mount.get("options", ()) if word.startswith(mounts.SUBDIR)), "")
    scratch = layers["lower"][0]
    tree = overlay_tree(layers, scratch, subdir.removeprefix(mounts.SUBDIR), userns)
    try:
        place = _place_for(tree, root, mount["source"], mount["target"])
        try:
            mounts.move_mount_to(tree, place)
        finally:
            os.close(place)
    finally:
        os.close(tree)


def follow(root: int, path: bytes) -> bytes:
    """`path` with every symbolic link in it resolved inside the root, as far as it exists; starts with a slash."""
    done: list[bytes] = []
    todo = [part for part in reversed(path.split(b"/")) if part]
    links = 0
    while todo:
        part = todo.pop()
        if part == b".":
            continue
        if part == b"..":
            done[-1:] = []
            continue
        target = _link_target(root, b"/".join([*done, part]))
        if target is None:
            done.append(part)
            continue
        links += 1
        if links > _MAX_LINKS:
            raise Internal(f"{os.fsdecode(path)}: too many levels of symbolic links")
        if target.startswith(b"/"):
            done.clear()
        todo += [part for part in reversed(target.split(b"/")) if part]
    return b"/" + b"/".join(done)


def _link_target(root: int, path: bytes) -> bytes | None:
    try:
        with opened(root, path, os.O_PATH | os.O_NOFOLLOW) as fd:
            if not stat.S_ISLNK(os.fstat(fd).st_mode):
                return None
            return os.readlink(b"", dir_fd=fd)
    except OSError as error:
        if error.errno in _MISSING:
            return None
        raise


@contextlib.contextmanager
def opened(root: int, path: bytes, flags: int) -> Iterator[int]:
    """A descriptor of `path` in the root, closed at the end."""
    fd = paths.open_in_root(root, path, flags)
    try:
        yield fd
    finally:
        os.close(fd)
