"""Uploads to one repository: HEAD, mount, POST – PATCH – PUT, and the manifest.

    POST uploads/ -> Location -> PATCH (the bytes) -> Location -> PUT ?digest=
                        └── cut: GET tells how far it came, PATCH goes on from there

A small blob goes with the PUT. What is compressed while it is sent has its digest only at the end.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol

from wharf.registry.client.errors import Misbehaves, Refused, Unreachable
from wharf.registry.client.http import Answer
from wharf.registry.client.place import Place
from wharf.registry.client.repository import ACCEPT, Repository
from wharf.registry.client.values import MAX_MANIFEST, Document
from wharf.spec.digest import Digest

MAX_SMALL = 64 << 10
PIECE = 4 << 20
"""Of an upload that goes on and whose end nobody knows yet."""
_LOST = (404, 416)
OCTETS = {"Content-Type": "application/octet-stream"}


class Source(Protocol):
    """A blob to send."""

    size: int | None
    """Bytes, None while nobody knows."""

    def chunks(self, offset: int) -> Iterator[bytes]:
        """The bytes from `offset` on; may be asked for again."""

    def digest(self) -> Digest:
        """Of the whole; known at the latest when `chunks` has come to its end."""


class Uploads:
    """Sends blobs and manifests to one repository, never to a mirror."""

    def __init__(self, repository: Repository) -> None:
        self._path = repository.path
        self._place: Place = repository.origin
        self._attempts = repository.attempts
        self._scope = repository.scope("pull,push")

    def size(self, digest: Digest) -> int | None:
        """Bytes of a blob that is there, None when it is not; 0 when the registry does not say. Raises Refused."""
        try:
            answer = self._place.get("HEAD", f"/v2/{self._path}/blobs/{digest}", self._scope)
        except Refused as error:
            if error.status == 404:
                return None
            raise
        answer.finish()
        return answer.length or 0

    def mount(self, digest: Digest, source: str) -> bool:
        """Take a blob over from another repository of the registry; whether that went."""
        scope = f"{self._scope} repository:{source}:pull"
        url = f"/v2/{self._path}/blobs/uploads/?mount={digest}&from={source}"
        answer = self._place.send("POST", url, scope)
        if answer.status == 201:
            answer.finish()
            return True
        if answer.status == 202:  # an upload has begun instead: nobody will use it
            location = answer.header("Location")
            answer.finish()
            if location:
                self._place.send("DELETE", location, self._scope).finish()
            return False
        answer.finish()
        return False

    def send(self, source: Source) -> None:
        """Upload a blob. Raises Refused, Unreachable, Unauthorized, Misbehaves."""
        location, failures = "", 0
        while True:
            try:
                if source.size is not None and source.size <= MAX_SMALL:
                    return self._put_small(source)
                offset, location = self._where(location) if location else (0, self._start())
                if source.size is not None and offset > source.size:
                    raise Misbehaves(f"{self._place} says that it has {offset} bytes of {source.size}")
                location = self._patch(location, source, offset)
                return self._close(location, source.digest())
            except (Unreachable, Refused) as error:
                failures += 1
                lost = isinstance(error, Refused) and error.status in _LOST
                if failures >= self._attempts or not (lost or self._place.may_pass(error)):
                    raise
                if isinstance(error, Refused):
                    location = ""  # the upload is lost: another one, from the beginning
                self._place.pause(failures, getattr(error, "wait", None))

    def manifest(self, name: str) -> Document | None:
        """The manifest or index of a tag there; None when there is none. Raises as `send`."""
        try:
            url = f"/v2/{self._path}/manifests/{name}"
            answer, data = self._place.document(url, self._scope, MAX_MANIFEST, {"Accept": ACCEPT})
        except Refused as error:
            if error.status == 404:
                return None
            raise
        return Document(answer.header("Content-Type").partition(";")[0].strip(), data, Digest.of(data))

    def put_manifest(self, name: str, document: Document) -> str:
        """Store a manifest under a tag or digest; the subject that the registry lists it for, or "".

        Raises as `send`; Misbehaves when another digest is stored.
        """
        headers = {"Content-Type": document.media_type}
        url = f"/v2/{self._path}/manifests/{name}"
        for attempt in range(1, self._attempts + 1):
            try:
                answer = self._send("PUT", url, headers, document.data)
                break
            except (Unreachable, Refused) as error:
                if attempt == self._attempts or not self._place.may_pass(error):
                    raise
                self._place.pause(attempt, getattr(error, "wait", None))
        answer.finish()
        said = answer.header("Docker-Content-Digest")
        if said and said != str(document.digest):
            raise Misbehaves(f"the registry stored {said[:100]}, {document.digest} was sent")
        return answer.header("OCI-Subject")

    def _put_small(self, source: Source) -> None:
        data = b"".join(source.chunks(0))
        location = self._start()
        mark = "&" if "?" in location else "?"
        self._send("PUT", f"{location}{mark}digest={source.digest()}", OCTETS, data).finish()

    def _start(self) -> str:
        answer = self._send("POST", f"/v2/{self._path}/blobs/uploads/", {}, b"")
        answer.finish()
        return self._location(answer)

    def _where(self, location: str) -> tuple[int, str]:
        """How many bytes the registry has, and where the next go."""
        answer = self._place.get("GET", location, self._scope)
        answer.finish()
        first, dash, last = answer.header("Range").removeprefix("bytes=").partition("-")
        known = dash and first == "0" and last.isascii() and last.isdigit() and len(last) < 19
        # "0-0" says one byte, or none: registries differ. From the beginning again is right for both.
        if not known or last == "0":
            return 0, self._start()
        return int(last) + 1, self._location(answer, location)

    def _patch(self, location: str, source: Source, offset: int) -> str:
        if offset and source.size is None:
            return self._patch_pieces(location, source, offset)
        headers = dict(OCTETS)
        if source.size is not None:
            headers["Content-Length"] = str(source.size - offset)
        if offset:
            headers["Content-Range"] = f"{offset}-{(source.size or 0) - 1}"
        answer = self._send("PATCH", location, headers, source.chunks(offset))
        answer.finish()
        return self._location(answer, location)

    def _patch_pieces(self, location: str, source: Source, offset: int) -> str:
        """The rest of what has no known length, in chunks that have one: Content-Range wants both ends (end-5)."""
        for piece in _pieces(source.chunks(offset)):
            end = offset + len(piece) - 1
            headers = {**OCTETS, "Content-Length": str(len(piece)), "Content-Range": f"{offset}-{end}"}
            answer = self._send("PATCH", location, headers, iter((piece,)))  # never sent twice by itself
            answer.finish()
            location, offset = self._location(answer, location), offset + len(piece)
        return location

    def _close(self, location: str, digest: Digest) -> None:
        mark = "&" if "?" in location else "?"
        self._send("PUT", f"{location}{mark}digest={digest}", OCTETS, b"").finish()

    def _send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | Iterator[bytes]) -> Answer:
        answer = self._place.send(method, url, self._scope, headers, body)
        if answer.status >= 400:
            raise self._place.refusal(answer)
        return answer

    def _location(self, answer: Answer, before: str = "") -> str:
        target = answer.header("Location") or before
        if not target:
            raise Misbehaves(f"{self._place}: the answer to an upload has no Location")
        return self._place.resolve(target)


def _pieces(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of PIECE bytes or a little more, the last one smaller."""
    waiting = bytearray()
    for chunk in chunks:
        waiting += chunk
        if len(waiting) >= PIECE:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)
