"""Layers of images, made by hand."""

import io
import tarfile
from collections.abc import Mapping


def layer(files: Mapping[str, str | bytes], links: Mapping[str, str] | None = None, mode: int = 0o640) -> bytes:
    """A plain layer of files that belong to 7:8, and symbolic links; `.wh.` names are whiteouts."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size, entry.uid, entry.gid, entry.mode = len(data), 7, 8, mode
            tar.addfile(entry, io.BytesIO(data))
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    return out.getvalue()
