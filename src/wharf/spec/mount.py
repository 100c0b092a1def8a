"""Mounts: the value that storage, engine and runtime exchange (OCI runtime specification, config.md#mounts)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IdMap:
    """`count` ids from `container_id` inside are those from `host_id` outside (user_namespaces(7))."""

    container_id: int
    host_id: int
    count: int


@dataclass(frozen=True, slots=True)
class Overlay:
    """An overlay mount. `lower` is top first, as overlayfs wants it; upper and work empty for a read-only view."""

    lower: tuple[str, ...]
    upper: str = ""
    work: str = ""
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount. `type` is `bind`, `tmpfs`, `overlay`, `proc`, …; options are mount(8) words and propagation words.

    For type `overlay`, `overlay` is set and `source` is only a label. `target` is absolute in the container,
    or "" for a root.
    """

    type: str
    source: str = ""
    target: str = ""
    options: tuple[str, ...] = ()
    overlay: Overlay | None = None
    id_map: tuple[IdMap, ...] = ()
