"""Links on the default bridge (`--link container:alias`): an older way to name another container.

A link is kept in the record of the container that has it (alias -> id). The other container answers to the name
`<container>/<alias>` as well; at a start its addresses and ports become variables and lines of /etc/hosts, which follow
when it starts again. On user-defined networks a link is an alias that the resolver knows (resolvers.py).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from wharf.engine.hosts_files import read_text, write_file
from wharf.engine.validate import LINKS_WITH_HOST
from wharf.errors import Internal, Invalid, NotFound
from wharf.spec.container import ContainerRecord, EndpointSettings
from wharf.spec.network import Port

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

DEFAULT = "bridge"
MAX_LINKS = 1000
_KEPT_BACK = ("HOME", "PATH")
"""Variables of the other container that are not passed on."""
log = logging.getLogger("wharf.engine")


def parse_link(text: str) -> tuple[str, str]:
    """`name`, `name:alias`, or `/name:/container/alias` as inspect shows it, into name and alias; raises Invalid."""
    if not text:
        raise Invalid("empty string specified for links")
    parts = text.split(":")
    if len(parts) > 2:
        raise Invalid(f"bad format for links: {text[:200]}")
    name = parts[0]
    alias = parts[1] if len(parts) == 2 else name
    if name.startswith("/"):
        name, alias = name.removeprefix("/"), alias.rpartition("/")[2]
    return name, alias or name


# -- making and removing


def take_links(engine: Engine, record: ContainerRecord) -> None:
    """Move what `HostConfig.Links` asks for into the record of a container that is being made; raises Invalid. Networks
    that are user-defined have links of their own."""
    wanted, record.host_config.links = record.host_config.links or [], None
    if len(wanted) > MAX_LINKS:
        raise Invalid(f"too many links: {len(wanted)}, the limit is {MAX_LINKS}")
    if record.host_config.network_mode not in (DEFAULT, "none"):
        return
    for name, alias in map(parse_link, wanted):
        if not name:
            raise Invalid('could not get container for : invalid name or ID supplied: ""')
        target = _target(engine, name)
        if target.host_config.network_mode == "host":
            raise Invalid(f"conflicting options: {LINKS_WITH_HOST}")
        record.links.setdefault(alias, target.id)
        record.link_names[target.id] = target.name


def _target(engine: Engine, name: str) -> ContainerRecord:
    try:
        target = engine.containers.find(name)
        while target.joined_network:
            target = engine.containers.find(target.joined_network)
    except NotFound as error:
        raise Invalid(f"could not get container for {name[:200]}: {error.message}") from None
    return target


def remove_link(engine: Engine, name: str) -> None:
    """`rm --link container/alias`; raises NotFound, Internal in Docker's words."""
    engine.containers.find(name)
    parent, slash, alias = name.removeprefix("/").rpartition("/")
    if not slash:
        raise Internal("Conflict, cannot remove the default link name of the container")
    container = engine.containers.live(parent)
    with container.lock:
        if container.record.links.pop(alias, None) is None:
            raise NotFound(f"No such container: {name}")
        engine.database.containers.put(container.record)
    engine.containers.relink(container.record)


def renamed(engine: Engine, record: ContainerRecord) -> None:
    """Let those that have a link to a container know its new name, for when it is gone."""
    for container in parents(engine, record.id):
        container.link_names[record.id] = record.name
        engine.database.containers.put(container, durable=False)


def shown_links(engine: Engine, record: ContainerRecord) -> list[str] | None:
    """`HostConfig.Links` as inspect has it: `/target:/container/alias`."""
    names = {target: _name_of(engine, record, target) for target in record.links.values()}
    return [f"/{names[target]}:/{record.name}/{alias}" for alias, target in record.links.items()] or None


def _name_of(engine: Engine, record: ContainerRecord, target: str) -> str:
    try:
        return engine.containers.find(target).name
    except NotFound:
        return record.link_names.get(target, target[:12])


def needed_first(record: ContainerRecord) -> list[str]:
    """Ids of the containers that must run before this one can start."""
    return [*record.links.values(), *([record.joined_network] if record.joined_network else [])]


def parents(engine: Engine, target: str) -> list[ContainerRecord]:
    """Who has a link to a container."""
    return [record for record in engine.containers.all() if target in record.links.values()]


# -- a start


