"""Large archives, made as they are sent: for what must not grow with what passes through."""

import io
import os
import tarfile
from collections.abc import Iterator


def incompressible(size: int) -> Iterator[bytes]:
    """A tar of one file `body` of so many bytes, a multiple of 1 MiB, that does not compress."""
    head = tarfile.TarInfo("body")
    head.size = size
    yield head.tobuf()
    block = os.urandom(1 << 20)
    for _ in range(size >> 20):
        yield block
    end = io.BytesIO()
    tarfile.open(fileobj=end, mode="w").close()
    yield end.getvalue()
