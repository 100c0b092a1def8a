"""The build cache on its way to another machine: an OCI artifact of its own kind.

    manifest   config: the document below; layers: blobs of steps and of cache mounts, each once
    config     {"version": 1, "diffIDs": [… one a layer …], "records": [{"key", "title", "layers": [index …],
               "parents"}], "mounts": [{"name", "title", "layer": index}]}

An image may carry its own cache instead, in its configuration (`wharf.cache.v1`): the records then tell how many of
the image's layers they are.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wharf.errors import Invalid
from wharf.spec.digest import Digest
from wharf.spec.image import MEDIA_MANIFEST, Descriptor, Image, Manifest, canonical_json, load_json

MEDIA_CACHE_CONFIG = "application/vnd.wharf.cacheconfig.v1+json"
INLINE = "wharf.cache.v1"
VERSION = 1
MAX_DOCUMENT = 16 << 20
MAX_RECORDS = 20_000
MAX_LAYERS = 20_000
_KEY = re.compile(r"[0-9a-f]{64}(-[0-9]{1,4})?\Z")


@dataclass(frozen=True, slots=True)
class PortableStep:
    """A step's result: its key, and its tree by the diffIDs of its layers, bottom first."""

    key: str
    title: str
    diff_ids: tuple[Digest, ...]
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PortableMount:
    """A cache mount: the name of its directory, and the archive of what is in it."""

    name: str
    title: str
    diff_id: Digest


@dataclass(frozen=True, slots=True)
class CacheDocument:
    """Steps and mounts, and where the blob of each diffID is described."""

    steps: tuple[PortableStep, ...] = ()
    mounts: tuple[PortableMount, ...] = ()
    blobs: Mapping[Digest, Descriptor] | None = None

    def encode(self) -> tuple[bytes, Manifest]:
        """The config document and the manifest. `blobs` has an entry for every diffID that is named."""
        assert self.blobs is not None
        order = sorted(self.blobs, key=lambda diff_id: diff_id.hex)
        at = {diff_id: number for number, diff_id in enumerate(order)}
        config = canonical_json(
            {
                "version": VERSION,
                "diffIDs": [str(diff_id) for diff_id in order],
                "records": [
                    {
                        "key": step.key,
                        "title": step.title,
                        "layers": [at[diff_id] for diff_id in step.diff_ids],
                        "parents": list(step.parents),
                    }
                    for step in self.steps
                ],
                "mounts": [{"name": m.name, "title": m.title, "layer": at[m.diff_id]} for m in self.mounts],
            }
        )
        descriptor = Descriptor(MEDIA_CACHE_CONFIG, Digest.of(config), len(config))
        layers = tuple(self.blobs[diff_id] for diff_id in order)
        return config, Manifest(descriptor, layers, MEDIA_MANIFEST)


def decode(manifest: Manifest, config: bytes) -> CacheDocument:
    """The other way. Raises Invalid for what is no cache."""
    raw = load_json(config, "build cache", MAX_DOCUMENT)
    if raw.get("version") != VERSION:
        raise Invalid(f"invalid build cache: version {raw.get('version')!r} is not known")
    names = _strings(raw.get("diffIDs"), MAX_LAYERS)
    if len(names) != len(manifest.layers):
        raise Invalid("invalid build cache: as many diffIDs as layers are needed")
    diff_ids = [Digest.parse(name) for name in names]
    steps = tuple(
        PortableStep(
            _key(item.get("key")),
            str(item.get("title", ""))[:1000],
            tuple(diff_ids[number] for number in _numbers(item.get("layers"), len(diff_ids))),
            tuple(_key(parent) for parent in _strings(item.get("parents") or [], MAX_LAYERS)),
        )
        for item in _objects(raw.get("records"))
    )
    mounts = tuple(
        PortableMount(
            _key(item.get("name")),
            str(item.get("title", ""))[:1000],
            diff_ids[_numbers([item.get("layer")], len(diff_ids))[0]],
        )
        for item in _objects(raw.get("mounts"))
    )
    return CacheDocument(steps, mounts, dict(zip(diff_ids, manifest.layers, strict=True)))


def inline_records(steps: Sequence[PortableStep], diff_ids: tuple[Digest, ...]) -> dict[str, Any]:
    """What an image tells of its own layers: the steps whose trees are its lower layers."""
    records = [
        {"key": step.key, "title": step.title, "count": len(step.diff_ids), "parents": list(step.parents)}
        for step in steps
        if step.diff_ids == diff_ids[: len(step.diff_ids)]
    ]
    return {INLINE: {"version": VERSION, "records": records}}


def decode_inline(manifest: Manifest, image: Image) -> CacheDocument:
    """The cache that an image carries; an empty one where it carries none. Raises Invalid."""
    raw = image.extra.get(INLINE)
    if not isinstance(raw, dict) or raw.get("version") != VERSION or len(manifest.layers) != len(image.diff_ids):
        return CacheDocument()
    steps = []
    for item in _objects(raw.get("records")):
        count = item.get("count")
        if not isinstance(count, int) or not 0 <= count <= len(image.diff_ids):
            raise Invalid("invalid build cache: a record counts layers that the image has not")
        parents = tuple(_key(parent) for parent in _strings(item.get("parents") or [], MAX_LAYERS))
        title = str(item.get("title", ""))[:1000]
        steps.append(PortableStep(_key(item.get("key")), title, image.diff_ids[:count], parents))
    return CacheDocument(tuple(steps), (), dict(zip(image.diff_ids, manifest.layers, strict=True)))


def _objects(raw: Any) -> list[dict[str, Any]]:
    if not isinstance(raw, list) or len(raw) > MAX_RECORDS or not all(isinstance(item, dict) for item in raw):
        raise Invalid(f"invalid build cache: not a list of at most {MAX_RECORDS} objects")
    return raw


def _strings(raw: Any, limit: int) -> list[str]:
    if not isinstance(raw, list) or len(raw) > limit or not all(isinstance(item, str) for item in raw):
        raise Invalid(f"invalid build cache: not a list of at most {limit} strings")
    return raw


def _numbers(raw: Any, below: int) -> list[int]:
    if not isinstance(raw, list) or len(raw) > MAX_LAYERS:
        raise Invalid("invalid build cache: not a list of numbers")
    if not all(isinstance(item, int) and not isinstance(item, bool) and 0 <= item < below for item in raw):
        raise Invalid("invalid build cache: a layer that is not there")
    return raw


def _key(raw: Any) -> str:
    if not isinstance(raw, str) or not _KEY.match(raw):
        raise Invalid("invalid build cache: a key is no digest")
    return raw
