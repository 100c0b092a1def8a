"""Volumes: ls, create, rm."""

from __future__ import annotations

from wharf.cli.flags import ANY, Command
from wharf.cli.listing import Column, Listing, add_filters, filter_flag, show
from wharf.cli.session import Session
from wharf.client.api import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

LS = Command(
    "volume ls",
    "[OPTIONS]",
    "List volumes",
    (
        ("filter", "f", "list:filter", "Provide filter values (e.g. 'dangling=true')"),
        ("format", "", "string", "'table', 'table TEMPLATE', 'json' or a Go template"),
        ("quiet", "q", "bool", "Only display volume names"),
    ),
    checks={"filter": filter_flag},
    example="wharf volume ls -q --filter dangling=true",
    aliases="wharf volume ls, wharf volume list",
)
CREATE = Command(
    "volume create",
    "[OPTIONS] [VOLUME]",
    "Create a volume",
    (
        ("driver", "d", "string", "Specify volume driver name (default 'local')"),
        ("label", "", "list", "Set metadata for a volume"),
        ("opt", "o", "list:map", "Set driver specific options"),
    ),
    operands=(0, 1),
    example="wharf volume create data",
)
RM = Command(
    "volume rm",
    "[OPTIONS] VOLUME [VOLUME...]",
    "Remove one or more volumes. You cannot remove a volume that is in use by a container.",
    (("force", "f", "bool", "Force the removal of one or more volumes"),),
    operands=(1, ANY),
    example="wharf volume rm data",
    aliases="wharf volume rm, wharf volume remove",
)
_HEADERS = {
    "Driver": "DRIVER", "Name": "VOLUME NAME", "Scope": "SCOPE", "Mountpoint": "MOUNTPOINT", "Labels": "LABELS",
    "Links": "LINKS", "Size": "SIZE", "Availability": "AVAILABILITY", "Group": "GROUP", "Status": "STATUS",
}  # fmt: skip


def ls(session: Session, args: list[str]) -> int:
    """Lists volumes by name."""
    flags, _ = LS.parse(args)
    answer = session.client().get("/volumes", filters=add_filters(flags.get("filter", [])))
    show_volumes(session, answer.get("Volumes") or [], flags)
    return 0


def show_volumes(session: Session, volumes: list[dict[str, Any]], flags: Mapping[str, Any]) -> None:
    """The listing by name, as `format` and `quiet` of the flags ask for it."""
    rows = [_row(volume) for volume in sorted(volumes, key=lambda volume: str(volume["Name"]))]
    columns = [Column(field, _HEADERS[field]) for field in ("Driver", "Name")]
    show(session, Listing(columns, _HEADERS, "Name"), rows, flags.get("format", ""), quiet=flags.get("quiet", False))


def _row(volume: dict[str, Any]) -> dict[str, Any]:
    labels = volume.get("Labels") or {}
    return {
        "Availability": "N/A",
        "Driver": volume["Driver"],
        "Group": "N/A",
        "Labels": ",".join(f"{key}={labels[key]}" for key in sorted(labels)),
        "Links": "N/A",
        "Mountpoint": volume["Mountpoint"],
        "Name": volume["Name"],
        "Scope": volume["Scope"],
        "Size": "N/A",
        "Status": "N/A",
        "Label": lambda key: labels.get(key, ""),
    }


def create(session: Session, args: list[str]) -> int:
    """Makes a volume and prints its name."""
    flags, names = CREATE.parse(args)
    body = {
        "Name": names[0] if names else "",
        "Driver": flags.get("driver", "local"),
        "DriverOpts": dict(text.partition("=")[::2] for text in flags.get("opt", [])),
        "Labels": dict(text.partition("=")[::2] for text in flags.get("label", [])),
    }
    session.line(session.client().post("/volumes/create", body)["Name"])
    return 0


def rm(session: Session, args: list[str]) -> int:
    """Removes volumes."""
    flags, names = RM.parse(args)
    force = flags.get("force")
    return session.each(names, lambda name: session.client().delete(f"/volumes/{quote(name)}", force=force))
