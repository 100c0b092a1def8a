"""Read-only overlays as detached mounts: what an image mount shows, whole or in part."""

import errno
import os
from collections.abc import Mapping
from typing import Any

from wharf.kernel import mounts as mnt


def overlay_tree(
    layers: Mapping[str, Any], scratch: str, subdir: str = "", userns: int = -1, append: bool | None = None
) -> int:
    """A descriptor of the detached mount of `layers` (`lower` top first, `options`), or of `subdir` in it.

    `scratch` is a directory that is mounted upon for the moment: the caller's mount namespace must be nobody else's.
    `userns` shows the ids of the layers by a user namespace's map (the overlay itself has none: it is laid over an
    idmapped view of the layers). `append`: see `mounts.overlay`; None tries both. Raises OSError; EXDEV for a subdir
    that leads out, as `mounts.clone_tree`.
    """
    lower, mounted = list(layers["lower"]), 0
    try:
        if userns >= 0:
            lower = _map_view(lower, scratch, userns)
            mounted += 1
        _overlay(lower, scratch, layers.get("options") or (), append)
        mounted += 1
        return mnt.clone_tree(scratch, subdir)
    finally:
        for _ in range(mounted):
            mnt.umount(scratch, mnt.MNT_DETACH)


def _map_view(lower: list[str], scratch: str, userns: int) -> list[str]:
    """Mount what holds all layers upon `scratch`, by the map; where they lie there."""
    top = os.path.commonpath(lower)
    view = mnt.open_tree(top, mnt.OPEN_TREE_CLONE | mnt.OPEN_TREE_CLOEXEC)
    try:
        mnt.set_id_map(view, userns)
        mnt.move_mount(view, scratch)
    finally:
        os.close(view)
    return [scratch + path[len(top) :] for path in lower]


def _overlay(lower: list[str], scratch: str, options: Any, append: bool | None) -> None:
    try:
        mnt.overlay(lower, "", "", scratch, options, append=append is not False)
    except OSError as error:
        if append is not None or error.errno not in (errno.ENOSYS, errno.EINVAL):
            raise
        mnt.overlay(lower, "", "", scratch, options, append=False)
