"""What refers to an image (signatures, statements, bills of material): brought beside it, kept while it is here, and
taken along by a push, where that is asked for.

    subject ──< referrer ──> blobs            a referrer may be a subject itself: a signature of a bill of material

Found as referrers (distribution specification, end-12, or the tag `sha256-…` of older registries), and under cosign's
tags `sha256-….sig`, `.att`, `.sbom`, which stay their tags.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from wharf.errors import Invalid, NotFound
from wharf.registry.client.errors import Refused
from wharf.registry.client.repository import Repository
from wharf.registry.client.upload import Uploads
from wharf.registry.client.values import MAX_MANIFEST, Document
from wharf.spec.digest import Digest
from wharf.spec.image import MEDIA_INDEX, Descriptor, canonical_json, load_json
from wharf.spec.image_record import Referrer, ReferrersRecord
from wharf.transfer.choose import media_type_of
from wharf.transfer.closure import closure
from wharf.transfer.leases import keep
from wharf.transfer.pull_all import pull_rest
from wharf.transfer.pull_progress import Emit
from wharf.transfer.push_all import push_index
from wharf.transfer.store import ImageStore

COSIGN = (".sig", ".att", ".sbom")
MAX_REFERRERS = 100
"""Of one document."""
MAX_DEPTH = 3
"""Of referrers of referrers."""


def pull_referrers(
    store: ImageStore, repository: Repository, subjects: Iterable[Digest], emit: Emit, at_once: int
) -> None:
    """Bring what refers to the documents, which are here. Raises as a pull; Invalid for too many of them."""
    waiting, seen = [(subject, 0) for subject in subjects], set[Digest]()
    records = []
    while waiting:
        subject, depth = waiting.pop(0)
        if subject in seen:
            continue
        seen.add(subject)
        found: list[Referrer] = []
        for referrer, document in _found(repository, subject):
            if len(found) == MAX_REFERRERS:
                raise Invalid(f"more than {MAX_REFERRERS} documents refer to {subject}")
            keep(store, [referrer.document])
            store.content.put(document.data, durable=False)
            pull_rest(store, repository, referrer.document, emit, at_once)
            found.append(referrer)
            if depth < MAX_DEPTH:
                waiting.append((referrer.document.digest, depth + 1))
        records.append(ReferrersRecord(subject, tuple(found)))
    store.content.sync()
    with store.database.transaction():
        for record in records:
            if record.documents:
                store.database.referrers.put(record)
            else:
                store.database.referrers.delete(str(record.subject))


def push_referrers(store: ImageStore, repository: Repository, top: Digest, emit: Emit, at_once: int) -> None:
    """Send what is kept beside a document that was pushed, and beside those that it leads to. Raises as a push."""
    uploads = Uploads(repository)
    documents = closure(store.content, Descriptor("", top, 0)).documents
    waiting, seen = [item.digest for item in documents], set[Digest]()
    while waiting:
        subject = waiting.pop(0)
        record = store.database.referrers.get(str(subject)) if subject not in seen else None
        seen.add(subject)
        for referrer in record.documents if record is not None else ():
            found = closure(store.content, referrer.document)
            if found.missing:
                raise NotFound(f"{referrer.document.digest}, which refers to {subject}, is not whole any more")
            target = referrer.tag or str(referrer.document.digest)
            known = push_index(store, repository, found, target, emit, at_once)
            if not referrer.tag and known != str(subject):
                _list_under_tag(uploads, subject, store.content.read(referrer.document.digest, MAX_MANIFEST))
            waiting.append(referrer.document.digest)


def _found(repository: Repository, subject: Digest) -> Iterator[tuple[Referrer, Document]]:
    """Documents that say that they refer to the subject, and those with cosign's tags."""
    for entry in repository.referrers(subject):
        digest = Descriptor.from_json(entry).digest
        document = repository.manifest(str(digest))
        about = load_json(document.data, "manifest", MAX_MANIFEST).get("subject")
        if isinstance(about, dict) and about.get("digest") == str(subject):
            yield Referrer(Descriptor(media_type_of(document), digest, len(document.data))), document
    for suffix in COSIGN:
        tag = f"sha256-{subject.hex}{suffix}"
        try:
            document = repository.manifest(tag)
        except Refused as error:
            if error.status not in (401, 403, 404):
                raise
            continue
        yield Referrer(Descriptor(media_type_of(document), document.digest, len(document.data)), tag), document


def _list_under_tag(uploads: Uploads, subject: Digest, data: bytes) -> None:
    """For a registry that keeps no list of referrers: the client does, under a tag (end of the specification's
    "Pushing Manifests with Subject")."""
    tag = f"sha256-{subject.hex}"
    known = uploads.manifest(tag)
    index: dict[str, Any] = {"schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": []}
    if known is not None:
        index = load_json(known.data, "list of referrers", MAX_MANIFEST)
        if not isinstance(index.get("manifests"), list):
            raise Invalid(f"{tag} at the registry is no list of referrers")
    entry = _listed(data)
    if any(isinstance(item, dict) and item.get("digest") == entry["digest"] for item in index["manifests"]):
        return
    index["manifests"].append(entry)
    document = canonical_json(index)
    uploads.put_manifest(tag, Document(MEDIA_INDEX, document, Digest.of(document)))


def _listed(data: bytes) -> dict[str, Any]:
    """A referrer's descriptor in such a list: with its type and annotations."""
    raw = load_json(data, "manifest", MAX_MANIFEST)
    config = raw.get("config") if isinstance(raw.get("config"), dict) else {}
    entry = {"mediaType": str(raw.get("mediaType") or ""), "digest": str(Digest.of(data)), "size": len(data)}
    kind = raw.get("artifactType") or (config or {}).get("mediaType")
    return {**entry, **({"artifactType": kind} if kind else {}), **_notes(raw)}


def _notes(raw: dict[str, Any]) -> dict[str, Any]:
    return {"annotations": raw["annotations"]} if raw.get("annotations") else {}
