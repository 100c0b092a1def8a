"""Networks: ls."""

from __future__ import annotations

from wharf.cli.flags import Command
from wharf.cli.listing import Column, Listing, add_filters, filter_flag, show
from wharf.cli.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LS = Command(
    "network ls",
    "[OPTIONS]",
    "List networks",
    (
        ("filter", "f", "list:filter", "Provide filter values (e.g. 'driver=bridge')"),
        ("format", "", "string", "'table', 'table TEMPLATE', 'json' or a Go template"),
        ("no-trunc", "", "bool", "Do not truncate the output"),
        ("quiet", "q", "bool", "Only display network IDs"),
    ),
    checks={"filter": filter_flag},
    example="wharf network ls",
    aliases="wharf network ls, wharf network list",
)
_HEADERS = {
    "ID": "NETWORK ID", "Name": "NAME", "Driver": "DRIVER", "Scope": "SCOPE", "IPv4": "IPV4", "IPv6": "IPV6",
    "Internal": "INTERNAL", "Labels": "LABELS", "CreatedAt": "CREATED AT",
}  # fmt: skip


def ls(session: Session, args: list[str]) -> int:
    """Lists networks by name."""
    flags, _ = LS.parse(args)
    found = session.client().get("/networks", filters=add_filters(flags.get("filter", []))) or []
    rows = [_row(network, flags.get("no-trunc", False)) for network in sorted(found, key=lambda item: item["Name"])]
    columns = [Column(field, _HEADERS[field]) for field in ("ID", "Name", "Driver", "Scope")]
    show(session, Listing(columns, _HEADERS, "ID"), rows, flags.get("format", ""), quiet=flags.get("quiet", False))
    return 0


def _row(network: dict[str, Any], whole: bool) -> dict[str, Any]:
    labels = network.get("Labels") or {}
    return {
        "CreatedAt": network["Created"],
        "Driver": network["Driver"],
        "ID": network["Id"] if whole else network["Id"][:12],
        "IPv4": "true" if network.get("EnableIPv4") else "false",
        "IPv6": "true" if network.get("EnableIPv6") else "false",
        "Internal": "true" if network.get("Internal") else "false",
        "Labels": ",".join(f"{key}={labels[key]}" for key in sorted(labels)),
        "Name": network["Name"],
        "Scope": network["Scope"],
        "Label": lambda key: labels.get(key, ""),
    }
