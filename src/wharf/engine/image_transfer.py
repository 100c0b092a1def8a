"""Images in and out of the engine as archives: load, save, import."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from wharf.dockerfile.changes import apply_changes
from wharf.engine.image_events import publish_image_event
from wharf.engine.image_tag import parse_repo_tag
from wharf.engine.times import format_time
from wharf.errors import Internal, Invalid, NotFound
from wharf.spec.digest import Digest
from wharf.spec.image import History, Image, ImageConfig
from wharf.spec.platform import Platform
from wharf.spec.reference import Reference
from wharf.storage.content import Readable
from wharf.transfer.import_tar import import_tar
from wharf.transfer.load import load
from wharf.transfer.save import Chosen, save
from wharf.transfer.store import ID_PREFIX
from wharf.transfer.tar_writer import Sink

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

Progress = Callable[[dict[str, Any]], None]


@dataclass(slots=True)
class ImportRequest:
    """What an import makes of the tar. `changes` are Dockerfile instructions; an empty platform is the host's."""

    repo: str = ""
    tag: str = ""
    message: str = ""
    changes: list[str] = field(default_factory=list)
    platform: str = ""


def load_images(
    engine: Engine, stream: Readable, progress: Progress, *, quiet: bool = False, platform: Platform | None = None
) -> None:
    """Load an archive, or its images of a platform; `progress` gets Docker's messages. Raises Invalid."""
    for item in load(engine.images, stream, progress, quiet, platform):
        image = engine.images.get(item.id)
        if image is not None:
            publish_image_event(engine, "load", image)


def save_images(engine: Engine, names: list[str], platform: Platform | None = None) -> Callable[[Sink], None]:
    """What writes the archive of the images; raises NotFound or Internal for a name before the first byte.

    An image of another platform than the one asked for is refused.
    """
    chosen: dict[Digest, Chosen] = {}
    for item in (item for name in names for item in _chosen(engine, name)):
        if platform and not platform.matches(item.image.image.platform):
            raise Internal(f"no suitable export target found for platform {platform}")
        before = chosen.get(item.image.id)
        merged = (*before.names, *(new for new in item.names if new not in before.names)) if before else item.names
        chosen[item.image.id] = Chosen(item.image, merged)

    def write(out: Sink) -> None:
        save(engine.images, list(chosen.values()), out)
        for item in chosen.values():
            publish_image_event(engine, "save", item.image)

    return write


def import_image(engine: Engine, stream: Readable, request: ImportRequest, progress: Progress) -> Digest:
    """Make an image of a root file system's tar. Raises Invalid for bad changes, names or a damaged tar."""
    reference = parse_repo_tag(request.repo, request.tag)
    platform = Platform.parse(request.platform) if request.platform else engine.images.platform
    if platform.os != engine.images.platform.os:
        raise Invalid(f"unsupported operating system {platform.os!r}")
    message = request.message or "Imported from -"
    created = format_time(time.time_ns())
    image = Image(
        config=apply_changes(ImageConfig(), request.changes),
        diff_ids=(),
        platform=platform,
        created=created,
        comment=message,
        history=(History(created=created, comment=message),),
    )
    record = import_tar(engine.images, stream, image, (reference,) if reference else ())
    if reference:
        publish_image_event(engine, "tag", record, reference.familiar())
    publish_image_event(engine, "import", record)
    progress({"status": str(record.id)})
    return record.id


def import_url(engine: Engine, url: str, request: ImportRequest, progress: Progress) -> Digest:
    """As `import_image`, of an archive that lies at `url`. Raises also Internal when it cannot be had."""
    from wharf.transfer.fetch_url import open_url

    with open_url(url) as (asked, stream):
        progress({"status": f"Downloading from {asked}"})
        message = request.message or f"Imported from {asked}"
        return import_image(engine, stream, replace(request, message=message), progress)


def _chosen(engine: Engine, name: str) -> list[Chosen]:
    """By a name with tag: that name; by a bare repository: every tag of it; by id: the image without names."""
    try:
        reference = None if ID_PREFIX.match(name) and len(name) >= 64 else Reference.parse(name)
    except Invalid as error:
        raise Internal(error.message) from None  # Docker answers 500 here, and only here
    if reference and not reference.tag and not reference.digest:
        images = engine.images.all()
        tags = [Chosen(image, tuple(n for n in image.names if n.name == reference.name and n.tag)) for image in images]
        found = [item for item in tags if item.names]
        if found:
            return found
    try:
        image = engine.images.resolve(name)
    except NotFound:
        bare = reference is None or not (reference.tag or reference.digest)
        raise NotFound(f"No such image: {name}" if bare else "reference does not exist") from None
    names = tuple(item for item in image.names if item.tag and reference and item.familiar() == reference.familiar())
    return [Chosen(image, names)]
