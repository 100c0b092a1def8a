"""Programs of other platforms: whether this machine runs them."""

import os

from wharf.errors import Invalid
from wharf.spec.platform import Platform

_ALSO = {"amd64": ("386",), "arm64": ("arm",)}
_QEMU = {"arm64": "aarch64", "amd64": "x86_64", "386": "i386"}
REGISTERED = "/proc/sys/fs/binfmt_misc"


def check_runnable(wanted: Platform, here: Platform) -> None:
    """Raises Invalid where a program for `wanted` cannot run: not by the processor, nor by a registered emulator."""
    if (wanted.os, wanted.architecture) == (here.os, here.architecture):
        return
    if wanted.os == here.os and wanted.architecture in _ALSO.get(here.architecture, ()):
        return
    emulator = f"qemu-{_QEMU.get(wanted.architecture, wanted.architecture)}"
    if wanted.os == here.os and os.path.exists(os.path.join(REGISTERED, emulator)):
        return
    raise Invalid(
        f"RUN for {wanted} needs emulation on this {here} machine, and none is registered: "
        "build that stage with FROM --platform=$BUILDPLATFORM, or only copy files in it"
    )
