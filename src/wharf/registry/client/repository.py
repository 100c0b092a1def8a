"""The images of one name: manifests and blobs, from its mirrors and from the registry itself."""

from collections.abc import Callable
from typing import TypeVar

from wharf.errors import Invalid, WharfError
from wharf.registry.client.errors import Misbehaves, Refused, Unreachable
from wharf.registry.client.http import Answer
from wharf.registry.client.place import Client, Place
from wharf.registry.client.values import MAX_MANIFEST, NOBODY, Credentials, Document, Head
from wharf.spec.digest import Digest
from wharf.spec.image import (
    MEDIA_DOCKER_INDEX,
    MEDIA_DOCKER_MANIFEST,
    MEDIA_INDEX,
    MEDIA_MANIFEST,
    Descriptor,
)
from wharf.spec.reference import Reference

INDEX_TYPES = (MEDIA_INDEX, MEDIA_DOCKER_INDEX)
MANIFEST_TYPES = (MEDIA_MANIFEST, MEDIA_DOCKER_MANIFEST)
ACCEPT = ", ".join((MEDIA_INDEX, MEDIA_DOCKER_INDEX, MEDIA_MANIFEST, MEDIA_DOCKER_MANIFEST))
CHUNK = 256 << 10
MAX_RESUMES = 100
"""Cuts of one blob that are taken up again, as long as each brought something."""
Sink = Callable[[memoryview], object]
T = TypeVar("T")


class Repository:
    """The repository of `reference`, whose tag and digest do not matter here."""

    def __init__(self, client: Client, reference: Reference, credentials: Credentials = NOBODY) -> None:
        self.path = reference.path
        self.attempts = client.config.attempts
        self.places = client.places(reference.domain, credentials)

    @property
    def origin(self) -> Place:
        """The registry itself."""
        return self.places[-1]

    def cancel(self) -> None:
        """End pauses between attempts; what runs fails soon."""
        for place in self.places:
            place.cancelled.set()

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
            answer = place.get("GET", f"/v2/{self.path}/manifests/{name}", self.scope(), {"Accept": ACCEPT})
            data = answer.read(MAX_MANIFEST)
            digest = Digest.of(data)
            for expected in (name if ":" in name else "", answer.header("Docker-Content-Digest")):
                if expected.startswith("sha256:") and expected != str(digest):
                    raise Misbehaves(f"manifest verification failed for digest {expected[:100]}")
            return Document(_media_type(answer), data, digest)

        return self._first(ask)

    def document(self, digest: Digest, limit: int) -> bytes:
        """A small blob, whole and checked. Raises as `manifest`."""

        def ask(place: Place) -> bytes:
            data = place.get("GET", f"/v2/{self.path}/blobs/{digest}", self.scope()).read(limit)
            if Digest.of(data) != digest:
                raise Misbehaves(f"wrong digest: expected {digest}, the content is {Digest.of(data)}")
            return data

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

        The caller hashes. Raises Refused, Unreachable, Unauthorized; Misbehaves when the length is not the
        descriptor's.
        """
        position, failures, resumes = 0, 0, 0
        while position < blob.size or position == 0:
            before = position
            try:
                answer = self._open(blob, position)
                position = self._receive(answer, blob, position, sink)
                return
            except _Cut as cut:
                position = cut.position
                failures = failures + 1 if position == before else 1
                resumes += 1
                if failures >= self.attempts or resumes > MAX_RESUMES:
                    raise Unreachable(cut.message) from None
                self.origin.pause(failures)

    def _open(self, blob: Descriptor, position: int) -> Answer:
        headers = {"Range": f"bytes={position}-"} if position else {}
        return self._first(
            lambda place: place.get("GET", f"/v2/{self.path}/blobs/{blob.digest}", self.scope(), headers)
        )

    def _receive(self, answer: Answer, blob: Descriptor, position: int, sink: Sink) -> int:
        skip = position if answer.status == 200 else 0
        if position and answer.status == 206:
            _check_range(answer, blob, position)
        expected = blob.size if skip or not position else blob.size - position
        if answer.length is not None and answer.length != expected:
            answer.close()
            raise Misbehaves(f"blob {blob.digest}: {answer.length} bytes announced, {expected} expected")
        buffer = memoryview(bytearray(min(CHUNK, max(expected, 1))))
        left = expected
        while left:
            try:
                size = answer.readinto(buffer[: min(len(buffer), left)])
            except Unreachable as error:
                raise _Cut(position, error.message) from None
            if not size:
                answer.close()
                raise _Cut(position, f'Get "{answer.url.partition("?")[0]}": unexpected EOF')
            left -= size
            useful = buffer[min(skip, size) : size]
            skip -= size - len(useful)
            if useful:
                sink(useful)
                position += len(useful)
        self._check_end(answer, blob)
        return position

    @staticmethod
    def _check_end(answer: Answer, blob: Descriptor) -> None:
        if answer.length is None:
            try:
                more = answer.readinto(memoryview(bytearray(1)))
            except Unreachable:
                more = 0
            if more:
                answer.close()
                raise Misbehaves(f"blob {blob.digest}: it goes on after its {blob.size} bytes")
        answer.finish()

    def _first(self, ask: Callable[[Place], T]) -> T:
        """From the first place that has it; the registry's own error when none has."""
        for place in self.places[:-1]:
            try:
                return ask(place)
            except WharfError:
                if place.cancelled.is_set():
                    raise
        return ask(self.origin)


class _Cut(Unreachable):
    """The connection broke after `position` bytes of the blob."""

    def __init__(self, position: int, message: str) -> None:
        super().__init__(message)
        self.position = position


def _check_range(answer: Answer, blob: Descriptor, position: int) -> None:
    text = answer.header("Content-Range")
    if text.replace(" ", "") not in ("", *(f"bytes{position}-{blob.size - 1}/{end}" for end in (blob.size, "*"))):
        answer.close()
        raise Misbehaves(f"blob {blob.digest}: bytes from {position} were asked for, {text[:100]!r} came")


def _media_type(answer: Answer) -> str:
    return answer.header("Content-Type").partition(";")[0].strip()
