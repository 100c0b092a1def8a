"""`--network` in its short and long form."""

from __future__ import annotations

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
            wanted["priority"] = int(value)
        else:
            raise ValueError(f"invalid field key {key}")
    if not wanted["target"]:
        raise ValueError("network name/id is not specified")
    return wanted


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
    settings["Links"] = flags.get("link") if _is_user_defined(wanted["target"]) else None
    settings["MacAddress"] = wanted.get("mac") or flags.get("mac-address", "")
    settings["DriverOpts"] = wanted.get("options")
    settings["GwPriority"] = wanted.get("priority", 0)
    return settings


def _is_user_defined(name: str) -> bool:
    return name not in ("default", "bridge", "host", "none") and not name.startswith("container:")