def resolve_links(engine: Engine, record: ContainerRecord) -> list[str]:
    """Look the links up for a start: the variables go into the record, the lines of /etc/hosts come back. Raises
    Internal where one cannot be had."""
    record.link_env = []
    if DEFAULT not in record.networks:
        return []
    lines = []
    for alias, target_id in record.links.items():
        try:
            target = engine.containers.find(target_id)
        except NotFound:
            target = None
        if target is None or not target.state.running:
            name = target.name if target else record.link_names.get(target_id, target_id[:12])
            raise Internal(f"Cannot link to a non running container: /{name} AS /{record.name}/{alias}")
        settings = target.networks.get(DEFAULT)
        if settings is None:
            raise Internal(f"container {target.id} not attached to default bridge network")
        record.link_env += variables(record.name, alias, target, settings)
        lines.append(hosts_line(alias, target, settings))
    return lines


def hosts_line(alias: str, target: ContainerRecord, settings: EndpointSettings) -> str:
    """The line of /etc/hosts for one link."""
    names = [alias, target.config.hostname, *([target.name] if alias != target.name else [])]
    return f"{settings.ip_address}\t{' '.join(names)}"


def variables(container: str, alias: str, target: ContainerRecord, settings: EndpointSettings) -> list[str]:
    """The variables of one link: its ports, TCP first, the first one once more by itself, ranges, its name, and the
    other container's own variables."""
    head, address = alias.replace("-", "_").upper(), settings.ip_address
    ports = sorted(map(Port.parse, target.config.exposed_ports or ()), key=_tcp_first)
    out = [f"{head}_PORT={ports[0].protocol}://{address}:{ports[0].number}"] if ports else []
    for port in ports:
        name = f"{head}_PORT_{port.number}_{port.protocol.upper()}"
        out += [
            f"{name}={port.protocol}://{address}:{port.number}",
            f"{name}_ADDR={address}",
            f"{name}_PORT={port.number}",
            f"{name}_PROTO={port.protocol}",
        ]
    for first, last in _ranges(ports):
        name = f"{head}_PORT_{first.number}_{first.protocol.upper()}"
        out += [
            f"{name}_START={first.protocol}://{address}:{first.number}",
            f"{name}_PORT_START={first.number}",
            f"{name}_END={first.protocol}://{address}:{last.number}",
            f"{name}_PORT_END={last.number}",
        ]
    own = [entry for entry in target.config.env or () if entry.partition("=")[0] not in _KEPT_BACK]
    return [*out, f"{head}_NAME=/{container}/{alias}", *(f"{head}_ENV_{entry}" for entry in own)]


def _tcp_first(port: Port) -> tuple[bool, int, str]:
    return port.protocol != "tcp", port.number, port.protocol


def _ranges(ports: Sequence[Port]) -> Iterable[tuple[Port, Port]]:
    """First and last of consecutive ports, where they are more than one."""
    ordered = sorted(ports, key=lambda port: (port.protocol != "tcp", port.protocol, port.number))
    first = None
    for port, following in pairwise([*ordered, None]):
        assert port is not None
        first = first or port
        if following is None or (following.protocol, following.number) != (port.protocol, port.number + 1):
            if first != port:
                yield first, port
            first = None


def open_links(engine: Engine, record: ContainerRecord) -> None:
    """Let a container that has its addresses reach the ports of those that it has links to, where the default bridge's
    containers may not talk otherwise. Raises Internal."""
    for target_id in dict.fromkeys(record.links.values()):
        with contextlib.suppress(NotFound):
            _open(engine, record, engine.containers.find(target_id))


def _open(engine: Engine, record: ContainerRecord, target: ContainerRecord) -> None:
    places = [item.networks.get(DEFAULT) for item in (record, target)]
    addresses = [place.ip_address for place in places if place is not None and place.ip_address]
    if len(addresses) == 2:
        engine.network.link(
            addresses[0], addresses[1], [Port.parse(text) for text in target.config.exposed_ports or ()]
        )


def tell_parents(engine: Engine, target: ContainerRecord) -> None:
    """A container that others have links to has started: put its address into their hosts files, and let them in."""
    settings = target.networks.get(DEFAULT)
    if settings is None or not settings.ip_address:
        return
    for record in parents(engine, target.id):
        if not record.state.running or DEFAULT not in record.networks:
            continue
        _open(engine, record, target)
        aliases = [alias for alias, ident in record.links.items() if ident == target.id]
        path = f"{engine.directory(record.id)}/hosts"
        try:
            old = read_text(path)
            new = with_address(old, aliases, settings.ip_address)
            if new != old:
                write_file(path, new)
        except OSError as error:  # the container may have made anything of it
            log.warning("container %s: its hosts file cannot be changed: %s", record.id, error)


def with_address(text: str, aliases: Iterable[str], address: str) -> str:
    """A hosts file in which the lines that begin with one of these names have this address."""
    wanted, lines = set(aliases), []
    for line in text.split("\n"):
        _, tab, names = line.partition("\t")
        lines.append(f"{address}\t{names}" if tab and names.split(" ")[0] in wanted else line)
    return "\n".join(lines)
