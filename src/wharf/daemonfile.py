"""daemon.json: its directives, typed and checked one by one."""

import json
from collections.abc import Iterable
from typing import Any

from wharf.daemonflags import LOG_LEVELS
from wharf.errors import Invalid
from wharf.spec.entitlements import DEFAULT_ENTITLEMENTS, ENTITLEMENTS
from wharf.spec.network import AddressPool

MAX_CONFIG_BYTES = 1 << 20
_REPORTED = """
    allow-nondistributable-artifacts experimental features metrics-addr
    storage-driver debug-addr swarm-default-advertise-addr
"""
REPORTED = frozenset(_REPORTED.split())
"""Docker's directives that change nothing here yet and that are safe to leave out."""
_REFUSED = """
    allow-direct-routing api-cors-header authorization-plugins bridge containerd
    containerd-namespace containerd-plugins-namespace data-root-quota graph host-gateway-ip
    host-gateway-ips init-path log-format min-api-version network-control-plane-mtu
    node-generic-resources oom-score-adjust raw-logs rootless storage-opts userland-proxy userland-proxy-path
    firewall-backend
"""
REFUSED = frozenset(_REFUSED.split())
"""Docker's directives that must not be ignored silently and are not there yet."""
PROXIES = ("http-proxy", "https-proxy", "no-proxy")
_KINDS: dict[str, type] = {
    "runtimes": dict, "default-ulimits": dict, "init": bool,
    "debug": bool, "tls": bool, "tlsverify": bool, "no-new-privileges": bool,
    "live-restore": bool, "restart-unhealthy": bool,
    "selinux-enabled": bool, "ip-forward": bool, "icc": bool, "forward-accept": bool,
    "ip-masq": bool, "ipv6": bool, "iptables": bool, "ip6tables": bool, "mtu": int, "default-network-opts": dict,
    "dns": list, "dns-opts": list, "dns-search": list,
    "insecure-registries": list, "registry-mirrors": list, "registry-realms": list,
    "registry-certs": list, "signature-policy": dict, "image-gc": dict,
    "max-concurrent-downloads": int, "max-concurrent-uploads": int, "max-download-attempts": int,
    "shutdown-timeout": int, "log-opts": dict, "hosts": list,
    "labels": list, "default-address-pools": list, "exec-opts": list, "cdi-spec-dirs": list,
}  # fmt: skip


_TABLES = ("signature-policy", "default-network-opts", "default-ulimits")
"""Objects of objects, which whoever uses them checks."""


