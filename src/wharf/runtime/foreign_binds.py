"""Binds that another OCI runtime cannot make by itself, mounted beforehand where it finds them by a path.

That is /dev/shm of another container, an image mount, a volume's subpath (which must not lead out of the volume),
id-mapped binds, and what shares with the host: the helper's own copy of the host's mounts would only receive.

<exec-root>/foreign/<container>/binds/<index>   an empty file or directory; what is mounted on it only the helper sees
"""

import os
import stat
from typing import Any

from wharf.kernel import mounts as mnt
from wharf.runtime import binds, init
from wharf.runtime.mount_options import ID_MAPS, Options


def clone(request: dict[str, Any], donor: int) -> dict[int, int]:
    """Index in the plan of a container's body -> detached mount. For before `rootfs.enter_private_tree`, which those of
    images come after.

    `donor`: the mount namespace whose /dev/shm is shared, closed; -1 for none. Raises OSError, MountFailed.
    """
    plan, images = request["spec"]["mounts"], request.get("images") or {}
    trees = {**binds.clone_shared(plan), **(init.shared_memory(donor, plan) if donor >= 0 else {})}
    for index, item in enumerate(plan):
        options = Options(list(item.get("options") or ()))
        if index not in trees and item.get("source") not in images and (options.subdir or options.id_map):
            trees[index] = binds.cloned(item, options)
    return trees


def attach(plan: list[dict[str, Any]], trees: dict[int, int], directory: str) -> None:
    """Mount the trees beneath `directory` and name these places in the plan."""
    if trees:
        os.makedirs(directory, 0o700, exist_ok=True)
    for index, tree in trees.items():
        path = f"{directory}/{index}"
        if stat.S_ISDIR(os.stat(tree).st_mode):
            os.makedirs(path, 0o700, exist_ok=True)
        else:
            os.close(os.open(path, os.O_CREAT | os.O_CLOEXEC, 0o600))
        mnt.move_mount(tree, path)
        os.close(tree)
        item = plan[index]
        item["source"] = path
        done = [word for word in item["options"] if word in ID_MAPS or word.startswith(mnt.SUBDIR)]
        item["options"] = [word for word in item["options"] if word not in done]
        for key in ("uidMappings", "gidMappings"):
            item.pop(key, None)
