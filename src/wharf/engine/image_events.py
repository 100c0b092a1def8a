"""Events about images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wharf.spec.image_record import ImageRecord

if TYPE_CHECKING:
    from wharf.engine.engine import Engine


def publish_image_event(
    engine: Engine, action: str, image: ImageRecord, name: str | None = None, *, labels: bool = True
) -> None:
    """Tell that `action` happened to an image. `name` is the image's id unless given.

    Its labels go along, but not with its deletion: Docker reads them when it is gone.
    """
    attributes = {**(image.image.config.labels if labels else {}), "name": name or str(image.id)}
    engine.events.publish("image", action, str(image.id), attributes)
