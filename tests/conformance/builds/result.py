"""What a build gave: the image's configuration and the entries of each layer above its base's, from `docker save`."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any


def image_of(client: str, environment: dict[str, str], name: str) -> dict[str, Any]:
    """`config`: the whole configuration; `layers`: for each, path -> what lies there."""
    with tempfile.TemporaryDirectory(prefix="conf-build-") as place:
        path = Path(place) / "image.tar"
        subprocess.run([client, "save", "-o", str(path), name], env=environment, check=True, capture_output=True)
        with tarfile.open(path) as archive:
            manifest = json.load(_member(archive, "manifest.json"))[0]
            config = json.load(_member(archive, manifest["Config"]))
            return {"config": config, "layers": [entries(_member(archive, layer)) for layer in manifest["Layers"]]}


def without_base(image: dict[str, Any], base: list[str]) -> dict[str, Any]:
    """The image with only the layers that stand above those of `base` (diffIDs), and how many those are."""
    own = image["config"]["rootfs"].pop("diff_ids") or []
    below = 0
    while below < len(own) and own[: below + 1] == base[: below + 1]:
        below += 1
    return {"config": image["config"], "base": below, "layers": image["layers"][below:]}


def _member(archive: tarfile.TarFile, name: str) -> Any:
    """A file of the archive; docker keeps equal layers as links to the first."""
    file = archive.extractfile(name)
    assert file is not None, name
    return file


def entries(file: Any) -> dict[str, str]:
    """What a layer's archive holds: its path from the root, and how `_told` tells it."""
    with tarfile.open(fileobj=file) as layer:
        return {"/" + entry.name.strip("/"): _told(layer, entry) for entry in layer}


def _told(layer: tarfile.TarFile, entry: tarfile.TarInfo) -> str:
    """`kind mode uid:gid mtime what`: what is a link's target or a file's size and digest."""
    kind = {tarfile.DIRTYPE: "d", tarfile.SYMTYPE: "l", tarfile.LNKTYPE: "h", tarfile.FIFOTYPE: "p"}.get(
        entry.type, "f"
    )
    content = entry.linkname
    if kind == "f":
        data = layer.extractfile(entry)
        content = f"{entry.size} {hashlib.sha256(data.read() if data else b'').hexdigest()[:16]}"
    attributes = [
        f" {key[13:]}={value}" for key, value in sorted(entry.pax_headers.items()) if key.startswith("SCHILY.xattr.")
    ]
    told = f"{kind} {entry.mode & 0o7777:o} {entry.uid}:{entry.gid} {int(entry.mtime)} {content}".rstrip()
    return told + "".join(attributes)
