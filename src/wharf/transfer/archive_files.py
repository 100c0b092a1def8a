"""The files of an image archive as they stream in: documents in memory, everything else straight into the blob store.

An archive's manifest comes last in what Docker writes, so a blob is stored before anybody knows what it is for; the
name it had in the archive leads to it afterwards. What turns out to be nothing is swept with the operation.
"""

import posixpath
from dataclasses import dataclass, field

from wharf.errors import Invalid
from wharf.spec.digest import Digest
from wharf.storage.compression import Readable
from wharf.storage.content import ContentStore
from wharf.transfer.tar_reader import HARD_LINK, REGULAR, SYMLINK, TarReader

MAX_DOCUMENT = 8 << 20
MAX_DOCUMENTS = 64 << 20
"""Bytes of all documents that are held in memory."""
MAX_LINKS = 16
_BLOB_PREFIX = "blobs/sha256/"
_LEGACY_NAMES = {"VERSION", "json"}
_DOCUMENT_NAMES = {"manifest.json", "index.json", "oci-layout", "repositories"}


@dataclass(slots=True)
class ArchiveFiles:
    """Names of the archive -> documents and blobs; links as they are."""

    documents: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, tuple[Digest, int]] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def document(self, name: str) -> bytes | None:
        """A small file at the archive's top."""
        return self.documents.get(name)

    def blob(self, name: str) -> tuple[Digest, int]:
        """Digest and size of the file that a manifest calls `name`; raises Invalid when there is none."""
        path = _normal(name)
        for _ in range(MAX_LINKS):
            found = self.blobs.get(path)
            if found:
                return found
            if path not in self.links:
                break
            path = self.links[path]
        raise Invalid(f"invalid image archive: it names {name[:200]!r}, which it does not hold")


def read_archive(source: Readable, content: ContentStore) -> ArchiveFiles:
    """Store every file of the tar stream and return where it went.

    The blobs are not synced yet: `content.sync()` before anything names them.
    Raises Invalid for a damaged archive, a name that leads out of it, or a blob whose name is another's digest.
    """
    files = ArchiveFiles()
    reader = TarReader(source, "image archive")
    held = 0
    for entry in reader:
        name = _normal(entry.name)
        if entry.kind == SYMLINK:
            files.links[name] = _normal(posixpath.join(posixpath.dirname(name), entry.link))
        elif entry.kind == HARD_LINK:
            files.links[name] = _normal(entry.link)
        elif entry.kind == REGULAR and name in _DOCUMENT_NAMES:
            held += entry.size
            if held > MAX_DOCUMENTS:
                raise Invalid(f"invalid image archive: its documents exceed {MAX_DOCUMENTS} bytes")
            files.documents[name] = reader.read_all(MAX_DOCUMENT)
        elif entry.kind == REGULAR and posixpath.basename(name) not in _LEGACY_NAMES:
            blob = content.ingest(reader, _digest_of_name(name), durable=False)
            files.blobs[name] = (blob.digest, blob.size)
    return files


def _digest_of_name(name: str) -> Digest | None:
    if not name.startswith(_BLOB_PREFIX):
        return None
    return Digest.parse("sha256:" + name.removeprefix(_BLOB_PREFIX))


def _normal(name: str) -> str:
    path = posixpath.normpath(name)
    if path.startswith(("/", "../")) or path == "..":
        raise Invalid(f"invalid image archive: the name {name[:200]!r} leads out of it")
    return path
