"""List containers, with Docker's filters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from wharf.engine.filters import Filters, check_filters, labels_match, name_pattern
from wharf.engine.inspect import sizes
from wharf.engine.status import state_word
from wharf.engine.times import to_nanoseconds
from wharf.engine.views import SummaryExtras, container_summary
from wharf.errors import Invalid, WharfError
from wharf.spec.container import ContainerRecord
from wharf.spec.digest import Digest
from wharf.spec.network import parse_port_range

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

FILTERS = [
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "label!",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
]
STATES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")
HEALTH = ("none", "starting", "healthy", "unhealthy")
_EXIT_CODE = re.compile(r"[+-]?[0-9]{1,18}\Z")
Test = Callable[[ContainerRecord], bool]


@dataclass(frozen=True, slots=True)
class ListRequest:
    """`limit` above 0 or a filter of `before`, `since`, `status`, `exited` also shows what does not run."""

    all: bool = False
    limit: int = -1
    size: bool = False
    filters: Mapping[str, list[str]] = field(default_factory=dict)


def list_containers(engine: Engine, request: ListRequest) -> list[dict[str, Any]]:
    """Summaries, newest first. Raises Invalid for a filter it does not know, NotFound for `before` and `since`."""
    tests = _tests(engine, request.filters)
    shows_stopped = request.all or request.limit > 0 or any(
        request.filters.get(name) for name in ("before", "since", "status", "exited")
    )  # fmt: skip
    records = sorted(engine.containers.all(), key=lambda item: to_nanoseconds(item.created) or 0, reverse=True)
    found = [
        record for record in records if (shows_stopped or record.state.running) and all(test(record) for test in tests)
    ]
    if request.limit > 0:
        found = found[: request.limit]
    names = _image_names(engine, found)
    now = datetime.now(UTC)
    return [_summary(engine, record, request.size, names[record.config.image], now) for record in found]


def _summary(engine: Engine, record: ContainerRecord, size: bool, named: str | None, now: datetime) -> dict[str, Any]:
    """`named`: what the image's name stands for now; the name is shown as given while that is the container's image."""
    image = record.config.image if named == record.image_id else record.image_id
    extras = SummaryExtras(image=image, names=engine.containers.names_of(record))
    if size:
        extras.size_rw, extras.size_root_fs = sizes(engine, record)
    return container_summary(record, extras, now)


def _image_names(engine: Engine, records: Iterable[ContainerRecord]) -> dict[str, str | None]:
    """Name -> id of the image it stands for; each is looked up once, however many containers were made of it."""
    found: dict[str, str | None] = {}
    for name in {record.config.image for record in records}:
        try:
            found[name] = str(engine.images.resolve(name).id)
        except WharfError:
            found[name] = None
    return found


def _tests(engine: Engine, filters: Filters) -> list[Test]:
    check_filters(filters, FILTERS)
    tests: list[Test] = [lambda record: labels_match(filters, record.config.labels)]
    for name, make in _MAKERS.items():
        if filters.get(name):
            tests.append(make(engine, filters[name]))
    return tests


def _status(engine: Engine, values: list[str]) -> Test:
    for value in values:
        if value not in STATES:
            raise Invalid(
                f"invalid filter 'status={value[:100]}': invalid value for state ({value[:100]}): must be one of "
                + ", ".join(STATES)
            )
    return lambda record: state_word(record.state) in values


def _exited(engine: Engine, values: list[str]) -> Test:
    for value in values:
        if not _EXIT_CODE.match(value):
            problem = f'strconv.Atoi: parsing "{value[:100]}": invalid syntax'
            raise Invalid(f"invalid filter 'exited={value[:100]}': {problem}")
    codes = {int(value) for value in values}
    return lambda record: state_word(record.state) not in ("running", "created") and record.state.exit_code in codes


def _health(engine: Engine, values: list[str]) -> Test:
    for value in values:
        if value not in HEALTH:
            problem = f"invalid value for health ({value[:100]}): must be one of {', '.join(HEALTH)}"
            raise Invalid(f"invalid filter 'health={value[:100]}': {problem}")
    return lambda record: (record.state.health.status if record.state.health else "none") in values


def _id(engine: Engine, values: list[str]) -> Test:
    return lambda record: any(record.id.startswith(value) for value in values)


def _name(engine: Engine, values: list[str]) -> Test:
    patterns = [name_pattern(value) for value in values]
    return lambda record: any(p.search(record.name) or p.search("/" + record.name) for p in patterns)


def _ancestor(engine: Engine, values: list[str]) -> Test:
    wanted: set[str] = set()
    for value in values:
        try:
            wanted.add(str(engine.images.resolve(value).id))
        except WharfError:
            continue
    chains = {}

    def descends(record: ContainerRecord) -> bool:
        if record.image_id in wanted:
            return True
        if record.image_id not in chains:
            chains[record.image_id] = _ancestors(engine, record.image_id)
        return bool(chains[record.image_id] & wanted)

    return descends


def _ancestors(engine: Engine, image_id: str) -> set[str]:
    """Ids of the images that an image was made from."""
    found: set[str] = set()
    image = engine.images.get(Digest.parse(image_id))
    while image is not None and image.parent and str(image.parent) not in found:
        found.add(str(image.parent))
        image = engine.images.get(image.parent)
    return found


def _before(engine: Engine, values: list[str]) -> Test:
    limit = min(to_nanoseconds(_known(engine, value).created) or 0 for value in values)
    return lambda record: (to_nanoseconds(record.created) or 0) < limit


def _since(engine: Engine, values: list[str]) -> Test:
    limit = max(to_nanoseconds(_known(engine, value).created) or 0 for value in values)
    return lambda record: (to_nanoseconds(record.created) or 0) > limit


def _known(engine: Engine, name: str) -> ContainerRecord:
    return engine.containers.find(name)


def _volume(engine: Engine, values: list[str]) -> Test:
    return lambda record: any(
        value in (point.name, point.source, point.destination) for point in record.mounts for value in values
    )


def _network(engine: Engine, values: list[str]) -> Test:
    def on_one(record: ContainerRecord) -> bool:
        ids = {settings.network_id for settings in record.networks.values()} - {""}
        return any(value in record.networks or any(i.startswith(value) for i in ids if value) for value in values)

    return on_one


def _ports(values: list[str]) -> set[tuple[int, str]]:
    wanted = set()
    for value in values:
        first, last, protocol = parse_port_range(value)
        wanted |= {(number, protocol) for number in range(first, last + 1)}
    return wanted


def _key(text: str) -> tuple[int, str]:
    number, _, protocol = text.partition("/")
    return int(number), protocol or "tcp"


def _publish(engine: Engine, values: list[str]) -> Test:
    wanted = _ports(values)
    return lambda record: any(
        (int(binding.host_port or 0), _key(text)[1]) in wanted or _key(text) in wanted
        for text, bindings in record.ports.items()
        for binding in bindings or ()
    )


def _expose(engine: Engine, values: list[str]) -> Test:
    wanted = _ports(values)
    return lambda record: any(_key(text) in wanted for text in record.config.exposed_ports or {} if "-" not in text)


_MAKERS: dict[str, Callable[[Engine, list[str]], Test]] = {
    "status": _status,
    "exited": _exited,
    "health": _health,
    "id": _id,
    "name": _name,
    "ancestor": _ancestor,
    "before": _before,
    "since": _since,
    "volume": _volume,
    "network": _network,
    "publish": _publish,
    "expose": _expose,
}
