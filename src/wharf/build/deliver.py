"""A finished image goes where the outputs say: archives and trees to the client, images to their registries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wharf.build.finish import index_of
from wharf.build.outputs import Output
from wharf.build.request import BuildRequest
from wharf.engine.push import PushRequest, push_image
from wharf.engine.registries import domain_of
from wharf.errors import Invalid
from wharf.spec.digest import Digest
from wharf.spec.image import MEDIA_INDEX, Descriptor, Manifest, canonical_json
from wharf.spec.image_record import ImageRecord
from wharf.spec.mount import Mount, Overlay
from wharf.spec.reference import Reference
from wharf.spec.registry import RegistryLogin
from wharf.storage.metadata.codec import encode_value
from wharf.transfer.compressed import store_compressed
from wharf.transfer.piping import job_to_sink
from wharf.transfer.push_index import push_index
from wharf.transfer.save import Chosen, save
from wharf.transfer.store import ANNOTATION_IMAGE_NAME, ANNOTATION_REF_NAME
from wharf.transfer.tar_writer import Node, TarWriter

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

_READ_ONLY = Node(0o644)
_BLOBS = "blobs/sha256"


@dataclass(frozen=True, slots=True)
class _Sink:
    """A part of an output as a file."""

    take: Callable[[bytes], None]

    def write(self, data: bytes, /) -> int:
        self.take(bytes(data))
        return len(data)


def deliver(engine: Engine, images: Sequence[ImageRecord], request: BuildRequest) -> None:
    """Every output that goes to the client, in order, then the pushes. Raises WharfError."""
    for number, output in enumerate(request.outputs):
        if output.to_client:
            _to_client(engine, images, request, number, output)
    for output in request.outputs:
        if output.pushes:
            for name in dict.fromkeys((*request.names, *output.names)):
                _push(engine, images, name, request)


def _to_client(
    engine: Engine, images: Sequence[ImageRecord], request: BuildRequest, number: int, output: Output
) -> None:
    names = tuple(dict.fromkeys((*request.names, *output.names)))
    if output.kind in ("tar", "local"):
        if request.several and output.kind == "tar":
            raise Invalid("a tar of several platforms is not there: use type=local or type=oci")
        for image in images:
            part = str(image.image.platform).replace("/", "_") if request.several else ""
            write_tree(engine, image, sink_to(request, number, part))
        return
    if output.kind == "docker":
        if request.several:
            raise Invalid("docker exporter does not currently support exporting manifest lists")
        save(engine.images, [Chosen(images[0], names)], sink_to(request, number, ""))
        return
    form = LayoutForm(names, gzip=output.gzip, indexed=request.several)
    write_layout(engine, images, form, sink_to(request, number, ""))


def sink_to(request: BuildRequest, number: int, part: str) -> _Sink:
    return _Sink(lambda data: request.sent(number, part, data))


def write_tree(engine: Engine, image: ImageRecord, out: _Sink) -> None:
    """The image's whole tree as an archive."""
    if image.chain_id is None:
        TarWriter(out).close()
        return
    layers = engine.snapshots.layers(image.chain_id)
    lowers = (layers.upper, *layers.lowers)
    view = Mount("overlay", source="overlay", options=("ro",), overlay=Overlay(lowers))
    if len(lowers) == 1:
        view = Mount("bind", source=lowers[0], options=("bind", "ro"))
    args = {"mounts": [encode_value(view)], "path": "/", "container": "build"}
    job_to_sink(lambda pipe: engine.worker.run("archive.export", args, (pipe,)), out)


@dataclass(frozen=True, slots=True)
class LayoutForm:
    """How images become a layout: by which names, their layers compressed or not, with an index of them or alone."""

    names: Sequence[Reference] = ()
    gzip: bool = False
    indexed: bool = False


def write_layout(engine: Engine, images: Sequence[ImageRecord], form: LayoutForm, out: _Sink) -> None:
    """An OCI image layout."""
    documents: dict[str, bytes] = {}
    blobs: dict[str, Descriptor] = {}
    listed: list[tuple[Descriptor, ImageRecord]] = []
    for image in images:
        layers = tuple(store_compressed(engine.images, layer) for layer in image.layers) if form.gzip else image.layers
        data = Manifest(image.config, layers).to_bytes()
        manifest = _document(documents, Manifest(image.config, layers).media_type, data)
        listed.append((manifest, image))
        blobs |= {layer.digest.hex: layer for layer in (image.config, *layers)}
    top = listed[0][0]
    if form.indexed:
        top = _document(documents, MEDIA_INDEX, index_of(listed))
    write_blobs(engine, documents, blobs, _entries(top, form.names), out)


def _document(documents: dict[str, bytes], media_type: str, data: bytes) -> Descriptor:
    digest = Digest.of(data)
    documents[digest.hex] = data
    return Descriptor(media_type, digest, len(data))


def _entries(top: Descriptor, names: Sequence[Reference]) -> list[Descriptor]:
    if not names:
        return [top]
    return [
        replace(top, annotations={ANNOTATION_IMAGE_NAME: name.canonical(), ANNOTATION_REF_NAME: str(name.tag)})
        for name in names
    ]


def write_blobs(
    engine: Engine,
    documents: dict[str, bytes],
    blobs: dict[str, Descriptor],
    entries: Sequence[Descriptor],
    out: _Sink,
) -> None:
    """The archive of a layout: documents from memory, blobs from the store, in the order of their names."""
    tar = TarWriter(out)
    tar.directory("blobs")
    tar.directory(_BLOBS)
    for name in sorted({*documents, *blobs}):
        if name in documents:
            tar.data(f"{_BLOBS}/{name}", documents[name], _READ_ONLY)
            continue
        with engine.content.open(blobs[name].digest) as file:
            tar.copy(f"{_BLOBS}/{name}", file, blobs[name].size, _READ_ONLY)
    index = {"schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": [entry.to_json() for entry in entries]}
    tar.data("index.json", canonical_json(index))
    tar.data("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    tar.close()


def _push(engine: Engine, images: Sequence[ImageRecord], name: Reference, request: BuildRequest) -> None:
    login = login_for(request, name)
    if not request.several:
        push_image(engine, PushRequest(name.name, str(name.tag), login), request.told)
        return
    repository = engine.registries.repository(engine.config.registries, name, login)
    digest = push_index(engine.images, repository, str(name.tag), images)
    request.told({"status": f"{name.tag}: digest: {digest}"})


def login_for(request: BuildRequest, name: Reference) -> RegistryLogin:
    """Who the client is at the registry of a name."""
    return next((item for host, item in request.logins.items() if domain_of(host) == name.domain), RegistryLogin())
