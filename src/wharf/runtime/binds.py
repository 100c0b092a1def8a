"""Binds of the plan: what is bound as a detached tree, shown by a map of ids if that is asked for, and attached.

Where the kernel has no open_tree(2), a bind is made by mount(2) upon descriptors of both ends.
"""

import contextlib
import errno
import os
import stat
from typing import Any

from wharf.kernel import mounts as mnt
from wharf.kernel.beneath import make_directory, make_file
from wharf.kernel.idmap import user_namespace
from wharf.kernel.overlay_trees import overlay_tree
from wharf.kernel.paths import RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, open_in_root, openat2
from wharf.runtime.mount_options import MountFailed, Options

Mount = dict[str, Any]
_ST_NOSYMFOLLOW = 0x2000  # statfs(2), Linux 5.10
_LOCKED = (
    (os.ST_RDONLY, mnt.MS_RDONLY),
    (os.ST_NOSUID, mnt.MS_NOSUID),
    (os.ST_NODEV, mnt.MS_NODEV),
    (os.ST_NOEXEC, mnt.MS_NOEXEC),
    (os.ST_NOATIME, mnt.MS_NOATIME),
    (os.ST_NODIRATIME, mnt.MS_NODIRATIME),
    (os.ST_RELATIME, mnt.MS_RELATIME),
    (_ST_NOSYMFOLLOW, mnt.MS_NOSYMFOLLOW),
)


def fd_path(fd: int) -> str:
    """A path that leads to what the descriptor is of, and to nothing else."""
    return f"/proc/self/fd/{fd}"


def clone_shared(plan: list[Mount]) -> dict[int, int]:
    """Binds that share with the host, cloned while they still do: index -> tree. For before `enter_private_tree`.

    A clone joins the peer group of its source; one of a tree that is a slave already would only receive.
    """
    trees: dict[int, int] = {}
    for index, item in enumerate(plan):
        words = item.get("options") or ()
        if "shared" in words or "rshared" in words:
            options = Options(list(words))
            if options.flags & mnt.MS_BIND:
                with contextlib.suppress(OSError, MountFailed):  # said by `bind`, with source and target
                    trees[index] = clone(item, options)
    return trees


def image_trees(request: dict[str, Any], userns: int = -1) -> dict[int, int]:
    """Binds of images' layers as detached mounts: index -> tree. For a mount namespace that nobody else sees.

    `request` is a container's body: `images`, `spec.mounts`, `mount_point`, `overlay_append`. Raises OSError,
    MountFailed.
    """
    images, trees = request.get("images") or {}, dict[int, int]()
    for index, item in enumerate(request["spec"]["mounts"]):
        layers = images.get(item.get("source"))
        if layers is not None:
            trees[index] = _image_tree(request, item, layers, userns)
    return trees


def _image_tree(request: dict[str, Any], item: Mount, layers: dict[str, Any], userns: int) -> int:
    subdir = Options(list(item.get("options") or ())).subdir
    try:
        return overlay_tree(layers, request["mount_point"], subdir, userns, request["overlay_append"])
    except OSError as error:
        _refuse_subpath(item["source"], subdir, error)
        raise MountFailed(
            f'error mounting "{item["source"]}" to rootfs at "{item["destination"]}": {error.strerror}'
        ) from None


def mount_layers(root: int, item: Mount, layers: dict[str, Any], options: Options) -> None:
    """An image mount where the kernel has no open_tree(2): mounted in its place. Raises OSError, MountFailed."""
    target = item["destination"]
    if options.subdir:
        raise MountFailed(
            f'error mounting "{item["source"]}" to rootfs at "{target}": a part of an image needs open_tree(2): '
            "not implemented"
        )
    place = _place(root, target, True)
    try:
        mnt.overlay(layers["lower"], "", "", fd_path(place), layers["options"], append=False)
    finally:
        os.close(place)
    _finish_in(root, target, options)


def clone(item: Mount, options: Options, userns: int = -1) -> int:
    """The source of a bind as a detached tree, its ids mapped. Raises OSError, MountFailed."""
    tree = mnt.clone_tree(item["source"], options.subdir, bool(options.flags & mnt.MS_REC))
    try:
        map_ids(tree, item, options, userns)
    except BaseException:
        os.close(tree)
        raise
    return tree


def map_ids(tree: int, item: Mount, options: Options, userns: int = -1) -> None:
    """Show a tree by the mount's own maps, or by the container's user namespace. Raises OSError, MountFailed."""
    if not options.id_map:
        return
    maps = [item.get("uidMappings"), item.get("gidMappings")]
    recursive = options.id_map == "ridmap"
    if any(maps):
        own = user_namespace(*(_map_text(part or maps[0] or maps[1] or []) for part in maps))
        try:
            mnt.set_id_map(tree, own, recursive)
        finally:
            os.close(own)
    elif userns >= 0:
        mnt.set_id_map(tree, userns, recursive)
    else:
        raise MountFailed(
            f'error mounting "{item["source"]}" to rootfs at "{item["destination"]}": {options.id_map} needs maps of '
            "its own where the container has no user namespace"
        )


