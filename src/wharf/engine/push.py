"""Push images to registries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from wharf.engine.image_events import publish_image_event
from wharf.engine.image_platform import of_platform
from wharf.engine.pull import requested
from wharf.errors import Invalid, NotFound
from wharf.spec.platform import Platform
from wharf.spec.reference import Reference
from wharf.spec.registry import RegistryLogin

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

Progress = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class PushRequest:
    """What a client asks for: a name with a tag ("": every one), one platform of it or all that is here; `referrers`:
    what is kept beside it goes along."""

    name: str
    tag: str = ""
    login: RegistryLogin = field(default_factory=RegistryLogin)
    platform: Platform | None = None
    referrers: bool = False


def push_image(engine: Engine, request: PushRequest, progress: Progress) -> None:
    """Push a name with its tag, every tag of it when there is none. `progress` gets Docker's messages.

    Raises Invalid for a bad name; NotFound, Unauthorized, Denied, Internal with Docker's words.
    """
    reference = requested(request.name, request.tag)
    if reference.digest:
        raise Invalid("cannot push a digest reference")
    if request.platform and reference.tag and (image := engine.images.named(reference)):
        of_platform(engine, reference.familiar(), image, request.platform)  # refused before the answer begins
    progress({"status": f"The push refers to repository [{reference.name}]"})
    names = [
        item.reference
        for item in engine.database.names.all()
        if item.reference.name == reference.name and item.reference.tag and reference.tag in (None, item.reference.tag)
    ]
    if not names:
        known = any(item.reference.name == reference.name for item in engine.database.names.all())
        if known and reference.tag:
            raise NotFound(f"tag does not exist: {reference.familiar()}")
        raise NotFound(f"An image does not exist locally with the tag: {reference.familiar_name}")
    for one in names:
        _push_one(engine, one, request, progress)


def _push_one(engine: Engine, reference: Reference, request: PushRequest, progress: Progress) -> None:
    from wharf.transfer.push import push  # the HTTP client comes with it

    image = engine.images.named(reference)
    platform = request.platform
    chosen = of_platform(engine, reference.familiar(), image, platform) if image and platform else None
    settings = engine.config.registries
    repository = engine.registries.repository(settings, reference, request.login)
    push(engine.images, repository, reference, progress, settings.uploads, chosen=chosen, referrers=request.referrers)
    image = engine.images.named(replace(reference, digest=None))
    if image is not None:
        publish_image_event(engine, "push", image, reference.familiar())
