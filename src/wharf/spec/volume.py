"""Volumes: the engine's record of one, and what a client asks for."""

import re
from dataclasses import dataclass, field

from wharf.errors import Invalid
from wharf.spec.quote import go_quote

ANONYMOUS_LABEL = "com.docker.volume.anonymous"
LOCAL_DRIVER = "local"
MAX_NAME_LENGTH = 255
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+\Z")


@dataclass(slots=True)
class VolumeRecord:
    """One volume. `mountpoint` is its data directory on the host, `created` RFC 3339."""

    name: str
    mountpoint: str
    created: str
    driver: str = LOCAL_DRIVER
    options: dict[str, str] | None = None
    labels: dict[str, str] | None = None

    @property
    def anonymous(self) -> bool:
        """Whether the engine chose the name; only such volumes go with their container."""
        return bool(self.labels) and ANONYMOUS_LABEL in (self.labels or {})


@dataclass(slots=True)
class VolumeCreate:
    """The body of a create request; an empty name asks for an anonymous volume."""

    name: str = ""
    driver: str = ""
    driver_opts: dict[str, str] | None = None
    labels: dict[str, str] | None = None
    cluster_volume_spec: dict[str, object] | None = None
    """What a volume of a swarm would be."""


@dataclass(slots=True)
class UsageData:
    """Bytes on disk and number of containers that use the volume; -1 where not asked for."""

    size: int = -1
    ref_count: int = -1


@dataclass(slots=True)
class Volume:
    """A volume as the API shows it."""

    created_at: str = ""
    driver: str = LOCAL_DRIVER
    labels: dict[str, str] | None = None
    mountpoint: str = ""
    name: str = ""
    options: dict[str, str] | None = None
    scope: str = "local"
    usage_data: UsageData | None = field(default=None, metadata={"omitempty": True})


@dataclass(slots=True)
class VolumeList:
    """The answer to a list request."""

    volumes: list[Volume] = field(default_factory=list)
    warnings: list[str] | None = None


@dataclass(slots=True)
class VolumesPruneReport:
    """What a prune removed; bytes freed."""

    volumes_deleted: list[str] | None = None
    space_reclaimed: int = 0


def check_volume_name(name: str) -> str:
    """The name itself; raises Invalid with Docker's wording."""
    if len(name.encode("utf-8", "surrogateescape")) == 1:
        raise Invalid(f"create {name}: volume name is too short, names should be at least two alphanumeric characters")
    if not _NAME.match(name) or len(name) > MAX_NAME_LENGTH:
        raise Invalid(
            f"create {name[:300]}: {go_quote(name[:300])} includes invalid characters for a local volume name, only "
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
        )
    return name
