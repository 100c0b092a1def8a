"""Images as the API shows them; `omitempty` in a field's metadata leaves the key out when the value is empty."""

from dataclasses import dataclass, field
from typing import Any

from wharf.spec.container import named


def _omitted(default: Any, json: str | None = None) -> Any:
    metadata: dict[str, Any] = {"omitempty": True}
    if json:
        metadata["json"] = json
    return field(default=default, metadata=metadata)


@dataclass(slots=True)
class ManifestSize:
    """Bytes of a manifest's blobs that are here, and with what is unpacked of them."""

    content: int = 0
    total: int = 0


@dataclass(slots=True)
class UnpackedSize:
    """Bytes of the unpacked layers."""

    unpacked: int = 0


@dataclass(slots=True)
class ImageData:
    """Of a manifest of an image: its platform as OCI has it, and the ids of its containers."""

    platform: dict[str, str]
    size: UnpackedSize
    containers: list[str]


@dataclass(slots=True)
class AttestationData:
    """Of an attestation: the digest of the manifest that it is about."""

    for_: str = named("For", "")


@dataclass(slots=True)
class ManifestSummary:
    """One manifest behind a name; `available`: all its blobs are here. `descriptor` as OCI has it."""

    id: str = named("ID", "")
    descriptor: dict[str, Any] = field(default_factory=dict)
    available: bool = False
    size: ManifestSize = field(default_factory=ManifestSize)
    kind: str = "unknown"
    image_data: ImageData | None = _omitted(None)
    attestation_data: AttestationData | None = _omitted(None)


@dataclass(slots=True)
class ImageSummary:
    """One line of the image list; sizes in bytes, `created` in seconds since 1970, -1 where not asked for."""

    containers: int = -1
    created: int = 0
    id: str = ""
    labels: dict[str, str] | None = None
    parent_id: str = ""
    repo_digests: list[str] = field(default_factory=list)
    repo_tags: list[str] = field(default_factory=list)
    shared_size: int = -1
    size: int = 0
    manifests: list[ManifestSummary] | None = _omitted(None)


@dataclass(slots=True)
class RootFs:
    """Layers as diffIDs, bottom first."""

    type: str = "layers"
    layers: list[str] | None = _omitted(None)


@dataclass(slots=True)
class GraphDriver:
    """Which snapshotter holds the layers, and where."""

    data: dict[str, str] | None = None
    name: str = "overlay2"


@dataclass(slots=True)
class ImageMetadata:
    """What this machine knows of the image; zero time where it was never tagged here."""

    last_tag_time: str = "0001-01-01T00:00:00Z"


@dataclass(slots=True)
class ImageInspect:
    """The answer of inspect; `config` is the image config's `config` object in Docker's JSON."""

    id: str = ""
    repo_tags: list[str] = field(default_factory=list)
    repo_digests: list[str] = field(default_factory=list)
    parent: str = ""
    comment: str = ""
    created: str = _omitted("")
    docker_version: str = ""
    author: str = ""
    config: dict[str, Any] | None = None
    architecture: str = ""
    variant: str = _omitted("")
    os: str = ""
    size: int = 0
    graph_driver: GraphDriver = field(default_factory=GraphDriver)
    root_fs: RootFs = field(default_factory=RootFs, metadata={"json": "RootFS"})
    metadata: ImageMetadata = field(default_factory=ImageMetadata)
    manifests: list[ManifestSummary] | None = _omitted(None)


@dataclass(slots=True)
class HistoryItem:
    """One line of an image's history, newest first; `created` in seconds since 1970."""

    comment: str = ""
    created: int = 0
    created_by: str = ""
    id: str = "<missing>"
    size: int = 0
    tags: list[str] | None = None


@dataclass(slots=True)
class DeleteItem:
    """One thing that a removal did: a name taken away, or an image deleted."""

    untagged: str = _omitted("")
    deleted: str = _omitted("")


@dataclass(slots=True)
class ImagesPruneReport:
    """What a prune removed; bytes freed."""

    images_deleted: list[DeleteItem] | None = None
    space_reclaimed: int = 0


@dataclass(slots=True)
class Change:
    """A path that differs from the image; kind 0 modified, 1 added, 2 deleted."""

    path: str
    kind: int


@dataclass(slots=True)
class PathStat:
    """A path in a container; `mode` is Go's FileMode number, `mtime` RFC 3339."""

    name: str
    size: int
    mode: int
    mtime: str
    link_target: str = named("linkTarget", "")
