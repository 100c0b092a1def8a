"""Images (OCI image specification, with Docker's extensions to the config), as values with their JSON forms.

`from_json` takes what `json.loads` gave and raises Invalid naming the field; unknown keys of a config are kept
in `extra`, so that a round trip loses nothing.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from wharf.errors import Invalid
from wharf.spec.digest import Digest
from wharf.spec.platform import Platform

MEDIA_INDEX = "application/vnd.oci.image.index.v1+json"
MEDIA_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
MEDIA_CONFIG = "application/vnd.oci.image.config.v1+json"
MEDIA_LAYER = "application/vnd.oci.image.layer.v1.tar"
MEDIA_LAYER_GZIP = MEDIA_LAYER + "+gzip"
MEDIA_LAYER_ZSTD = MEDIA_LAYER + "+zstd"
MEDIA_DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
MEDIA_DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
MEDIA_DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
MEDIA_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
MEDIA_DOCKER_LAYER_GZIP = MEDIA_DOCKER_LAYER + ".gzip"
_NONDISTRIBUTABLE = "application/vnd.oci.image.layer.nondistributable.v1.tar"
FOREIGN_LAYERS = (
    _NONDISTRIBUTABLE,
    _NONDISTRIBUTABLE + "+gzip",
    _NONDISTRIBUTABLE + "+zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
)
"""Layers that may lie elsewhere than at the registry, and are not uploaded (layer.md#non-distributable-layers)."""
MAX_CONFIG_SIZE = 8 << 20
MAX_MANIFEST_SIZE = 4 << 20


def canonical_json(value: Any) -> bytes:
    """Deterministic compact JSON: the form of every document made here."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A typed pointer to a blob; `size` in bytes, `urls` where it may be had besides."""

    media_type: str
    digest: Digest
    size: int
    annotations: dict[str, str] = field(default_factory=dict)
    platform: Platform | None = None
    urls: tuple[str, ...] = ()

    @property
    def foreign(self) -> bool:
        """A layer that lies elsewhere: it comes from there, and is not pushed."""
        return bool(self.urls) and self.media_type in FOREIGN_LAYERS

    def to_json(self) -> dict[str, Any]:
        """The document's shape in a manifest or index."""
        out: dict[str, Any] = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        if self.urls:
            out["urls"] = list(self.urls)
        if self.annotations:
            out["annotations"] = self.annotations
        if self.platform:
            out["platform"] = {"architecture": self.platform.architecture, "os": self.platform.os}
            if self.platform.variant:
                out["platform"]["variant"] = self.platform.variant
        return out

    @classmethod
    def from_json(cls, raw: Any) -> "Descriptor":
        """Raises Invalid when a field is missing or of the wrong type."""
        if not isinstance(raw, dict):
            raise Invalid("invalid descriptor: not an object")
        size, media = raw.get("size"), raw.get("mediaType", "")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0 or not isinstance(media, str):
            raise Invalid("invalid descriptor: size or mediaType has the wrong type")
        platform = raw.get("platform")
        where = None
        if isinstance(platform, dict):
            where = Platform(*(str(platform.get(k, "")) for k in ("os", "architecture", "variant")))
        notes = raw.get("annotations") or {}
        if not isinstance(notes, dict):
            raise Invalid("invalid descriptor: annotations is not an object")
        urls = raw.get("urls") or []
        if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
            raise Invalid("invalid descriptor: urls is not a list of strings")
        return cls(
            media,
            Digest.parse(str(raw.get("digest"))),
            size,
            {str(k): str(v) for k, v in notes.items()},
            where,
            tuple(urls),
        )


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image manifest: its config and layers, bottom first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: str = MEDIA_MANIFEST
    annotations: dict[str, str] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The deterministic document."""
        out: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": self.media_type,
            "config": self.config.to_json(),
            "layers": [layer.to_json() for layer in self.layers],
        }
        if self.annotations:
            out["annotations"] = self.annotations
        return canonical_json(out)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Manifest":
        """Parse a schema 2 or OCI manifest; raises Invalid."""
        raw = load_json(data, "manifest", MAX_MANIFEST_SIZE)
        layers = raw.get("layers")
        if raw.get("schemaVersion") != 2 or not isinstance(layers, list):
            raise Invalid("invalid manifest: schemaVersion 2 with a list of layers is needed")
        return cls(
            Descriptor.from_json(raw.get("config")),
            tuple(Descriptor.from_json(layer) for layer in layers),
            str(raw.get("mediaType") or MEDIA_MANIFEST),
        )


@dataclass(frozen=True, slots=True)
class HealthConfig:
    """Health check; durations in nanoseconds, 0 means inherited or default."""

    test: list[str] = field(default_factory=list)
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True)
class History:
    """One line of an image's history; `created` is RFC 3339."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """The `config` object of an image config, Docker's fields included; None where the document had null or nothing."""

    user: str = ""
    exposed_ports: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    volumes: tuple[str, ...] = ()
    working_dir: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    stop_signal: str = ""
    stop_timeout: int | None = None
    healthcheck: HealthConfig | None = None
    on_build: tuple[str, ...] = ()
    shell: tuple[str, ...] | None = None
    args_escaped: bool = False


@dataclass(frozen=True, slots=True)
class Image:
    """A whole image config document. `diff_ids` bottom first. `raw` holds the exact bytes when it was received."""

    config: ImageConfig
    diff_ids: tuple[Digest, ...]
    platform: Platform = Platform()
    created: str = ""
    author: str = ""
    history: tuple[History, ...] = ()
    docker_version: str = ""
    comment: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The deterministic config document; its digest is the image's Id."""
        from wharf.spec.image_json import image_to_json

        return canonical_json(image_to_json(self))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Image":
        """Parse an image config document; raises Invalid naming the field."""
        from wharf.spec.image_json import image_from_json

        return image_from_json(load_json(data, "image config", MAX_CONFIG_SIZE))


def load_json(data: bytes, what: str, limit: int) -> dict[str, Any]:
    """Parse bounded JSON that must be an object; raises Invalid."""
    if len(data) > limit:
        raise Invalid(f"invalid {what}: {len(data)} bytes exceed the limit of {limit}")
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"invalid {what}: {error}") from None
    if not isinstance(raw, dict):
        raise Invalid(f"invalid {what}: not a JSON object")
    return raw
