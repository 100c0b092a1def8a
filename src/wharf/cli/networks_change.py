"""Networks: create, connect, disconnect, rm, prune."""

from __future__ import annotations

from wharf.cli.flags import ANY, Command
from wharf.cli.listing import add_filters, filter_flag
from wharf.cli.prune import confirmed
from wharf.cli.session import Session
from wharf.client.api import quote
from wharf.errors import Invalid, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _label(text: str) -> str:
    if not text.partition("=")[0]:
        raise ValueError(f"invalid label '{text}': empty name")
    return text


CREATE = Command(
    "network create",
    "[OPTIONS] NETWORK",
    "Create a network",
    (
        ("attachable", "", "bool", "Enable manual container attachment"),
        ("aux-address", "", "list:map", "Auxiliary IPv4 or IPv6 addresses used by Network driver"),
        ("config-from", "", "string", "The network from which to copy the configuration"),
        ("config-only", "", "bool", "Create a configuration only network"),
        ("driver", "d", "string", "Driver to manage the Network (default 'bridge')"),
        ("gateway", "", "list:strings", "IPv4 or IPv6 Gateway for the master subnet"),
        ("ingress", "", "bool", "Create swarm routing-mesh network"),
        ("internal", "", "bool", "Restrict external access to the network"),
        ("ip-range", "", "list:strings", "Allocate container ip from a sub-range"),
        ("ipam-driver", "", "string", "IP Address Management Driver (default 'default')"),
        ("ipam-opt", "", "list:map", "Set IPAM driver specific options"),
        ("ipv4", "", "bool", "Enable or disable IPv4 address assignment"),
        ("ipv6", "", "bool", "Enable or disable IPv6 address assignment"),
        ("label", "", "list", "Set metadata on a network"),
        ("opt", "o", "list:map", "Set driver specific options"),
        ("scope", "", "string", "Control the network's scope"),
        ("subnet", "", "list:strings", "Subnet in CIDR format that represents a network segment"),
    ),
    operands=(1, 1),
    checks={"label": _label},
    example="wharf network create --subnet 10.5.0.0/16 --ip-range 10.5.1.0/24 backend",
)
CONNECT = Command(
    "network connect",
    "[OPTIONS] NETWORK CONTAINER",
    "Connect a container to a network",
    (
        ("alias", "", "list:strings", "Add network-scoped alias for the container"),
        ("driver-opt", "", "list:strings", "driver options for the network"),
        ("gw-priority", "", "int", "Highest gw-priority provides the default gateway; may be negative"),
        ("ip", "", "string", 'IPv4 address (e.g., "172.30.100.104")'),
        ("ip6", "", "string", 'IPv6 address (e.g., "2001:db8::33")'),
        ("link", "", "list", "Add link to another container"),
        ("link-local-ip", "", "list:strings", "Add a link-local address for the container"),
    ),
    operands=(2, 2),
    example="wharf network connect --alias db backend postgres",
)
DISCONNECT = Command(
    "network disconnect",
    "[OPTIONS] NETWORK CONTAINER",
    "Disconnect a container from a network",
    (("force", "f", "bool", "Force the container to disconnect from a network"),),
    operands=(2, 2),
    example="wharf network disconnect backend postgres",
)
RM = Command(
    "network rm",
    "NETWORK [NETWORK...]",
    "Remove one or more networks",
    (("force", "f", "bool", "Do not error if the network does not exist"),),
    operands=(1, ANY),
    example="wharf network rm backend",
    aliases="wharf network rm, wharf network remove",
)
PRUNE = Command(
    "network prune",
    "[OPTIONS]",
    "Remove all unused networks",
    (
        ("filter", "", "list:filter", "Provide filter values (e.g. 'until=<timestamp>')"),
        ("force", "f", "bool", "Do not prompt for confirmation"),
    ),
    checks={"filter": filter_flag},
    example="wharf network prune -f",
)


def create(session: Session, args: list[str]) -> int:
    """Makes a network and prints its id."""
    flags, (name,) = CREATE.parse(args)
    body: dict[str, Any] = {
        "Name": name,
        "Driver": flags.get("driver", "bridge"),
        "Scope": flags.get("scope", ""),
        "IPAM": {
            "Driver": flags.get("ipam-driver", "default"),
            "Options": _pairs(flags.get("ipam-opt", [])),
            "Config": subnets(flags),
        },
        "Internal": flags.get("internal", False),
        "Attachable": flags.get("attachable", False),
        "Ingress": flags.get("ingress", False),
        "ConfigOnly": flags.get("config-only", False),
        "ConfigFrom": {"Network": flags["config-from"]} if flags.get("config-from") else None,
        "Options": _pairs(flags.get("opt", [])),
        "Labels": _pairs(flags.get("label", [])),
    }
    for member, flag in (("EnableIPv4", "ipv4"), ("EnableIPv6", "ipv6")):
        if flag in flags:
            body[member] = flags[flag]
    answer = session.client().post("/networks/create", body)
    if answer.get("Warning"):
        session.complain(f"WARNING: {answer['Warning']}")
    session.line(answer["Id"])
    return 0


