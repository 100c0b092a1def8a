"""Paths of the distribution specification: which end point, which repository, which reference."""

import re
from dataclasses import dataclass

from wharf.errors import Invalid
from wharf.registry.server.errors import RegistryError
from wharf.spec.digest import Digest

MAX_NAME = 255
_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*\Z")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}\Z")


@dataclass(frozen=True, slots=True)
class Target:
    """What a path names. `kind` is a handler's name; `reference` a digest, tag or upload id as it was written."""

    kind: str
    repository: str = ""
    reference: str = ""


def find(path: str) -> Target | None:
    """The target of a path, None for a path that is none of ours; raises RegistryError (NAME_INVALID)."""
    if path in ("/v2", "/v2/"):
        return Target("base")
    if path == "/v2/_catalog":
        return Target("catalog")
    if path == "/token":
        return Target("token")
    if not path.startswith("/v2/"):
        return None
    parts = path[4:].split("/")
    for size, kind in _shapes(parts):
        name = "/".join(parts[:-size])
        if not name or len(name) > MAX_NAME or not _NAME.match(name):
            raise RegistryError("NAME_INVALID", detail={"name": name[:MAX_NAME]})
        return Target(kind, name, parts[-1] if kind in ("upload", "blob", "manifest", "referrers") else "")
    return None


def _shapes(parts: list[str]) -> list[tuple[int, str]]:
    """How many parts at the end belong to the end point, and which it is."""
    if len(parts) >= 3 and parts[-2:] == ["blobs", "uploads"]:
        return [(2, "uploads")]
    if len(parts) >= 4 and parts[-3:-1] == ["blobs", "uploads"]:
        return [(3, "upload" if parts[-1] else "uploads")]
    if len(parts) >= 3 and parts[-2:] == ["tags", "list"]:
        return [(2, "tags")]
    kinds = {"blobs": "blob", "manifests": "manifest", "referrers": "referrers"}
    if len(parts) >= 3 and parts[-2] in kinds:
        return [(2, kinds[parts[-2]])]
    return []


def valid_name(name: str) -> bool:
    """Whether this can be a repository's name."""
    return len(name) <= MAX_NAME and _NAME.match(name) is not None


def parse_digest(text: str) -> Digest:
    """Raises RegistryError (DIGEST_INVALID)."""
    try:
        return Digest.parse(text)
    except Invalid as error:
        raise RegistryError("DIGEST_INVALID", error.message, {"digest": text[:200]}) from None


def parse_tag(text: str) -> str:
    """Raises RegistryError (MANIFEST_INVALID): the specification has no code for a tag that cannot be."""
    if not _TAG.match(text):
        raise RegistryError("TAG_INVALID", "invalid tag name", {"tag": text[:200]})
    return text


def parse_reference(text: str) -> Digest | str:
    """A digest when there is a colon, else a tag; raises RegistryError."""
    return parse_digest(text) if ":" in text else parse_tag(text)