def _map_text(maps: list[dict[str, int]]) -> str:
    """Ids in the file system -> ids that are shown, as the kernel reads it."""
    return "".join(f"{part['containerID']} {part['hostID']} {part['size']}\n" for part in maps)


def bind(root: int, item: Mount, options: Options, tree: int = -1) -> None:
    """Bind by a detached tree: `tree` if it is there already, its ids mapped, else a new one."""
    target = item["destination"]
    if tree < 0:
        tree = cloned(item, options)
    try:
        place = _place(root, target, stat.S_ISDIR(os.stat(tree).st_mode))
        try:
            attach(tree, place, options)
        finally:
            os.close(place)
    finally:
        os.close(tree)


def attach(tree: int, place: int, options: Options) -> None:
    """Mount a detached tree upon an open mount point, with its flags and propagation. Raises OSError."""
    mnt.move_mount_to(tree, place)
    _finish(fd_path(tree), options)


def bind_by_path(root: int, item: Mount, options: Options) -> None:
    """As `bind`, by mount(2). Raises MountFailed for what needs the newer calls."""
    target = item["destination"]
    for wanted, what in (
        (_shares(options), "a shared mount needs open_tree(2)"),
        (options.recursive, "rro needs mount_setattr(2), as every flag for all that is mounted below"),
        (options.id_map, f"{options.id_map} needs mount_setattr(2)"),
    ):
        if wanted:
            raise MountFailed(f'error mounting "{item["source"]}" to rootfs at "{target}": {what}: not implemented')
    source = _open_source(item["source"], options.subdir)
    try:
        place = _place(root, target, stat.S_ISDIR(os.stat(source).st_mode))
        try:
            mnt.mount(fd_path(source), fd_path(place), None, mnt.MS_BIND | options.flags & mnt.MS_REC)
        finally:
            os.close(place)
    finally:
        os.close(source)
    _finish_in(root, target, options)


def _finish_in(root: int, target: str, options: Options) -> None:
    """`_finish` for what was mounted at a path of the root."""
    mounted = open_in_root(root, target)
    try:
        _finish(fd_path(mounted), options)
    finally:
        os.close(mounted)


def _shares(options: Options) -> bool:
    return any(flag & mnt.MS_SHARED for flag in options.propagation)


def cloned(item: Mount, options: Options) -> int:
    """`clone` where there is no user namespace; Docker's words for a part of a volume that is none, or leads out."""
    try:
        return clone(item, options)
    except OSError as error:
        _refuse_subpath(item["source"], options.subdir, error)
        raise


def _open_source(source: str, subdir: str) -> int:
    if not subdir:
        return os.open(source, os.O_PATH | os.O_CLOEXEC)
    base = os.open(source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return openat2(base, subdir, os.O_PATH, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
    except OSError as error:
        _refuse_subpath(source, subdir, error)
        raise
    finally:
        os.close(base)


def _refuse_subpath(source: str, subdir: str, error: OSError) -> None:
    if subdir and error.errno in (errno.EXDEV, errno.ELOOP):
        text = f"path concatenation escapes the base directory, base: {source}, subpath: {subdir}"
        raise MountFailed(text, bare=True) from None
    if subdir and error.errno in (errno.ENOENT, errno.ENOTDIR):
        path, reason = f"{source}/{subdir}", os.strerror(error.errno).lower()
        raise MountFailed(f"cannot access path {path}: lstat {path}: {reason}", bare=True) from None


def _place(root: int, target: str, directory: bool) -> int:
    """The mount point, made if need be."""
    place = make_directory(root, target) if directory else make_file(root, target)
    try:
        if stat.S_ISDIR(os.stat(place).st_mode) != directory:
            raise NotADirectoryError(errno.ENOTDIR, "move_mount")
        if os.path.samestat(os.stat(place), os.stat(root)):
            raise OSError(errno.EINVAL, f"create mountpoint for {target} mount: it is the root itself")
    except BaseException:
        os.close(place)
        raise
    return place


def _finish(path: str, options: Options) -> None:
    """Flags and propagation of a bind that is in place."""
    keep = options.flags & ~(mnt.MS_BIND | mnt.MS_REC)
    if keep or options.cleared:
        remount(path, keep, options.cleared)
    if options.recursive:
        mnt.set_attributes(path, *options.recursive, recursive=True)
    for flag in options.propagation or [mnt.MS_PRIVATE | mnt.MS_REC]:
        mnt.mount("none", path, None, flag)


def remount(path: str, keep: int, cleared: int) -> None:
    """A bind remount replaces all flags: carry over those the mount has, which may also be locked."""
    present = os.statvfs(path).f_flag
    flags = keep
    for have, flag in _LOCKED:
        if present & have and not cleared & flag:
            flags |= flag
    mnt.mount("none", path, None, mnt.MS_REMOUNT | mnt.MS_BIND | flags)
