"""Pull images from registries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from wharf.engine.image_events import publish_image_event
from wharf.engine.registries import domain_of
from wharf.errors import Invalid, NotFound
from wharf.spec.image_record import ImageRecord
from wharf.spec.platform import Platform
from wharf.spec.reference import Reference
from wharf.spec.registry import RegistryLogin

if TYPE_CHECKING:
    from wharf.engine.engine import Engine
    from wharf.transfer.look import Looked

Progress = Callable[[dict[str, Any]], None]


EVERYTHING = "all"
"""As a platform: all that an index leads to is kept. Docker's API has no word for it."""


@dataclass(frozen=True, slots=True)
class PullRequest:
    """What a client asks for: a name, a tag or digest beside it (none: every tag), a platform ("": this machine's,
    `all`: every one)."""

    image: str
    tag: str = ""
    platform: str = ""
    login: RegistryLogin = field(default_factory=RegistryLogin)
    referrers: bool = False
    """What refers to the image (signatures and the like) is kept beside it."""


def pull_image(engine: Engine, request: PullRequest, progress: Progress) -> ImageRecord | None:
    """Pull; `progress` gets Docker's messages. The image, None when every tag was asked for.

    Raises Invalid for a bad name or platform, NotFound, Unauthorized, Denied, Internal with Docker's words.
    """
    reference = requested(request.image, request.tag)
    everything = request.platform == EVERYTHING
    platform = Platform.parse(request.platform) if request.platform and not everything else None
    if reference.tag or reference.digest:
        return pull_reference(
            engine, reference, platform, request.login, progress, everything=everything, referrers=request.referrers
        )
    from wharf.transfer.tags import list_tags

    repository = engine.registries.repository(engine.config.registries, reference, request.login)
    for tag in list_tags(repository, reference):
        pull_image(engine, replace(request, tag=tag), progress)
    return None


def pull_reference(
    engine: Engine,
    reference: Reference,
    platform: Platform | None,
    login: RegistryLogin,
    progress: Progress,
    *,
    everything: bool = False,
    referrers: bool = False,
) -> ImageRecord:
    """Pull one name with a tag or a digest; `everything`: all that its index leads to; `referrers`: what refers to it.

    Raises as `pull_image`.
    """
    from wharf.transfer.pull import PullOptions, pull  # the HTTP client comes with it

    settings = engine.config.registries
    repository = engine.registries.repository(settings, reference, login)
    options = PullOptions(platform, settings.downloads, settings.rule_for(reference.name), everything, referrers)
    done = pull(engine.images, repository, reference, options, progress)
    shown = replace(reference, tag=None) if reference.digest else reference
    publish_image_event(engine, "pull", done.image, shown.familiar())
    here = done.image.image.platform
    if platform and (here.os, here.architecture) != (platform.os, platform.architecture):
        progress(
            {
                "status": f"WARNING: image with reference {shown.familiar()} was found but its platform ({here}) "
                f"does not match the specified platform ({platform})"
            }
        )
    return done.image


def requested(image: str, tag: str) -> Reference:
    """A name and what was said beside it: a tag, a digest, or nothing. Raises Invalid."""
    reference = Reference.parse(image.strip())
    if not tag:
        return reference
    mark = "@" if ":" in tag else ":"
    try:
        return Reference.parse(f"{reference.name}{mark}{tag}")
    except Invalid:
        raise Invalid("invalid reference format") from None


def find_or_look(
    engine: Engine,
    name: str,
    platform: Platform,
    logins: Mapping[str, RegistryLogin],
    progress: Progress,
    *,
    always: bool = False,
) -> ImageRecord | Looked:
    """The image of a name: the one that is here if it is for the platform, else (or `always`) what the registry says
    of it; one that turns out to be here already is pulled, so that its names are what they are there.

    What is no name (an id) is never asked for. Raises as `pull_image`.
    """
    from wharf.transfer.look import look
    from wharf.transfer.pull import PullOptions
    from wharf.transfer.store import ID_PREFIX

    found: ImageRecord | None = None
    try:
        found = engine.images.resolve(name)
    except NotFound:
        if name.startswith("sha256:"):
            raise
    if found is not None and (ID_PREFIX.match(name) or (not always and _fits(found, platform))):
        return found
    reference = Reference.parse(name).with_default_tag()
    wanted = None if platform == engine.images.platform else platform
    settings = engine.config.registries
    repository = engine.registries.repository(settings, reference, _login(logins, reference))
    options = PullOptions(wanted, settings.downloads, settings.rule_for(reference.name))
    looked = look(engine.images, repository, reference, options)
    if engine.images.get(looked.image_id) is None:
        return looked
    return pull_reference(engine, reference, wanted, _login(logins, reference), progress)


def pull_looked_up(
    engine: Engine, looked: Looked, platform: Platform, logins: Mapping[str, RegistryLogin], progress: Progress
) -> None:
    """Pull what `find_or_look` has found, though its name may stand for something else by now. Raises as
    `pull_image`."""
    wanted = None if platform == engine.images.platform else platform
    login = _login(logins, looked.reference)
    if pull_reference(engine, looked.reference, wanted, login, progress).id != looked.image_id:
        exactly = replace(looked.reference, tag=None, digest=looked.digest)
        pull_reference(engine, exactly, wanted, login, progress)


def _login(logins: Mapping[str, RegistryLogin], reference: Reference) -> RegistryLogin:
    return next((item for host, item in logins.items() if domain_of(host) == reference.domain), RegistryLogin())


def _fits(image: ImageRecord, platform: Platform) -> bool:
    here = image.image.platform
    return (here.os, here.architecture) == (platform.os, platform.architecture)
