"""The images that both engines get: deterministic docker-archives made from Debian's static busybox.

`box:1` is a plain one-layer image; `boxed:1` adds a second layer and sets every key of an image's
configuration that `docker run` reads. Only the bytes of busybox itself differ between machines.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

EPOCH = "2024-01-02T03:04:05Z"
LATER = "2024-02-02T03:04:05Z"
APPLETS = """
[ ash awk basename cat chgrp chmod chown chroot cp cut date dd df dirname du echo env expr false find free
grep gunzip gzip head hostname id ifconfig ip kill ln ls md5sum mkdir mkfifo mknod mktemp more mount mv nc
nslookup nproc od pidof ping printf ps pwd readlink realpath reset rm rmdir route sed seq sh sha256sum sleep
sort stat stty su sync tail tar tee test time timeout touch tr true tty umount uname uniq unshare uptime
usleep vi wc wget which who whoami xargs yes cmp arp nsenter losetup sysctl
""".split()  # noqa: SIM905
PASSWD = (
    "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\napp:x:1000:1000:app:/home/app:/bin/sh\n"
)
GROUP = "root:x:0:\ndaemon:x:1:\nwheel:x:10:app\napp:x:1000:\nextra:x:2000:app\n"


def find_busybox(candidates: tuple[str, ...] = ("/bin/busybox", "/usr/bin/busybox")) -> Path:
    """The static busybox of the Debian package busybox-static; FileNotFoundError says what to install."""
    for name in candidates:
        if Path(name).is_file():
            return Path(name)
    raise FileNotFoundError("busybox: install the Debian package busybox-static")


class _Layer:
    """A layer tar with fixed owner, time and order."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._buffer, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115

    def add(
        self, name: str, kind: bytes, *, mode: int = 0o755, data: bytes = b"", link: str = "", uid: int = 0
    ) -> None:
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.size, entry.linkname = kind, mode, len(data), link
        entry.uid = entry.gid = uid
        entry.mtime = 1704164645
        self._tar.addfile(entry, io.BytesIO(data))

    def bytes(self) -> bytes:
        self._tar.close()
        return self._buffer.getvalue()


def _base_layer(busybox: bytes) -> bytes:
    layer = _Layer()
    for name in ("bin", "dev", "etc", "home", "proc", "root", "sys", "usr", "usr/bin", "var"):
        layer.add(name, tarfile.DIRTYPE, mode=0o700 if name == "root" else 0o755)
    layer.add("home/app", tarfile.DIRTYPE, uid=1000)
    layer.add("tmp", tarfile.DIRTYPE, mode=0o1777)
    layer.add("bin/busybox", tarfile.REGTYPE, data=busybox)
    for applet in sorted(set(APPLETS)):
        layer.add(f"bin/{applet}", tarfile.SYMTYPE, mode=0o777, link="busybox")
    for name, text in (("passwd", PASSWD), ("group", GROUP), ("motd", "one\ntwo\nthree\n")):
        layer.add(f"etc/{name}", tarfile.REGTYPE, mode=0o644, data=text.encode())
    layer.add("etc/notexec", tarfile.REGTYPE, mode=0o644, data=b"#!/bin/sh\necho never\n")
    return layer.bytes()


def _data_layer() -> bytes:
    layer = _Layer()
    layer.add("data", tarfile.DIRTYPE, mode=0o750, uid=1000)
    layer.add("data/seed", tarfile.REGTYPE, mode=0o640, data=b"seed\n", uid=1000)
    layer.add("data/link", tarfile.SYMTYPE, mode=0o777, link="seed", uid=1000)
    layer.add("srv", tarfile.DIRTYPE)
    return layer.bytes()


def _config(layers: list[bytes], config: dict[str, object], comments: list[str]) -> bytes:
    history = [{"created": EPOCH, "created_by": text, "comment": "made for tests"} for text in comments]
    history.append({"created": EPOCH, "created_by": "CMD set", "empty_layer": True})  # type: ignore[dict-item]
    document = {
        "architecture": "amd64",
        "os": "linux",
        "author": "wharf tests",
        "created": EPOCH if len(layers) == 1 else LATER,
        "config": config,
        "history": history,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]},
    }
    return json.dumps(document, sort_keys=True).encode()


def archive(busybox: Path) -> bytes:
    """A docker-archive tar that holds box:1 and boxed:1."""
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    base, data = _base_layer(busybox.read_bytes()), _data_layer()
    plain = _config([base], {"Env": [path], "Cmd": ["sh"]}, ["ADD busybox /"])
    full = _config(
        [base, data],
        {
            "Env": [path, "GREETING=hello world", "EMPTY="],
            "Entrypoint": ["/bin/echo", "entry"],
            "Cmd": ["default"],
            "User": "app",
            "WorkingDir": "/srv",
            "Volumes": {"/data": {}},
            "ExposedPorts": {"8080/tcp": {}, "53/udp": {}},
            "Labels": {"org.example.kind": "boxed", "empty": ""},
            "StopSignal": "SIGINT",
            "Shell": ["/bin/sh", "-c"],
        },
        ["ADD busybox /", "ADD data /data"],
    )
    blobs: dict[str, bytes] = {}
    manifest = []
    for reference, config, layers in (("box:1", plain, [base]), ("boxed:1", full, [base, data])):
        names = []
        for layer in layers:
            names.append(f"{hashlib.sha256(layer).hexdigest()}.tar")
            blobs[names[-1]] = layer
        blobs[f"{hashlib.sha256(config).hexdigest()}.json"] = config
        manifest.append(
            {"Config": f"{hashlib.sha256(config).hexdigest()}.json", "RepoTags": [reference], "Layers": names}
        )
    blobs["manifest.json"] = json.dumps(manifest).encode()
    outer = _Layer()
    for name, content in blobs.items():
        outer.add(name, tarfile.REGTYPE, mode=0o644, data=content)
    return outer.bytes()
