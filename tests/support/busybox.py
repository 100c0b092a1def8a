"""A BusyBox image made from this machine's own static busybox: what nearly every test starts from.

archive = docker_archive("busybox:latest")     # bytes for `docker load`
path = docker_archive_path()                   # the same in a file, made once a test session
"""

import functools
import hashlib
import io
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

BUSYBOX_PLACES = ("/bin/busybox", "/usr/bin/busybox")
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\n"
    "www-data:x:33:33:www-data:/var/www:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n",
    "etc/group": "root:x:0:\ndaemon:x:1:\ntty:x:5:\nwww-data:x:33:\nusers:x:100:\nnobody:x:65534:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
}
DIRECTORIES = ("bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "usr", "usr/bin", "usr/sbin", "var")


def busybox_path() -> Path:
    """A statically linked busybox of this machine; RuntimeError says which package has it."""
    for place in BUSYBOX_PLACES:
        path = Path(place)
        if path.exists() and b"ld-linux" not in path.read_bytes()[:4096]:
            return path
    raise RuntimeError("no static busybox on this machine: install the package busybox-static")


@functools.cache
def layer_tar() -> bytes:
    """The uncompressed tar of the only layer: busybox, a link for each applet, /etc/passwd and friends."""
    busybox = busybox_path()
    applets = subprocess.run([str(busybox), "--list"], capture_output=True, text=True, check=True).stdout.split()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in DIRECTORIES:
            mode = {"tmp": 0o1777, "root": 0o700}.get(name, 0o755)
            _add(tar, name, tarfile.DIRTYPE, mode=mode)
        _add(tar, "bin/busybox", tarfile.REGTYPE, data=busybox.read_bytes(), mode=0o755)
        for applet in sorted(set(applets) - {"busybox"}):
            _add(tar, f"bin/{applet}", tarfile.LNKTYPE, link="bin/busybox", mode=0o755)
        for name, text in FILES.items():
            _add(tar, name, tarfile.REGTYPE, data=text.encode())
        _add(tar, "usr/bin/env", tarfile.SYMTYPE, link="/bin/env", mode=0o777)
    return out.getvalue()


def docker_archive(
    tag: str | None = "busybox:latest",
    layers: Sequence[bytes] | None = None,
    config: Mapping[str, Any] | None = None,
) -> bytes:
    """A docker-archive (manifest.json form) of one image; `layers` replaces the busybox layer, `config` its config."""
    blobs = list(layers) if layers is not None else [layer_tar()]
    document = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2024-01-02T03:04:05Z",
        "config": {"Env": [PATH], "Cmd": ["sh"], **(config or {})},
        "rootfs": {"type": "layers", "diff_ids": [_digest(blob) for blob in blobs]},
        "history": [{"created": "2024-01-02T03:04:05Z", "created_by": f"layer {n}"} for n in range(len(blobs))],
    }
    config_bytes = json.dumps(document).encode()
    config_name = _digest(config_bytes).removeprefix("sha256:") + ".json"
    names = [_digest(blob).removeprefix("sha256:") + "/layer.tar" for blob in blobs]
    manifest = [{"Config": config_name, "RepoTags": [tag] if tag else None, "Layers": names}]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, blob in dict(zip(names, blobs, strict=True)).items():
            _add(tar, name, tarfile.REGTYPE, data=blob)
        _add(tar, config_name, tarfile.REGTYPE, data=config_bytes)
        _add(tar, "manifest.json", tarfile.REGTYPE, data=json.dumps(manifest).encode())
    return out.getvalue()


@functools.cache
def docker_archive_path(tag: str = "busybox:latest") -> Path:
    """The archive as a file; removed when the interpreter ends."""
    holder = tempfile.NamedTemporaryFile(prefix="wharf-busybox-", suffix=".tar")  # noqa: SIM115
    holder.write(docker_archive(tag))
    holder.flush()
    _HOLDERS.append(holder)
    return Path(holder.name)


_HOLDERS: list[Any] = []


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _add(tar: tarfile.TarFile, name: str, kind: bytes, *, data: bytes = b"", link: str = "", mode: int = 0o644) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.size, info.linkname, info.mtime = kind, mode, len(data), link, 1704164645
    tar.addfile(info, io.BytesIO(data))
