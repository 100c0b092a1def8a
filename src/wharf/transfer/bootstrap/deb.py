"""Files out of a .deb: an ar archive with a compressed tar in it (deb(5))."""

import io
from collections.abc import Iterable

from wharf.errors import Invalid, NotFound
from wharf.storage.compression import decompressed
from wharf.transfer.tar_reader import REGULAR, TarReader

_MAGIC = b"!<arch>\n"
_HEADER = 60
MAX_FILE = 64 << 20


def read_member(deb: bytes, wanted: Iterable[str]) -> tuple[bytes, int]:
    """The first of the wanted paths (relative, without `./`) that the package has, and the package's build date in
    seconds since 1970. Raises NotFound, Invalid for a damaged package."""
    names = set(wanted)
    data, date = _data_tar(deb)
    reader = TarReader(decompressed(io.BytesIO(data)), "package")
    for entry in reader:
        if entry.kind == REGULAR and entry.name.removeprefix("./") in names:
            return reader.read_all(MAX_FILE), date
    raise NotFound(f"the package has none of {', '.join(sorted(names))}")


def _data_tar(deb: bytes) -> tuple[bytes, int]:
    if not deb.startswith(_MAGIC):
        raise Invalid("invalid package: no ar archive")
    at = len(_MAGIC)
    while at + _HEADER <= len(deb):
        header = deb[at : at + _HEADER]
        try:
            size, date = int(header[48:58]), int(header[16:28])
        except ValueError:
            raise Invalid("invalid package: malformed ar header") from None
        at += _HEADER
        if size < 0 or at + size > len(deb) or header[58:60] != b"`\n":
            raise Invalid("invalid package: malformed ar header")
        if header[:16].rstrip().rstrip(b"/").startswith(b"data.tar"):
            return deb[at : at + size], date
        at += size + size % 2
    raise Invalid("invalid package: no data.tar")
