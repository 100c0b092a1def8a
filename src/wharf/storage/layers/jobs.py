"""The jobs on layers that a worker runs: `job(args, fds) -> result`, JSON both ways. Standard library only."""

import json
import os
from collections.abc import Callable
from typing import Any

from wharf.storage.layers.apply import ApplyOptions, apply_layer
from wharf.storage.layers.diff import list_changes, write_layer
from wharf.storage.limits import Limits

Job = Callable[[dict[str, Any], list[int]], dict[str, Any]]


def apply_job(args: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """fds: the uncompressed archive, the directory to fill. Result: `size` (bytes), `entries`."""
    options = ApplyOptions(
        lowers=tuple(args["lowers"]),
        xattr_prefix=args["xattr_prefix"],
        mknod=args["mknod"],
        limits=Limits(**args["limits"]),
    )
    applied = apply_layer(fds[0], fds[1], options)
    return {"size": applied.size, "entries": applied.entries}


def diff_job(args: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """fds: the layer's directory, a pipe for its archive. Result: `size` (bytes)."""
    return {"size": write_layer(fds[0], tuple(args["lowers"]), args["xattr_prefix"], fds[1], args.get("newest"))}


def changes_job(args: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """fds: the layer's directory, a pipe for the list as JSON, which may be longer than a message. Result: `count`."""
    changes = list_changes(fds[0], tuple(args["lowers"]), args["xattr_prefix"])
    view = memoryview(json.dumps(changes).encode())
    while view:
        view = view[os.write(fds[1], view) :]
    return {"count": len(changes)}


JOBS: dict[str, Job] = {"layer.apply": apply_job, "layer.diff": diff_job, "layer.changes": changes_job}
