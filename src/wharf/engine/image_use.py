"""When an image was last of use: when it came or was named, and when its last container went.

Noted when a container is removed (while there is one, the image is in use anyway), so that starting costs nothing.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from wharf.spec.image_record import ImageRecord

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

_KEY = "image-used:"


def note_use(engine: Engine, image_id: str) -> None:
    """A container of this image goes now; within the transaction that removes it."""
    engine.database.kv.put(_KEY + image_id, str(time.time_ns()))


def forget_use(engine: Engine, image_id: str) -> None:
    """The image is gone."""
    engine.database.kv.delete(_KEY + image_id)


def last_use(engine: Engine, image: ImageRecord) -> int:
    """Nanoseconds since 1970."""
    noted = engine.database.kv.get(_KEY + str(image.id))
    return max(image.added_at, image.last_tagged, int(noted or 0))
