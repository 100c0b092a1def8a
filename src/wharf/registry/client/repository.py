"""The images of one name: manifests and blobs, from its mirrors and from the registry itself.

A mirror that fails (cannot be reached, misbehaves, is broken or busy, gave wrong bytes) is left out from then on; one
that merely has not what is asked for stays.
"""

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote

from wharf.errors import Invalid, Unauthorized, WharfError
from wharf.registry.client.download import Sink, Transfer
from wharf.registry.client.elsewhere import Elsewhere
from wharf.registry.client.errors import Misbehaves, Refused
from wharf.registry.client.http import Answer
from wharf.registry.client.paging import MAX_PAGES, next_page
from wharf.registry.client.place import Client, Place
from wharf.registry.client.values import MAX_MANIFEST, NOBODY, Credentials, Document, Head
from wharf.spec.digest import Digest
from wharf.spec.image import (
    MEDIA_DOCKER_INDEX,
    MEDIA_DOCKER_MANIFEST,
    MEDIA_INDEX,
    MEDIA_MANIFEST,
    Descriptor,
    load_json,
)
from wharf.spec.reference import Reference

INDEX_TYPES = (MEDIA_INDEX, MEDIA_DOCKER_INDEX)
MANIFEST_TYPES = (MEDIA_MANIFEST, MEDIA_DOCKER_MANIFEST)
ACCEPT = ", ".join((MEDIA_INDEX, MEDIA_DOCKER_INDEX, MEDIA_MANIFEST, MEDIA_DOCKER_MANIFEST))
MAX_LISTED = 1000
"""Referrers of one document, more than any caller takes."""
T = TypeVar("T")


