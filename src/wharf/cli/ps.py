"""`wharf ps`: the list of containers."""

from __future__ import annotations

import time

from wharf.cli import units
from wharf.cli.flags import Command
from wharf.cli.listing import Column, Listing, add_filters, filter_flag, show
from wharf.cli.session import Session
from wharf.cli.table import ellipsis

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COMMAND = Command(
    "ps",
    "[OPTIONS]",
    "List containers",
    (
        ("all", "a", "bool", "Show all containers (default shows just running)"),
        ("filter", "f", "list:filter", "Filter output based on conditions provided"),
        ("format", "", "string", "'table', 'table TEMPLATE', 'json' or a Go template"),
        ("last", "n", "int", "Show n last created containers (includes all states) (default -1)"),
        ("latest", "l", "bool", "Show the latest created container (includes all states)"),
        ("no-trunc", "", "bool", "Don't truncate output"),
        ("quiet", "q", "bool", "Only display container IDs"),
        ("size", "s", "bool", "Display total file sizes"),
    ),
    checks={"filter": filter_flag},
    example="wharf ps -a --filter status=exited --format '{{.Names}}: {{.Status}}'",
    aliases="wharf container ls, wharf container list, wharf container ps, wharf ps",
)


def ps(session: Session, args: list[str]) -> int:
    """Lists containers as `docker ps` does."""
    flags, _ = COMMAND.parse(args)
    limit = 1 if flags.get("latest") else flags.get("last", -1)
    form = flags.get("format", "")
    size = flags.get("size", False)
    containers = session.client().get(
        "/containers/json",
        all=flags.get("all") or limit > 0,
        limit=limit if limit > 0 else None,
        size=size or ".Size" in form,
        filters=add_filters(flags.get("filter", [])),
    )
    columns = [column for column in COLUMNS if column.name not in ("State", "Size") or (size and column.name == "Size")]
    listing = Listing(columns, HEADERS, quiet_field="ID")
    rows = [_row(container, flags.get("no-trunc", False)) for container in containers or []]
    show(session, listing, rows, form, quiet=flags.get("quiet", False))
    return 0


COLUMNS = (
    Column("ID", "CONTAINER ID"),
    Column("Image", "IMAGE"),
    Column("Command", "COMMAND"),
    Column("RunningFor", "CREATED"),
    Column("Status", "STATUS"),
    Column("Ports", "PORTS"),
    Column("Names", "NAMES"),
    Column("Size", "SIZE"),
)
HEADERS = {
    "CreatedAt": "CREATED AT", "Labels": "LABELS", "LocalVolumes": "LOCAL VOLUMES", "Mounts": "MOUNTS",
    "Networks": "NETWORKS", "State": "STATE", "Platform": "PLATFORM",
    **{column.name: column.header for column in COLUMNS},
}  # fmt: skip


def _row(container: dict[str, Any], whole: bool) -> dict[str, Any]:
    labels = container.get("Labels") or {}
    command = container.get("Command", "")
    mounts = container.get("Mounts") or []
    names = [mount.get("Name") or mount.get("Source", "") for mount in mounts]
    created = container.get("Created", 0)
    row: dict[str, Any] = {
        "Command": '"' + _escaped(command if whole else ellipsis(command, 20)) + '"',
        "CreatedAt": units.go_time(created),
        "ID": container["Id"] if whole else container["Id"][:12],
        "Image": _image(container, whole),
        "Labels": ",".join(f"{key}={labels[key]}" for key in sorted(labels)),
        "LocalVolumes": str(sum(1 for mount in mounts if mount.get("Driver") == "local")),
        "Mounts": ",".join(names if whole else [ellipsis(name, 15) for name in names]),
        "Names": _names(container.get("Names") or [], whole),
        "Networks": ",".join(sorted((container.get("NetworkSettings") or {}).get("Networks") or {})),
        "Platform": _platform(container),
        "Ports": display_ports(container.get("Ports") or []),
        "RunningFor": units.human_duration(time.time() - created) + " ago",
        "Size": _size(container),
        "State": container.get("State", ""),
        "Status": container.get("Status", ""),
    }
    if row["RunningFor"].startswith("Less than a second"):
        row["RunningFor"] = "Less than a second ago"
    row["Label"] = lambda key: labels.get(key, "")
    return row


def _escaped(text: str) -> str:
    """Go's strconv.Quote for what stands in command lines, without the quotes around it."""
    out = text.replace("\\", "\\\\").replace('"', '\\"')
    for character, name in (("\n", "\\n"), ("\t", "\\t"), ("\r", "\\r")):
        out = out.replace(character, name)
    return out


def _image(container: dict[str, Any], whole: bool) -> str:
    image = str(container.get("Image", ""))
    if not image:
        return "<no image>"
    if whole:
        return image
    image_id = str(container.get("ImageID", ""))
    if image == image_id:
        return image.removeprefix("sha256:")[:12]
    name, at, digest = image.partition("@")
    if at and digest == image_id:
        return digest.removeprefix("sha256:")[:12]
    return name


def _names(names: list[str], whole: bool) -> str:
    plain = [name.removeprefix("/") for name in names]
    if not whole:  # legacy links make names like /other/alias: only own names are shown
        plain = [name for name in plain if "/" not in name]
    return ",".join(plain)


def _platform(container: dict[str, Any]) -> Any:
    platform = (container.get("ImageManifestDescriptor") or {}).get("platform")
    if not platform:
        return None
    parts = [platform.get("os", ""), platform.get("architecture", ""), platform.get("variant", "")]
    return "/".join(part for part in parts if part)


def _size(container: dict[str, Any]) -> str:
    size = units.human_size(container.get("SizeRw", 0), 3)
    total = container.get("SizeRootFs", 0)
    return f"{size} (virtual {units.human_size(total, 3)})" if total > 0 else size


def display_ports(ports: list[dict[str, Any]]) -> str:
    """The PORTS column: neighbouring ports of one protocol and address are joined to a range."""
    ordered = sorted(
        ports, key=lambda p: (p.get("PrivatePort", 0), p.get("IP", ""), p.get("PublicPort", 0), p.get("Type", ""))
    )
    groups: dict[str, tuple[int, int]] = {}
    mapped: list[str] = []
    parts: list[str] = []
    order: list[str] = []
    for port in ordered:
        private, kind = int(port.get("PrivatePort", 0)), port.get("Type", "")
        key = kind
        if port.get("IP"):
            if port.get("PublicPort") != private:
                address = f"[{port['IP']}]" if ":" in port["IP"] else port["IP"]
                mapped.append(f"{address}:{port.get('PublicPort')}->{private}/{kind}")
                continue
            key = f"{port['IP']}/{kind}"
        first, last = groups.get(key, (0, 0))
        if key not in groups:
            groups[key] = (private, private)
            order.append(key)
        elif private == last + 1:
            groups[key] = (first, private)
        elif private != last:
            parts.append(_port_group(key, first, last))
            groups[key] = (private, private)
    parts += [_port_group(key, *groups[key]) for key in order]
    return ", ".join(parts + mapped)


def _port_group(key: str, first: int, last: int) -> str:
    address, _, kind = key.rpartition("/")
    numbers = str(first) if first == last else f"{first}-{last}"
    if not address:
        return f"{numbers}/{kind}"
    shown = f"[{address}]" if ":" in address else address
    return f"{shown}:{numbers}->{numbers}/{kind}"
