"""Where a message comes from, as the drivers tell it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Origin:
    """The container of a log. `command`: path and arguments; `created`: RFC 3339; `extra`: labels and environment that
    the options name; `options`: the driver's, as they were checked."""

    id: str
    name: str
    image_id: str
    image_name: str
    command: str
    created: str
    hostname: str
    """The host's."""
    tag: str
    extra: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def short_id(self) -> str:
        """12 digits."""
        return self.id[:12]
