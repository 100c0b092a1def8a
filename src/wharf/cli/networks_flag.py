"""`--network` in its short and long form."""

from __future__ import annotations

from wharf.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def parse_network(text: str) -> dict[str, Any]:
    """`NAME` or `name=NAME,alias=…,ip=…`; raises ValueError. Keys: target, aliases, ip, ip6, mac, options, priority."""
    wanted: dict[str, Any] = {"target": text}
    if "=" not in text:
        return wanted
    wanted["target"] = ""
    for field in text.split(","):
        key, equals, value = field.partition("=")
        key = key.strip().lower()
        if not equals:
            raise ValueError(f"invalid field {field}")
        if key == "name":
            wanted["target"] = value
        elif key == "alias":
            wanted.setdefault("aliases", []).append(value)
        elif key in ("ip", "ip6"):
            wanted[key] = value
        elif key == "mac-address":
            wanted["mac"] = value
        elif key == "link-local-ip":
            wanted.setdefault("link_local", []).append(value)
        elif key == "driver-opt":
            name, _, content = value.partition("=")
            wanted.setdefault("options", {})[name] = content
        elif key == "gw-priority":
            wanted["priority"] = _priority(value)
        else:
            raise ValueError(f"invalid field key {key}")
    if not wanted["target"]:
        raise ValueError("network name/id is not specified")
    return wanted


def _priority(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"invalid gw-priority ({text}): invalid syntax") from None


def check(networks: list[dict[str, Any]], flags: dict[str, Any]) -> None:
    """Which networks and flags do not go together; raises Invalid in docker's words."""
    names = [network["target"] for network in networks]
    if len(names) > 1 and not all(map(is_user_defined, names)):
        raise Invalid("conflicting options: cannot attach both user-defined and non-user-defined network-modes")
    for name in names:
        if names.count(name) > 1:
            raise Invalid(f'network "{name}" is specified multiple times')
    first = networks[0]
    for key, flag, what in _ONCE:
        if first.get(key) and flags.get(flag):
            raise Invalid(f"conflicting options: cannot specify both --{flag} and per-network {what}")
    if (first.get("aliases") or flags.get("network-alias")) and not is_user_defined(first["target"]):
        raise Invalid("network-scoped aliases are only supported for user-defined networks")
    for mac in (flags.get("mac-address"), *(network.get("mac") for network in networks)):
        if mac and not _is_mac(mac):
            raise Invalid(f"{mac} is not a valid mac address")


_ONCE = (
    ("aliases", "network-alias", "alias"),
    ("ip", "ip", "IPv4 address"),
    ("ip6", "ip6", "IPv6 address"),
    ("mac", "mac-address", "MAC address"),
    ("link_local", "link-local-ip", "link-local IP addresses"),
)


def _is_mac(text: str) -> bool:
    parts = text.replace("-", ":").split(":")
    return len(parts) == 6 and all(
        len(part) == 2 and all(c in "0123456789abcdefABCDEF" for c in part) for part in parts
    )


def endpoint(wanted: dict[str, Any], flags: dict[str, Any]) -> dict[str, Any]:
    """The EndpointSettings of one `--network`; the first takes --ip, --network-alias, --mac-address, --link too."""
    settings: dict[str, Any] = {}
    config: dict[str, Any] = {}
    if wanted.get("ip") or flags.get("ip"):
        config["IPv4Address"] = wanted.get("ip") or flags.get("ip")
    if wanted.get("ip6") or flags.get("ip6"):
        config["IPv6Address"] = wanted.get("ip6") or flags.get("ip6")
    if wanted.get("link_local") or flags.get("link-local-ip"):
        config["LinkLocalIPs"] = wanted.get("link_local") or flags.get("link-local-ip")
    settings["IPAMConfig"] = config or None
    settings["Aliases"] = wanted.get("aliases") or flags.get("network-alias")
    settings["Links"] = flags.get("link") if is_user_defined(wanted["target"]) else None
    settings["MacAddress"] = wanted.get("mac") or flags.get("mac-address", "")
    settings["DriverOpts"] = wanted.get("options")
    settings["GwPriority"] = wanted.get("priority", 0)
    return settings


def is_user_defined(name: str) -> bool:
    """Whether a network is none of those that are always there."""
    return name not in ("default", "bridge", "host", "none") and not name.startswith("container:")