def read_file(path: str, fields: Iterable[str], needed: bool, warnings: list[str]) -> dict[str, Any]:
    """The directives of daemon.json by the names of `fields`; {} if it is missing and not `needed`. Raises Invalid."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_CONFIG_BYTES + 1)
    except FileNotFoundError:
        if needed:
            raise _file_error(path, f"open {path}: no such file or directory") from None
        return {}
    except OSError as error:
        raise _file_error(path, f"open {path}: {error.strerror}") from None
    if len(data) > MAX_CONFIG_BYTES:
        raise _file_error(path, f"more than {MAX_CONFIG_BYTES} bytes")
    if not data.strip():
        return {}
    try:
        raw = json.loads(data)
    except ValueError as error:
        raise _file_error(path, f"invalid JSON: {error}") from None
    if not isinstance(raw, dict):
        raise _file_error(path, "not a JSON object")
    return _directives(path, raw, {name.replace("_", "-"): name for name in fields}, warnings)


def _directives(path: str, raw: dict[str, Any], known: dict[str, str], warnings: list[str]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    unknown: list[str] = []
    for key, value in raw.items():
        if key in REPORTED:
            warnings.append(f"{path}: {key} is not used yet")
        elif key in REFUSED:
            raise _file_error(path, f"the directive {key} is not there yet")
        elif key == "proxies":
            out.update(_proxies(path, value))
        elif key == "builder":
            out["build_entitlements"] = _builder(path, value, warnings)
        elif key not in known:
            unknown.append(key)
        else:
            out[known[key]] = _directive(path, key, value)
    if unknown:
        raise _file_error(
            path, f"the following directives don't match any configuration option: {', '.join(sorted(unknown))}"
        )
    return out


def _directive(path: str, key: str, value: Any) -> Any:
    kind: Any = _KINDS.get(key, str)
    if key == "default-shm-size" and type(value) is int:  # bytes, or a text with a unit
        value = str(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _file_error(path, f"{key} has the wrong type: expected {kind.__name__}")
    if key == "default-address-pools":
        return [_pool_object(path, item) for item in value]
    if key == "runtimes":
        return {name: _runtime_object(path, name, item) for name, item in value.items()}
    if kind is list and not all(isinstance(item, str) for item in value):
        raise _file_error(path, f"{key} must be a list of strings")
    if kind is dict and key not in _TABLES and not all(isinstance(item, str) for item in value.values()):
        raise _file_error(path, f"{key} must be an object of strings")
    if key == "log-level" and value not in LOG_LEVELS:
        raise _file_error(path, f"invalid logging level: {value[:50]}")
    return value


def _proxies(path: str, value: Any) -> dict[str, str]:
    """`{"http-proxy": URL, "https-proxy": URL, "no-proxy": HOSTS}`, each by its name in Settings."""
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise _file_error(path, "proxies must be an object of strings")
    if other := sorted(set(value) - set(PROXIES)):
        raise _file_error(path, f"proxies: {other[0]} is none of {', '.join(PROXIES)}")
    return {name.replace("-", "_"): text for name, text in value.items()}


def _builder(path: str, value: Any, warnings: list[str]) -> frozenset[str]:
    """`{"entitlements": {"network-host": true, "security-insecure": false}}`: what the steps of builds may be given.

    dockerd takes names in any case; its `gc` has no part in it.
    """
    if not isinstance(value, dict):
        raise _file_error(path, "builder has the wrong type: expected dict")
    parts = {str(key).lower(): item for key, item in value.items()}
    if other := sorted(set(parts) - {"entitlements", "gc"}):
        raise _file_error(path, f"builder: {other[0][:50]} is none of entitlements, gc")
    if "gc" in parts:
        warnings.append(f"{path}: builder.gc is not used yet")
    named = {name.replace(".", "-"): name for name in ENTITLEMENTS}
    granted = {key: name in DEFAULT_ENTITLEMENTS for key, name in named.items()}
    asked = parts.get("entitlements") or {}
    if not isinstance(asked, dict) or not all(isinstance(item, bool) for item in asked.values()):
        raise _file_error(path, "builder: entitlements must be an object of booleans")
    if unknown := sorted(set(asked) - set(granted)):
        raise _file_error(path, f"builder: entitlement {unknown[0][:50]} is none of {', '.join(granted)}")
    granted |= asked
    return frozenset(named[key] for key, given in granted.items() if given)


def _pool_object(path: str, item: Any) -> AddressPool:
    if not isinstance(item, dict) or set(item) != {"base", "size"} or not isinstance(item["size"], int):
        raise _file_error(path, 'default-address-pools must be a list of {"base": CIDR, "size": N}')
    return AddressPool.parse(f"base={item['base']},size={item['size']}")


def _runtime_object(path: str, name: str, item: Any) -> tuple[str, ...]:
    """`{"path": P, "runtimeArgs": [A…]}`; Docker's shims and their options need containerd."""
    if not isinstance(item, dict) or not isinstance(item.get("path"), str) or not item["path"]:
        raise _file_error(path, f"runtimes: {name} must be an object with a path")
    if other := sorted(set(item) - {"path", "runtimeArgs"}):
        raise _file_error(path, f"runtimes: {name}: {other[0]} is not there yet: path and runtimeArgs are")
    words = item.get("runtimeArgs") or []
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise _file_error(path, f"runtimes: {name}: runtimeArgs must be a list of strings")
    return (item["path"], *words)


def refuse_conflicts(path: str, flags: dict[str, Any], from_file: dict[str, Any]) -> None:
    """Raises Invalid for directives that were given twice."""
    both = [
        f"{name.replace('_', '-')}: (from flag: {_shown(flags[name])}, from file: {_shown(from_file[name])})"
        for name in flags
        if name in from_file
    ]
    if both:
        raise _file_error(
            path,
            "the following directives are specified both as a flag and in the configuration file: " + ", ".join(both),
        )


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return "[" + " ".join(str(item) for item in value) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _file_error(path: str, message: str) -> Invalid:
    return Invalid(f"unable to configure the Wharf daemon with file {path}: {message}")
