"""`bootstrap busybox`: a root file system of the distribution's static BusyBox and a few files of its own."""

import io
import os
import re
import subprocess
import tempfile
from collections.abc import Callable

from wharf.errors import Internal
from wharf.transfer.bootstrap.archive import fetch_package, fetch_release, find_package
from wharf.transfer.bootstrap.deb import read_member
from wharf.transfer.bootstrap.sources import AptSource
from wharf.transfer.tar_writer import Node, TarWriter

PACKAGE = "busybox-static"
_PLACES = ("bin/busybox", "usr/bin/busybox")
_DIRECTORIES = (
    "bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "usr", "usr/bin", "usr/sbin", "var", "var/spool",
    "var/www",
)  # fmt: skip
_MODES = {"tmp": 0o1777, "root": 0o700}
_FILES = {
    "etc/group": "root:x:0:\ndaemon:x:1:\nbin:x:2:\nsys:x:3:\nadm:x:4:\ntty:x:5:\ndisk:x:6:\nwheel:x:10:\n"
    "utmp:x:43:\nwww-data:x:33:\nusers:x:100:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\n"
    "bin:x:2:2:bin:/bin:/bin/false\nsys:x:3:3:sys:/dev:/bin/false\n"
    "www-data:x:33:33:www-data:/var/www:/bin/false\noperator:x:37:37:Operator:/var:/bin/false\n"
    "nobody:x:65534:65534:nobody:/home:/bin/false\n",
    "etc/shadow": "root:*:::::::\ndaemon:*:::::::\nbin:*:::::::\nsys:*:::::::\nwww-data:*:::::::\n"
    "operator:*:::::::\nnobody:*:::::::\n",
}
_SECRET = {"etc/shadow"}
_RUN_TIMEOUT_S = 30.0
_APPLET = re.compile(r"[A-Za-z0-9_\[][A-Za-z0-9_.\[+-]*\Z")


def busybox_tar(source: AptSource, architecture: str, tell: Callable[[str], None]) -> tuple[bytes, int]:
    """The layer's tar and the package's date in seconds since 1970: the same package gives the same bytes.

    Raises Unavailable, NotFound or Invalid when the archive cannot be reached or believed.
    """
    tell(f"Reading {source.uri} {source.suite}")
    release = fetch_release(source)
    package = find_package(source, release, PACKAGE, architecture)
    tell(f"Fetching {package.name} {package.version} ({package.size} bytes)")
    binary, date = read_member(fetch_package(source, package), _PLACES)
    return _tar(binary, date, _applets(binary)), date


def _applets(binary: bytes) -> list[str]:
    """The names that this BusyBox answers to: it says so itself. The package's signature was verified."""
    with tempfile.TemporaryDirectory(prefix="wharf-busybox-") as directory:
        path = os.path.join(directory, "busybox")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o700), "wb") as file:
            file.write(binary)
        done = subprocess.run([path, "--list"], capture_output=True, timeout=_RUN_TIMEOUT_S, check=False)
    names = done.stdout.decode("ascii", "replace").split()
    if done.returncode != 0 or "sh" not in names:
        raise Internal(f"busybox --list failed with exit code {done.returncode}")
    return sorted({name for name in names if _APPLET.match(name)} - {"busybox"})


def _tar(binary: bytes, date: int, applets: list[str]) -> bytes:
    out = io.BytesIO()
    tar = TarWriter(out)
    for name in _DIRECTORIES:
        tar.directory(name, Node(_MODES.get(name, 0o755), date))
    tar.data("bin/busybox", binary, Node(0o755, date))
    for name in applets:
        tar.hard_link(f"bin/{name}", "bin/busybox", Node(0o755, date))
    for name, text in _FILES.items():
        tar.data(name, text.encode(), Node(0o600 if name in _SECRET else 0o644, date))
    tar.symlink("usr/bin/env", "/bin/env", Node(0o777, date))
    tar.close()
    return out.getvalue()
