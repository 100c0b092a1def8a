"""What every handler works on."""

import threading
from dataclasses import dataclass, field
from typing import Protocol

from wharf.registry.server.contracts import Blobs, Metadata
from wharf.registry.server.http import Response
from wharf.registry.server.leases import Leases
from wharf.spec.digest import Digest

GRACE_SECONDS = 3600.0
"""How long collecting leaves alone what a client was told about."""


class Upstream(Protocol):
    """Another registry that this one is a cache of."""

    def manifest(self, repository: str, reference: "Digest | str") -> None:
        """Fetch a manifest when it is missing or its tag may have moved; nothing when upstream has none."""
        ...

    def blob(self, repository: str, digest: Digest) -> Response | None:
        """The blob while it is fetched and kept, None when upstream has none."""
        ...


@dataclass(slots=True)
class Registry:
    """Storage, leases, and the registry behind this one, if any."""

    blobs: Blobs
    metadata: Metadata
    leases: Leases = field(default_factory=lambda: Leases(GRACE_SECONDS))
    upstream: Upstream | None = None
    readonly: bool = False
    publishing: threading.Lock = field(default_factory=threading.Lock)
