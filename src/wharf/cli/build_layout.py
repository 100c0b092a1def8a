"""`--build-context NAME=oci-layout://PATH[:TAG][@DIGEST]`: which blobs of a layout are an image (OCI image layout)."""

from __future__ import annotations

import os

from wharf.cli.session import ExitWith

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PREFIX = "oci-layout://"
MAX_BLOBS = 10_000
_REF_NAME = "org.opencontainers.image.ref.name"


def image_of(where: str) -> tuple[str, str, list[str]]:
    """The directory, the digest of the image or index that is meant, and the files to send. Raises ExitWith."""
    path, _, digest = where.removeprefix(PREFIX).partition("@")
    path, colon, tag = path.rpartition(":")
    if not colon:
        path, tag = tag, ""
    if not os.path.isfile(os.path.join(path, "oci-layout")):
        raise ExitWith(f"invalid store at {path}: it is no OCI image layout")
    digest = digest or _digest_of(where, path, tag)
    return path, digest, ["blobs", "blobs/sha256", *_blobs(path, digest)]


def _digest_of(where: str, path: str, tag: str) -> str:
    """By the tag; without one `latest`, or the only one."""
    entries = _document(os.path.join(path, "index.json")).get("manifests") or []
    named = [item for item in entries if (item.get("annotations") or {}).get(_REF_NAME) == (tag or "latest")]
    if not named and not tag and len(entries) == 1:
        named = entries
    if not named:
        raise ExitWith(f"oci-layout reference {where!r} could not be resolved: no tag {tag or 'latest'} in its index")
    return str(named[0].get("digest", ""))


def _blobs(path: str, top: str) -> list[str]:
    """What a manifest or an index leads to, as far as it is there: another platform's may not be."""
    found: dict[str, None] = {}
    waiting = [top]
    while waiting:
        name = _name(waiting.pop())
        if name in found or not os.path.isfile(os.path.join(path, name)):
            continue
        found[name] = None
        document = _document(os.path.join(path, name))
        waiting += [str(item.get("digest", "")) for item in document.get("manifests") or ()]
        for item in (document.get("config") or {}, *(document.get("layers") or ())):
            blob = _name(str(item.get("digest", "")))
            if os.path.isfile(os.path.join(path, blob)):
                found[blob] = None
        if len(found) > MAX_BLOBS:
            raise ExitWith(f"wharf: more than {MAX_BLOBS} blobs in {path} belong to {top}")
    if not found:
        raise ExitWith(f"wharf: {top} is not in the OCI layout {path}")
    return list(found)


def _name(digest: str) -> str:
    algorithm, _, value = digest.partition(":")
    if algorithm != "sha256" or len(value) != 64 or not value.isalnum():
        raise ExitWith(f"wharf: invalid digest {digest[:100]!r} in an OCI layout")
    return f"blobs/sha256/{value}"


def _document(path: str) -> dict[str, Any]:
    from wharf.client import jsontext

    try:
        with open(path, "rb") as file:
            raw = jsontext.loads(file.read(8 << 20))
    except (OSError, ValueError) as error:
        raise ExitWith(f"wharf: cannot read {path}: {error}") from None
    return raw if isinstance(raw, dict) else {}
