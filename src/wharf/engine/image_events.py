"""Events about images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wharf.spec.image_record import ImageRecord

if TYPE_CHECKING:
    from wharf.engine.engine import Engine


def publish_image_event(engine: Engine, action: str, image: ImageRecord, name: str | None = None) -> None:
    """Tell that `action` happened to an image; its labels go along. `name` is the image's id unless given."""
    attributes = {**image.image.config.labels, "name": name or str(image.id)}
    engine.events.publish("image", action, str(image.id), attributes)