def subnets(flags: dict[str, Any]) -> list[dict[str, Any]]:
    """`IPAM.Config`: each range, gateway and auxiliary address goes to the subnet that it lies in; raises Invalid in
    docker's words."""
    wanted = _split(flags.get("subnet", []))
    ranges, gateways = _split(flags.get("ip-range", [])), _split(flags.get("gateway", []))
    if len(wanted) < len(ranges) or len(wanted) < len(gateways):
        raise Invalid("every ip-range or gateway must have a corresponding subnet")
    found: dict[str, dict[str, Any]] = {}
    for subnet in wanted:
        if any(_matches(other, subnet) or _matches(subnet, other) for other in found):
            raise Invalid("multiple overlapping subnet configuration is not supported")
        found[subnet] = {"Subnet": subnet}
    for text in ranges:
        _assign(found, text, "IPRange", ("range", "ranges", "on"))
    for text in gateways:
        _assign(found, text, "Gateway", ("gateway", "gateways", "for"))
    for name, address in sorted(_pairs(flags.get("aux-address", [])).items()):
        fitting = [subnet for subnet in found if _matches(subnet, address)]
        if not fitting:
            raise Invalid(f"no matching subnet for aux-address {address}")
        for subnet in fitting:
            found[subnet].setdefault("AuxiliaryAddresses", {})[name] = address
    return list(found.values())


def _assign(found: dict[str, dict[str, Any]], text: str, member: str, words: tuple[str, str, str]) -> None:
    one, many, preposition = words
    fitting = [subnet for subnet in found if _matches(subnet, text, network=member == "IPRange")]
    if not fitting:
        raise Invalid(f"no matching subnet for {one} {text}")
    for subnet in fitting:
        if member in found[subnet]:
            before = found[subnet][member]
            raise Invalid(
                f"cannot configure multiple {many} ({text}, {before}) {preposition} the same subnet ({subnet})"
            )
        found[subnet][member] = text


def _matches(subnet: str, text: str, network: bool = False) -> bool:
    """Whether an address or a network begins in the subnet; raises Invalid for a network or subnet that is none."""
    import ipaddress

    try:
        within = ipaddress.ip_network(_cidr(subnet), strict=False)
    except ValueError as error:
        raise Invalid(f"invalid subnet: {error}") from None
    try:
        if network or "/" in text:
            return ipaddress.ip_interface(_cidr(text)).ip in within
    except ValueError as error:
        raise Invalid(str(error)) from None
    try:
        return ipaddress.ip_address(text) in within
    except ValueError:
        return False


def _cidr(text: str) -> str:
    import ipaddress

    try:
        ipaddress.ip_interface(text)
    except ValueError:
        raise ValueError(f"invalid CIDR address: {text}") from None
    if "/" not in text:
        raise ValueError(f"invalid CIDR address: {text}")
    return text


def connect(session: Session, args: list[str]) -> int:
    """Connects a container to a network."""
    flags, (network, container) = CONNECT.parse(args)
    options = _split(flags.get("driver-opt", []))
    if any("=" not in option for option in options):
        raise Invalid("invalid key/value pair format in driver options")
    addresses = {
        "IPv4Address": flags.get("ip", ""),
        "IPv6Address": flags.get("ip6", ""),
        "LinkLocalIPs": _split(flags.get("link-local-ip", [])),
    }
    endpoint = {
        "IPAMConfig": {key: value for key, value in addresses.items() if value},
        "Links": flags.get("link", []),
        "Aliases": _split(flags.get("alias", [])),
        "DriverOpts": _pairs(options),
        "GwPriority": flags.get("gw-priority", 0),
    }
    session.client().post(f"/networks/{quote(network)}/connect", {"Container": container, "EndpointConfig": endpoint})
    return 0


def disconnect(session: Session, args: list[str]) -> int:
    """Disconnects a container from a network."""
    flags, (network, container) = DISCONNECT.parse(args)
    body = {"Container": container, "Force": flags.get("force", False)}
    session.client().post(f"/networks/{quote(network)}/disconnect", body)
    return 0


def rm(session: Session, args: list[str]) -> int:
    """Removes networks."""
    flags, names = RM.parse(args)

    def remove(name: str) -> None:
        try:
            session.client().delete(f"/networks/{quote(name)}")
        except NotFound:
            if not flags.get("force"):
                raise
        else:
            session.line(name)

    return session.each(names, remove, show=False)


def prune(session: Session, args: list[str]) -> int:
    """Removes networks that no container uses."""
    flags, _ = PRUNE.parse(args)
    if not confirmed(session, flags, "This will remove all custom networks not used by at least one container."):
        return 0
    answer = session.client().post("/networks/prune", filters=add_filters(flags.get("filter", [])))
    deleted = answer.get("NetworksDeleted") or []
    if deleted:
        session.write("\n".join(["Deleted Networks:", *deleted]) + "\n\n")
    return 0


def _pairs(given: list[str]) -> dict[str, str]:
    return {key: value for key, _, value in (text.partition("=") for text in given)}


def _split(given: list[str]) -> list[str]:
    """Values that may stand in one flag with commas between them."""
    import csv

    return [value for text in given for row in csv.reader([text]) for value in row]
