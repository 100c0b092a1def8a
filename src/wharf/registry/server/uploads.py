"""Uploads (distribution specification, end-4, 5, 6, 11, 13, 14).

    POST ─> open ── PATCH (bytes appended at the end, or 416) ──> open ── PUT ?digest=… ─> a blob, linked
      │       └──── GET (how far), DELETE ─> gone                              └─ wrong digest ─> gone
      ├─ ?digest=… with the body ─> a blob
      └─ ?mount=…&from=… ─> linked, or open when the client may not read there

Bytes that arrived stay when the client is cut: it asks with GET and goes on from there, also after a restart of ours.
One request at a time works on an upload.
"""

import contextlib
import re
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator

from wharf.errors import NotFound, Unavailable
from wharf.registry.server.contracts import UploadFile
from wharf.registry.server.errors import RegistryError
from wharf.registry.server.http import Request, Response
from wharf.registry.server.routes import Target, parse_digest, valid_name
from wharf.registry.server.state import Registry
from wharf.spec.digest import Digest

MAX_OPEN_FILES = 256
"""Uploads whose file and hash stay open between two requests; others are opened, and hashed, again."""
BUSY_SECONDS = 5.0
"""How long a request waits for another on the same upload: a client that was cut may be back before we noticed."""
MIN_CHUNK = "0"
_CONTENT_RANGE = re.compile(r"(?:bytes[ =])?(\d{1,18})-(\d{1,18})(?:/(?:\d{1,18}|\*))?\Z")


