"""The jobs behind the options of the local volume driver: mount what they name, and unmount it.

In a worker, for a mount may wait for a server. Standard library only. Words: moby/sys/mount, mount(2).
"""

import os
import re
from collections.abc import Callable
from typing import Any

from wharf.errors import Internal
from wharf.kernel import mounts as mnt
from wharf.kernel.mount_words import CLEARED, FLAGS, PROPAGATION

Job = Callable[[dict[str, Any], list[int]], dict[str, Any]]
_PASSWORD = re.compile(r"(password=)[^,]*")


def mount_job(args: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Mount `device` of file system `kind` at `target` with the comma-separated `options`.

    Raises Internal with Docker's words and the kernel's reason; what was mounted meanwhile is undone.
    """
    device, target, kind = args["device"], args["target"], args["kind"]
    flags, propagation, data = _sort_out(args["options"])
    try:
        mnt.mount(device, target, kind, flags, data)
    except OSError as error:
        raise Internal(_words(device, target, flags, data, error)) from None
    try:
        if propagation:
            mnt.mount("", target, None, propagation)
        if flags & mnt.MS_BIND and flags & mnt.MS_RDONLY:  # the first call of a bind takes no other flag
            mnt.mount("", target, None, flags | mnt.MS_REMOUNT)
    except OSError as error:
        mnt.umount(target, mnt.MNT_DETACH)
        raise Internal(_words(device, target, flags, data, error)) from None
    return {}


def unmount_job(args: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Unmount `points`, in order; who has files open there keeps them."""
    for point in args["points"]:
        mnt.umount(point, mnt.MNT_DETACH)
    return {}


def _sort_out(options: str) -> tuple[int, int, str]:
    """Flags, propagation, and what is left for the file system."""
    flags = propagation = 0
    data = []
    for word in options.split(",") if options else ():
        if word in FLAGS:
            flags |= FLAGS[word]
        elif word in CLEARED:
            flags &= ~CLEARED[word]
        elif word in PROPAGATION:
            propagation |= PROPAGATION[word]
        else:
            data.append(word)
    return flags, propagation, ",".join(data)


def _words(device: str, target: str, flags: int, data: str, error: OSError) -> str:
    text = f"failed to mount local volume: mount {device}:{target}"
    text += f", flags: 0x{flags:x}" if flags else ""
    shown = _PASSWORD.sub(r"\1********", data)
    text += f", data: {shown}" if data else ""
    return f"{text}: {os.strerror(error.errno or 0).lower()}"


JOBS: dict[str, Job] = {"volume.mount": mount_job, "volume.unmount": unmount_job}
