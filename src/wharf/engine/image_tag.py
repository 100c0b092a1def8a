"""Give an image a name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from wharf.engine.image_events import publish_image_event
from wharf.errors import Invalid
from wharf.spec.image_record import ImageRecord
from wharf.spec.reference import Reference

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

_AMBIGUOUS = "refusing to create an ambiguous tag using digest algorithm as name"


def parse_repo_tag(repo: str, tag: str) -> Reference | None:
    """A repository and a tag as a client gives them; None for no repository. Raises Invalid with Docker's words."""
    if not repo:
        return None
    reference = Reference.parse(repo)
    if reference.digest:
        raise Invalid("cannot import digest reference")
    if tag:
        try:
            named = Reference.parse(f"{reference.name}:{tag}")
        except Invalid:
            raise Invalid("invalid tag format") from None
        if named.digest or named.name != reference.name:
            raise Invalid("invalid tag format")
        reference = replace(reference, tag=tag)
    if reference.familiar_name == "sha256":
        raise Invalid(_AMBIGUOUS)
    return reference.with_default_tag()


def tag_image(engine: Engine, name: str, repo: str, tag: str) -> None:
    """Name an image `repo:tag`, taking the name from the image that had it.

    Raises NotFound for an unknown image, Invalid for a malformed name.
    """
    reference = parse_repo_tag(repo, tag)
    if reference is None:
        raise Invalid("invalid reference format")
    apply_tag(engine, engine.images.resolve(name), reference, name)


def apply_tag(engine: Engine, image: ImageRecord, reference: Reference, source: str = "") -> None:
    """As `tag_image`, for values at hand (`source`: the name that the image was found by); tells of it."""
    engine.images.tag(image, reference, source)
    publish_image_event(engine, "tag", image, reference.familiar())
