"""Lists of containers with Docker's filters."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from wharf.engine.disk_usage import container_size
from wharf.engine.filters import Filters, check_filters, flag, labels_match
from wharf.engine.status import state_word
from wharf.engine.views import summary_view
from wharf.errors import Invalid, NotFound, WharfError
from wharf.spec.container import ZERO_TIME, ContainerRecord
from wharf.spec.network import parse_port_range

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

FILTERS = (
    "ancestor", "before", "expose", "exited", "health", "id", "isolation", "is-task", "label", "label!", "name",
    "network", "publish", "since", "status", "volume",
)  # fmt: skip
STATES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")
HEALTH = ("none", "starting", "healthy", "unhealthy")
Test = Callable[[ContainerRecord], bool]


@dataclass(frozen=True, slots=True)
class ListRequest:
    """`all` takes stopped ones too; a `limit` above 0 takes the newest, whatever they do."""

    all: bool = False
    limit: int = -1
    size: bool = False
    filters: Filters = field(default_factory=dict)


def list_containers(engine: Engine, request: ListRequest) -> list[dict[str, Any]]:
    """Views of the containers asked for, newest first. Raises Invalid for a filter, NotFound for `before`, `since`."""
    tests = _tests(engine, request.filters)
    everything = request.all or request.limit > 0 or bool(request.filters.get("status"))
    records = sorted(engine.containers.all(), key=lambda record: _order(record.created), reverse=True)
    found = [
        record for record in records if (everything or record.state.running) and all(test(record) for test in tests)
    ]
    if request.limit > 0:
        found = found[: request.limit]
    views = []
    for record in found:
        with contextlib.suppress(NotFound, FileNotFoundError):  # removed while we list
            sizes = container_size(engine, record.id, record.image_id) if request.size else None
            views.append(summary_view(record, _image_name(engine, record), sizes))
    return views


def _order(created: str) -> tuple[str, str]:
    """Sorts RFC 3339 times whose fractions have lost their trailing zeros."""
    base, _, fraction = created.removesuffix("Z").partition(".")
    return base, fraction.ljust(9, "0")


def _image_name(engine: Engine, record: ContainerRecord) -> str:
    """The name asked for while it still means the same image, else the image's id."""
    name = record.config.image
    try:
        if name and str(engine.images.resolve(name).id) == record.image_id:
            return name
    except WharfError:
        pass
    return record.image_id


def _tests(engine: Engine, filters: Filters) -> list[Test]:
    check_filters(filters, FILTERS)
    tests: list[Test] = [lambda record: labels_match(filters, record.config.labels)]
    for name, make in _MAKERS.items():
        values = filters.get(name)
        if values:
            tests.append(make(engine, values))
    if filters.get("is-task") and flag(filters, "is-task", False):
        tests.append(lambda record: False)
    return tests


def _by_name(engine: Engine, values: list[str]) -> Test:
    patterns = [_pattern(value.removeprefix("/") if value.startswith("/") else value) for value in values]
    return lambda record: any(pattern.search(record.name) for pattern in patterns)


def _pattern(text: str) -> re.Pattern[str]:
    """A filter's regular expression, or the text itself when it is none."""
    try:
        return re.compile(text if len(text) <= 256 else re.escape(text))
    except re.error:
        return re.compile(re.escape(text))


def _by_id(engine: Engine, values: list[str]) -> Test:
    return lambda record: any(record.id.startswith(value) for value in values)


def _by_status(engine: Engine, values: list[str]) -> Test:
    for value in values:
        if value not in STATES:
            raise Invalid(
                f"invalid filter 'status={value[:100]}': invalid value for state ({value[:100]}): must be one of "
                + ", ".join(STATES)
            )
    return lambda record: state_word(record.state) in values


def _by_health(engine: Engine, values: list[str]) -> Test:
    for value in values:
        if value not in HEALTH:
            raise Invalid(
                f"invalid filter 'health={value[:100]}': invalid value for health ({value[:100]}): must be one of "
                + ", ".join(HEALTH)
            )
    return lambda record: "none" in values


def _by_exit_code(engine: Engine, values: list[str]) -> Test:
    codes = set()
    for value in values:
        if not value.lstrip("-").isdecimal():
            raise Invalid(f"invalid filter 'exited={value[:100]}'")
        codes.add(int(value))
    return lambda record: (
        not record.state.running and record.state.started_at != ZERO_TIME and record.state.exit_code in codes
    )


def _by_volume(engine: Engine, values: list[str]) -> Test:
    wanted = set(values)
    return lambda record: any(
        mount.destination in wanted or mount.name in wanted or mount.source in wanted for mount in record.mounts
    )


def _by_network(engine: Engine, values: list[str]) -> Test:
    wanted = set(values)
    for record in engine.network.networks():
        if any(record.id.startswith(value) for value in values if value):
            wanted.add(record.name)
    return lambda record: bool(wanted & record.networks.keys())


def _by_published(engine: Engine, values: list[str]) -> Test:
    ports = _port_names(values)
    return lambda record: any(
        name in ports or any(f"{b.host_port}/{name.partition('/')[2]}" in ports for b in bindings or ())
        for name, bindings in (record.host_config.port_bindings or {}).items()
    )


def _by_exposed(engine: Engine, values: list[str]) -> Test:
    ports = _port_names(values)
    return lambda record: bool(ports & (record.config.exposed_ports or {}).keys())


def _port_names(values: list[str]) -> set[str]:
    names: set[str] = set()
    for value in values:
        first, last, protocol = parse_port_range(value)
        names.update(f"{number}/{protocol}" for number in range(first, last + 1))
    return names


def _by_ancestor(engine: Engine, values: list[str]) -> Test:
    """The image itself, or one made from it: its layers begin with the other's."""
    bases = []
    for value in values:
        with contextlib.suppress(WharfError):
            bases.append(engine.images.resolve(value))

    def test(record: ContainerRecord) -> bool:
        if any(str(base.id) == record.image_id for base in bases):
            return True
        image = next((item for item in engine.images.all() if str(item.id) == record.image_id), None)
        if image is None:
            return False
        layers = image.image.diff_ids
        return any(base.image.diff_ids and layers[: len(base.image.diff_ids)] == base.image.diff_ids for base in bases)

    return test


def _before(engine: Engine, values: list[str]) -> Test:
    limit = _order(engine.containers.find(values[0]).created)
    return lambda record: _order(record.created) < limit


def _since(engine: Engine, values: list[str]) -> Test:
    limit = _order(engine.containers.find(values[0]).created)
    return lambda record: _order(record.created) > limit


def _any(engine: Engine, values: list[str]) -> Test:
    return lambda record: "default" in values or "" in values


_MAKERS: dict[str, Callable[[Engine, list[str]], Test]] = {
    "name": _by_name,
    "id": _by_id,
    "status": _by_status,
    "health": _by_health,
    "exited": _by_exit_code,
    "volume": _by_volume,
    "network": _by_network,
    "publish": _by_published,
    "expose": _by_exposed,
    "ancestor": _by_ancestor,
    "before": _before,
    "since": _since,
    "isolation": _any,
}
