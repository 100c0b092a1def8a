"""The jobs on layers that a worker runs: `job(args, fds) -> result`, JSON both ways. Standard library only."""

from collections.abc import Callable
from typing import Any

from wharf.storage.layers.apply import ApplyOptions, apply_layer
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


JOBS: dict[str, Job] = {"layer.apply": apply_job}