class Repository:
    """The repository of `reference`, whose tag and digest do not matter here."""

    def __init__(self, client: Client, reference: Reference, credentials: Credentials = NOBODY) -> None:
        self.path = reference.path
        self.attempts = client.config.attempts
        self.places = client.places(reference.domain, credentials)
        self._elsewhere = Elsewhere(client, reference.domain)
        self._failed: set[Place] = set()
        self._givers: dict[Digest, set[Place]] = {}

    @property
    def origin(self) -> Place:
        """The registry itself."""
        return self.places[-1]

    def cancel(self) -> None:
        """End pauses between attempts; what runs fails soon."""
        for place in self.places:
            place.cancelled.set()
        self._elsewhere.cancel()

    def scope(self, actions: str = "pull") -> str:
        """The scope of a token for this repository."""
        return f"repository:{self.path}:{actions}"

    def head(self, name: str) -> Head | None:
        """What stands behind a tag or digest; None when the registry does not say it without sending the manifest.

        Raises Refused, Unreachable, Unauthorized.
        """

        def ask(place: Place) -> Head | None:
            url = f"/v2/{self.path}/manifests/{name}"
            answer = place.send("HEAD", url, self.scope(), {"Accept": ACCEPT})
            answer.finish()
            digest = answer.header("Docker-Content-Digest")
            if answer.status != 200 or not digest:
                return None
            try:
                return Head(Digest.parse(digest), _media_type(answer))
            except Invalid:
                return None

        return self._first(ask)

    def manifest(self, name: str) -> Document:
        """The manifest or index of a tag or digest, its digest checked.

        Raises Refused (404 and the like), Unreachable, Unauthorized; Misbehaves for what is too large or not what it
        says it is.
        """

        def ask(place: Place) -> Document:
            url = f"/v2/{self.path}/manifests/{name}"
            answer, data = place.document(url, self.scope(), MAX_MANIFEST, {"Accept": ACCEPT})
            digest = Digest.of(data)
            for expected in (name if ":" in name else "", answer.header("Docker-Content-Digest")):
                if expected.startswith("sha256:") and expected != str(digest):
                    raise Misbehaves(f"manifest verification failed for digest {expected[:100]}")
            document = Document(_media_type(answer), data, digest)
            if place is not self.origin and not _may_be_manifest(document):
                raise Misbehaves(f"{place} answers with what is no manifest")
            return document

        return self._first(ask)

    def referrers(self, digest: Digest, artifact_type: str = "") -> list[dict[str, Any]]:
        """What refers to a document (of that type only, where one is given), as descriptors in JSON. Unverified.

        Page by page, until there are more than MAX_LISTED. Older registries keep the list under a tag.

        Raises Refused, Unreachable, Unauthorized, Misbehaves, Invalid.
        """

        def ask(place: Place) -> list[dict[str, Any]]:
            url = f"/v2/{self.path}/referrers/{digest}"
            url += f"?artifactType={quote(artifact_type, safe='')}" if artifact_type else ""
            found: list[dict[str, Any]] = []
            for _ in range(MAX_PAGES):
                answer, data = place.document(url, self.scope(), MAX_MANIFEST, {"Accept": MEDIA_INDEX})
                found += _entries(data)
                url = next_page(answer.header("Link"))
                if not url or len(found) > MAX_LISTED:
                    break
            else:
                raise Misbehaves(f"the list of what refers to {digest} has no end")
            if not found and place is not self.origin:
                raise Refused(404, "", f"{place} knows of no referrers")
            return found

        try:
            return self._first(ask)
        except Refused as error:
            if error.status not in (400, 404, 405):
                raise
        try:
            return _entries(self.manifest(f"sha256-{digest.hex}").data)
        except Refused as error:
            if error.status != 404:
                raise
            return []

    def document(self, digest: Digest, limit: int) -> bytes:
        """A small blob, whole and checked. Raises as `manifest`."""

        def ask(place: Place) -> bytes:
            _, data = place.document(f"/v2/{self.path}/blobs/{digest}", self.scope(), limit)
            if Digest.of(data) != digest:
                raise Misbehaves(f"wrong digest: expected {digest}, the content is {Digest.of(data)}")
            return data

        return self._first(ask)

    def listing(self, url: str, limit: int) -> tuple[bytes, str]:
        """A page of a list, and its header Link. Raises as `manifest`."""

        def ask(place: Place) -> tuple[bytes, str]:
            answer, data = place.document(url, self.scope(), limit)
            return data, answer.header("Link")

        return self._first(ask)

    def blob(self, digest: Digest, offset: int = 0) -> Answer | None:
        """The blob from `offset` on (status 206), or whole (200), to be closed by the caller; None: not there."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        try:
            return self._first(lambda place: place.get("GET", f"/v2/{self.path}/blobs/{digest}", self.scope(), headers))
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def download(self, blob: Descriptor, sink: Sink) -> None:
        """Give `sink` the blob's bytes, in order, each once. A cut is taken up again where it happened.

        The caller hashes, and tells by `distrust` when the bytes were wrong. Raises Refused, Unreachable, Unauthorized;
        Misbehaves when the length is not the descriptor's.
        """
        transfer = Transfer(blob, lambda position: self._open(blob, position), self._drop, self.attempts)
        self._givers[blob.digest] = transfer.givers
        transfer.run(sink)

    def distrust(self, digest: Digest) -> bool:
        """The bytes that `download` gave for a blob were wrong: whether there is another source for it now."""
        dropped = [self._drop(place) for place in self._givers.get(digest, ())]
        return any(dropped)

    def _open(self, blob: Descriptor, position: int) -> tuple[Place, Answer]:
        headers = {"Range": f"bytes={position}-"} if position else {}
        url = f"/v2/{self.path}/blobs/{blob.digest}"
        try:
            return self._first(lambda place: (place, place.get("GET", url, self.scope(), headers)))
        except Refused as error:
            if error.status != 404 or not blob.foreign:
                raise
        return self._elsewhere.open(blob, headers)

    def _first(self, ask: Callable[[Place], T]) -> T:
        """From the first place that has it; the registry's own error when none has."""
        for place in [place for place in self.places[:-1] if place not in self._failed]:
            try:
                return ask(place)
            except WharfError as error:
                if place.cancelled.is_set():
                    raise
                if not _is_no(error):
                    self._drop(place)
        return ask(self.origin)

    def _drop(self, place: Place) -> bool:
        """Ask a mirror no more; False for the registry itself, which there is no other for."""
        if place not in self.places:
            return self._elsewhere.drop(place)
        if place is self.origin:
            return False
        self._failed.add(place)
        return True


def _is_no(error: WharfError) -> bool:
    """An honest answer of a mirror: it has not that, or does not give it to everybody."""
    return isinstance(error, Unauthorized) or (isinstance(error, Refused) and error.status in (401, 403, 404))


def _entries(data: bytes) -> list[dict[str, Any]]:
    listed = load_json(data, "list of referrers", MAX_MANIFEST).get("manifests")
    return [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []


def _may_be_manifest(document: Document) -> bool:
    """Not a page of some gateway: the registry's own answer is judged by who reads it."""
    return document.media_type in INDEX_TYPES + MANIFEST_TYPES or document.data.lstrip()[:1] == b"{"


def _media_type(answer: Answer) -> str:
    return answer.header("Content-Type").partition(";")[0].strip()
