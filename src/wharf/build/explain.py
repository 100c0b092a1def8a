"""How two builds of the same thing differ: by layer, and in a layer by file. Used by `wharf build --verify`."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

from wharf.build.finish import layer_titles
from wharf.spec.image import Descriptor
from wharf.spec.image_record import ImageRecord
from wharf.storage.compression import decompressed
from wharf.storage.content import ContentStore

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

MAX_LINES = 200
CHUNK = 1 << 20
Entry = dict[str, object]


def differences(engine: Engine, first: ImageRecord, second: ImageRecord) -> Iterator[str]:
    """One line a difference; nothing for equal images."""
    if first.id == second.id:
        return
    titles = layer_titles(first.image)
    total = len(first.image.diff_ids)
    if total != len(second.image.diff_ids):
        yield f"the first build has {total} layers, the second {len(second.image.diff_ids)}"
    pairs = zip(first.image.diff_ids, second.image.diff_ids, first.layers, second.layers, strict=False)
    for number, (left, right, one, other) in enumerate(pairs):
        if left == right:
            continue
        where = f"layer {number + 1}/{total} ({titles[number][:120]})"
        found = list(_files(engine.content, one, other))
        if not found:
            yield f"{where}: the archives differ, and no file in them"
        for line in found:
            yield f"{where}: {line}"
    yield from _configuration(first, second)


def _configuration(first: ImageRecord, second: ImageRecord) -> Iterator[str]:
    for name in ("config", "created", "author", "history", "platform", "extra"):
        one, other = getattr(first.image, name), getattr(second.image, name)
        if one != other:
            yield f"configuration: {name}: {str(one)[:200]} / {str(other)[:200]}"


def _files(content: ContentStore, one: Descriptor, other: Descriptor) -> Iterator[str]:
    left, right = _entries(content, one), _entries(content, other)
    for name in sorted(left.keys() | right.keys()):
        if name not in right or name not in left:
            yield f"/{name}: only in the {'first' if name in left else 'second'} build"
            continue
        changed = [key for key in left[name] if left[name][key] != right[name][key]]
        if changed:
            parts = (f"{key} {left[name][key]} / {right[name][key]}" for key in changed)
            yield f"/{name}: {', '.join(parts)}"
    if list(left) != list(right) and left.keys() == right.keys():
        yield "the same files in another order"


def _entries(content: ContentStore, layer: Descriptor) -> dict[str, Entry]:
    """Every file of a layer with what makes it what it is; its bytes by their digest."""
    found: dict[str, Entry] = {}
    with content.open(layer.digest) as blob, tarfile.open(fileobj=_Reader(decompressed(blob)), mode="r|") as archive:  # type: ignore[call-overload]
        for member in archive:
            body = ""
            if member.isreg():
                file = archive.extractfile(member)
                digest = hashlib.sha256()
                while file is not None and (data := file.read(CHUNK)):
                    digest.update(data)
                body = digest.hexdigest()[:16]
            found[member.name] = {
                "kind": member.type.decode("latin-1"),
                "mode": oct(member.mode),
                "owner": f"{member.uid}:{member.gid}",
                "time": member.mtime,
                "size": member.size,
                "link": member.linkname,
                "content": body,
                "attributes": {k: v for k, v in member.pax_headers.items() if k.startswith("SCHILY.xattr.")},
            }
    return found


class _Reader:
    """A decompressed blob as the file that tarfile reads."""

    def __init__(self, source: object) -> None:
        self._source = source

    def read(self, size: int) -> bytes:
        """As many bytes as were asked for, fewer at the end."""
        parts: list[bytes] = []
        while size:
            data = self._source.read(size)  # type: ignore[attr-defined]
            if not data:
                break
            parts.append(data)
            size -= len(data)
        return b"".join(parts)
