"""Content digests (OCI image specification, descriptor.md#digests)."""

import hashlib
import re
from dataclasses import dataclass

from wharf.errors import Invalid

_HEX = re.compile(r"[0-9a-f]{64}\Z")
_SHA256 = re.compile(r"sha256:([0-9a-f]{64})\Z")


@dataclass(frozen=True, order=True, slots=True)
class Digest:
    """A sha256 digest; `hex` is 64 lower-case hexadecimal characters."""

    hex: str

    @classmethod
    def parse(cls, text: str) -> "Digest":
        """Parse `sha256:<64 hex>`; raises Invalid for every other form."""
        match = _SHA256.match(text)
        if match is None:
            raise Invalid(f"invalid digest {text[:200]!r}: expected sha256:<64 lower-case hex digits>")
        return cls(match.group(1))

    @classmethod
    def of_name(cls, name: str) -> "Digest | None":
        """The digest whose hexadecimal digits a file is named after; None for any other name."""
        return cls(name) if _HEX.match(name) else None

    @classmethod
    def of(cls, data: bytes) -> "Digest":
        """The digest of `data`."""
        return cls(hashlib.sha256(data).hexdigest())

    def __str__(self) -> str:
        return "sha256:" + self.hex


def chain_ids(diff_ids: tuple[Digest, ...]) -> tuple[Digest, ...]:
    """ChainIDs of a stack of layers, bottom first (OCI image specification, config.md#layer-chainid)."""
    chain: list[Digest] = []
    for diff_id in diff_ids:
        chain.append(Digest.of(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return tuple(chain)
