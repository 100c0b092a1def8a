"""Images in and out of the engine as archives: load, save, import."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from wharf.engine.image_events import publish_image_event
from wharf.engine.image_platform import of_platform
from wharf.engine.image_tag import parse_repo_tag
from wharf.engine.times import format_time
from wharf.errors import Internal, Invalid, NotFound
from wharf.spec.digest import Digest
from wharf.spec.image import History, Image, ImageConfig
from wharf.spec.platform import Platform
from wharf.spec.reference import Reference
from wharf.storage.content import Readable
from wharf.transfer.closure import closure
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
    engine: Engine,
    stream: Readable,
    progress: Progress,
    *,
    quiet: bool = False,
    platform: Platform | None = None,
) -> None:
    """Load an archive, or what it has for `platform`, which may be nothing; `progress` gets Docker's messages.

    Raises Invalid for a damaged archive.
    """
    for item in load(engine.images, stream, progress, quiet, platform):
        image = engine.images.get(item.id)
        if image is not None:
            publish_image_event(engine, "load", image)


def save_images(engine: Engine, names: list[str], platform: Platform | None = None) -> Callable[[Sink], None]:
    """What writes the archive of the images: of one platform, or with all that is kept of their indexes.

    Raises NotFound or Internal for a name before the first byte.
    """
    chosen: dict[tuple[Digest, Digest | None], Chosen] = {}
    for found in (item for name in names for item in _chosen(engine, name)):
        item = _on(engine, found, platform) if platform else _with_index(engine, found)
        key = (item.image.id, item.index.digest if item.index else None)
        before = chosen.get(key)
        merged = (*before.names, *(new for new in item.names if new not in before.names)) if before else item.names
        chosen[key] = replace(item, names=merged)

    def write(out: Sink) -> None:
        save(engine.images, list(chosen.values()), out)
        for item in chosen.values():
            publish_image_event(engine, "save", item.image)

    return write


def _on(engine: Engine, item: Chosen, platform: Platform) -> Chosen:
    text = item.names[0].canonical() if item.names else str(item.image.id)
    try:
        return replace(item, image=of_platform(engine, text, item.image, platform))
    except NotFound:
        raise Internal(f"no suitable export target found for platform {platform}") from None


def _with_index(engine: Engine, item: Chosen) -> Chosen:
    """With the index that the names point to, where all that it leads to is here."""
    records = [engine.database.names.get(name.canonical()) for name in item.names]
    targets = {record.target.digest: record.target for record in records if record is not None}
    if len(targets) != 1:
        return item
    (target,) = targets.values()
    whole = engine.images.is_whole(target.digest) and not closure(engine.content, target).missing
    return replace(item, index=target) if whole else item


def import_image(engine: Engine, stream: Readable, request: ImportRequest, progress: Progress) -> Digest:
    """Make an image of a root file system's tar. Raises Invalid for bad changes, names or a damaged tar."""
    from wharf.dockerfile.changes import apply_changes  # the parser of instructions: not for every engine

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
