"""Foreign layers: what a registry need not have, at the addresses that the manifest names beside the digest.

OCI image specification, descriptor.md (`urls`) and layer.md (non-distributable layers). The registry is asked first.
The addresses are a stranger's: no credentials, no plain http but where it is allowed, and the digest decides as always.
"""

import threading
from collections.abc import Mapping

from wharf.errors import WharfError
from wharf.registry.client.errors import Misbehaves, Refused
from wharf.registry.client.http import Answer
from wharf.registry.client.place import Client, Place
from wharf.registry.client.trust import is_insecure, split_url
from wharf.spec.digest import Digest
from wharf.spec.image import Descriptor

MAX_ADDRESSES = 16
"""Of one layer; further ones are not looked at."""


class Elsewhere:
    """The addresses of the foreign layers of one repository's images."""

    def __init__(self, client: Client, domain: str) -> None:
        self._client, self._domain = client, domain
        self._sources: dict[Digest, list[tuple[Place, str]]] = {}
        self._lock = threading.Lock()

    def open(self, blob: Descriptor, headers: Mapping[str, str]) -> tuple[Place, Answer]:
        """The layer from the first address that gives it; raises what the last of them said."""
        with self._lock:
            if blob.digest not in self._sources:
                self._sources[blob.digest] = self._addresses(blob)
            sources = self._sources[blob.digest]
        for number, (place, url) in enumerate(sources):
            try:
                answer = place.get("GET", url, "", headers)
            except Refused as error:
                refusal: WharfError = Misbehaves(f"layer {blob.digest} is not at its address {url}: {error.message}")
            except WharfError as error:
                if place.cancelled.is_set():
                    raise
                refusal = error
            else:
                with self._lock:
                    self._sources[blob.digest] = sources[number:]
                return place, answer
        raise refusal

    def drop(self, place: Place) -> bool:
        """It was cut off or gave wrong bytes: do without it, where its layer has another address."""
        with self._lock:
            for digest, sources in self._sources.items():
                left = [source for source in sources if source[0] is not place]
                if left and len(left) < len(sources):
                    self._sources[digest] = left
                    return True
        return False

    def cancel(self) -> None:
        """End pauses between attempts."""
        with self._lock:
            for place, _ in (source for sources in self._sources.values() for source in sources):
                place.cancelled.set()

    def _addresses(self, blob: Descriptor) -> list[tuple[Place, str]]:
        """Those that may be asked; each is a place of its own, as one says nothing of another at the same host."""
        found = []
        for url in blob.urls[:MAX_ADDRESSES]:
            try:
                there, _ = split_url(url)
            except Misbehaves as error:
                refused = error
                continue
            if there.scheme == "http" and not is_insecure(
                self._client.config, there.host, f"{there.host}:{there.port}"
            ):
                refused = Misbehaves(f"the address {url[:200]!r} of layer {blob.digest} is refused: it is not https")
                continue
            found.append((self._client.place(self._domain, mirror=str(there)), url))
        if not found:
            raise refused
        return found