class _Turn:
    """Whose turn it is on an upload; kept while anybody works on it or waits."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0


class Uploading:
    """The uploads' handlers and the files that they keep open."""

    def __init__(self, registry: Registry, may_pull: Callable[[Request, str], bool]) -> None:
        """`may_pull` says whether the client may read another repository (for a mount)."""
        self._registry = registry
        self._may_pull = may_pull
        self._lock = threading.Lock()
        self._turns: dict[str, _Turn] = {}
        self._kept: OrderedDict[str, UploadFile] = OrderedDict()

    def start(self, request: Request, target: Target) -> Response:
        """POST: begin an upload, take a whole blob, or mount one from another repository."""
        mount, digest = request.text("mount"), request.text("digest")
        if mount and (response := self._mount(request, target.repository, parse_digest(mount))):
            return response
        wanted = parse_digest(digest) if digest else None
        name = str(uuid.uuid4())
        self._registry.metadata.uploads.start(target.repository, name)
        self._registry.blobs.upload(name, create=True).close()
        if wanted is None or mount:
            with contextlib.suppress(RegistryError):
                request.body.read(0)
            return self._progress(202, target.repository, name, 0)
        with self._hold(target.repository, name) as file:
            try:
                self._append(request, file)
            except BaseException:
                self._drop(name)
                raise
            return self._finish(target.repository, name, file, wanted)

    def status(self, request: Request, target: Target) -> Response:
        """GET: how many bytes are here."""
        with self._hold(target.repository, target.reference) as file:
            return self._progress(204, target.repository, target.reference, file.size)

    def patch(self, request: Request, target: Target) -> Response:
        """PATCH: append; 416 when Content-Range does not begin where the upload ends."""
        with self._hold(target.repository, target.reference) as file:
            self._check_range(request, target, file)
            self._append(request, file)
            return self._progress(202, target.repository, target.reference, file.size)

    def put(self, request: Request, target: Target) -> Response:
        """PUT: the last bytes, if any, and the digest; 201 or DIGEST_INVALID."""
        if not request.text("digest"):
            raise RegistryError("DIGEST_INVALID", "digest parameter is missing")
        wanted = parse_digest(request.text("digest"))
        with self._hold(target.repository, target.reference) as file:
            self._check_range(request, target, file)
            self._append(request, file)
            return self._finish(target.repository, target.reference, file, wanted)

    def cancel(self, request: Request, target: Target) -> Response:
        """DELETE: give the upload up."""
        with self._hold(target.repository, target.reference):
            self._drop(target.reference)
        return Response(204)

    def expire(self, seconds: float) -> int:
        """Give up uploads that began longer ago than this and that nobody works on; how many."""
        ended = 0
        for name in self._registry.metadata.uploads.older_than(seconds):
            repository = self._registry.metadata.uploads.repository(name) or ""
            with contextlib.suppress(RegistryError):
                with self._hold(repository, name, wait=0.0):
                    self._drop(name)
                    ended += 1
        return ended

    def close(self) -> None:
        """Close the files; the uploads stay."""
        with self._lock:
            for file in self._kept.values():
                file.close()
            self._kept.clear()

    # Steps.

    def _mount(self, request: Request, repository: str, digest: Digest) -> Response | None:
        """Link a blob of another repository that the client may read; without `from`, only one of this repository."""
        source = request.text("from") or repository
        if not valid_name(source) or (source != repository and not self._may_pull(request, source)):
            return None
        metadata = self._registry.metadata
        self._registry.leases.touch(repository, digest)
        with metadata.transaction():
            if not metadata.links.has(source, digest) or not self._registry.blobs.has(digest):
                return None
            metadata.links.add(repository, digest)
        return _created(repository, digest)

    def _append(self, request: Request, file: UploadFile) -> None:
        before = file.size
        try:
            request.body.pump(file.append)
        except Unavailable as error:
            raise RegistryError("INSUFFICIENT_STORAGE", error.message) from None
        length = request.body.length
        if length is not None and file.size - before != length:
            raise RegistryError("SIZE_INVALID")

    def _check_range(self, request: Request, target: Target, file: UploadFile) -> None:
        text = request.headers.get("content-range")
        if text is None:
            return
        match = _CONTENT_RANGE.match(text.strip())
        if match is None:
            raise RegistryError("BLOB_UPLOAD_INVALID", "malformed Content-Range", {"range": text[:100]})
        first, last = int(match[1]), int(match[2])
        length = request.body.length
        if length is not None and length != last - first + 1:
            raise RegistryError("SIZE_INVALID", "Content-Range and Content-Length say different sizes")
        if first != file.size:
            headers = self._progress(416, target.repository, target.reference, file.size).headers
            raise RegistryError("BLOB_UPLOAD_INVALID", "the range is out of order", status=416, headers=headers)

    def _finish(self, repository: str, name: str, file: UploadFile, wanted: Digest) -> Response:
        """Hash, sync, and in one transaction: the file gets its name, the repository its link."""
        found = file.digest()
        if found != wanted:
            self._drop(name)
            raise RegistryError("DIGEST_INVALID", detail={"digest": str(wanted), "content": str(found)})
        metadata = self._registry.metadata
        file.sync()
        self._registry.leases.touch(repository, wanted)
        with metadata.transaction():
            self._registry.blobs.publish(name, wanted)
            metadata.links.add(repository, wanted)
            metadata.uploads.end(name)
        self._forget(name)
        return _created(repository, wanted)

    def _progress(self, status: int, repository: str, name: str, size: int) -> Response:
        headers = {
            "Location": f"/v2/{repository}/blobs/uploads/{name}",
            "Range": f"0-{max(size - 1, 0)}",
            "Docker-Upload-UUID": name,
        }
        if status == 202 and size == 0:
            headers["OCI-Chunk-Min-Length"] = MIN_CHUNK
        return Response(status, b"", headers)

    # Files.

    @contextlib.contextmanager
    def _hold(self, repository: str, name: str, wait: float = BUSY_SECONDS) -> Iterator[UploadFile]:
        """The upload's file, for this request alone; raises RegistryError."""
        with self._lock:
            turn = self._turns.setdefault(name, _Turn())
            turn.users += 1
        try:
            if not turn.lock.acquire(timeout=wait):
                raise RegistryError("BLOB_UPLOAD_INVALID", "another request works on this upload", status=409)
            try:
                if self._registry.metadata.uploads.repository(name) != repository:
                    raise RegistryError("BLOB_UPLOAD_UNKNOWN", detail={"uuid": name[:100]})
                yield self._file(name)
            finally:
                turn.lock.release()
        finally:
            with self._lock:
                turn.users -= 1
                if not turn.users:
                    del self._turns[name]

    def _file(self, name: str) -> UploadFile:
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
                return self._kept[name]
        try:
            file = self._registry.blobs.upload(name, create=False)
        except NotFound:
            self._registry.metadata.uploads.end(name)
            raise RegistryError("BLOB_UPLOAD_UNKNOWN", detail={"uuid": name[:100]}) from None
        with self._lock:
            self._kept[name] = file
            self._close_oldest()
        return file

    def _close_oldest(self) -> None:
        """Keep the number of open files bounded; those at work stay open. The lock is held."""
        for name in list(self._kept):
            if len(self._kept) <= MAX_OPEN_FILES:
                return
            if name not in self._turns:
                self._kept.pop(name).close()

    def _forget(self, name: str) -> None:
        with self._lock:
            file = self._kept.pop(name, None)
        if file is not None:
            file.close()

    def _drop(self, name: str) -> None:
        """The upload ends without a blob. The bytes go first: on a full disk they make room for recording it."""
        self._forget(name)
        self._registry.blobs.discard(name)
        self._registry.metadata.uploads.end(name)


def _created(repository: str, digest: Digest) -> Response:
    headers = {"Location": f"/v2/{repository}/blobs/{digest}", "Docker-Content-Digest": str(digest)}
    return Response(201, b"", headers)
