"""What containers get that do not say otherwise, by the daemon's settings: from text to checked values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wharf.engine.config import DEFAULT_SHM_SIZE, ContainerDefaults
from wharf.errors import Invalid
from wharf.spec.container import Ulimit
from wharf.spec.quantities import parse_size

ULIMITS = frozenset(
    """
    core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack
    """.split()  # noqa: SIM905
)
"""Names of setrlimit(2)'s resources, RLIMIT_ left out."""
MAX_LIMIT = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class DefaultWords:
    """dockerd's directives as they are written; "" is not given."""

    shm_size: str = ""
    ipc_mode: str = ""
    cgroupns_mode: str = ""
    cgroup_parent: str = ""
    init: bool = False


def parse_defaults(words: DefaultWords, ulimits: Mapping[str, Any]) -> ContainerDefaults:
    """`ulimits`: name -> `{"Name": N, "Soft": S, "Hard": H}`, as daemon.json has them. Raises Invalid in Docker's
    words, naming the directive."""
    if words.ipc_mode not in ("", "private", "shareable"):
        raise Invalid(
            f'IPC mode "{words.ipc_mode[:100]}" is not supported as default value; use "shareable" or "private"'
        )
    if words.cgroupns_mode not in ("", "host", "private"):
        raise Invalid(f'invalid default cgroup namespace ({words.cgroupns_mode[:100]}): use "host" or "private"')
    if ".." in words.cgroup_parent.split("/") or "\0" in words.cgroup_parent:
        raise Invalid(f"invalid cgroup-parent: {words.cgroup_parent[:200]!r}")
    size = parse_size(words.shm_size) if words.shm_size else DEFAULT_SHM_SIZE
    if size <= 0:
        raise Invalid(f"invalid default-shm-size {words.shm_size[:50]!r}: more than 0 bytes")
    return ContainerDefaults(
        ulimits=tuple(_ulimit(name, item) for name, item in ulimits.items()),
        shm_size=size,
        ipc_mode=words.ipc_mode or "private",
        cgroupns_mode=words.cgroupns_mode,
        cgroup_parent=words.cgroup_parent,
        init=words.init,
    )


def read_ulimit(text: str) -> tuple[str, dict[str, Any]]:
    """`name=soft[:hard]` of the flag, in the form of the file; raises Invalid."""
    name, equals, values = text.partition("=")
    soft, _, hard = values.partition(":")
    try:
        if not equals:
            raise ValueError
        return name, {"Name": name, "Soft": int(soft), "Hard": int(hard or soft)}
    except ValueError:
        raise Invalid(f"invalid ulimit argument: {text[:100]}") from None


def _ulimit(name: str, item: Any) -> Ulimit:
    if not isinstance(item, Mapping) or not set(item) <= {"Name", "Soft", "Hard"}:
        raise Invalid(f'default-ulimits: {name[:100]} must be an object of "Name", "Soft" and "Hard"')
    limit = Ulimit(item.get("Name", name), item.get("Soft", 0), item.get("Hard", 0))
    if limit.name not in ULIMITS:
        raise Invalid(f"invalid ulimit type: {str(limit.name)[:100]}")
    for value in (limit.soft, limit.hard):
        if isinstance(value, bool) or not isinstance(value, int) or not -1 <= value <= MAX_LIMIT:
            raise Invalid(f"default-ulimits: {limit.name}: expected numbers, -1 for no limit")
    if limit.hard == -1:
        return limit
    if limit.soft == -1 or limit.soft > limit.hard:
        raise Invalid(f"ulimit soft limit must be less than or equal to hard limit: {limit.soft} > {limit.hard}")
    return limit
