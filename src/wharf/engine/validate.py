"""Create requests, checked: Docker's rules with Docker's words. Pure."""

import ipaddress
import posixpath
from collections.abc import Mapping
from dataclasses import fields, is_dataclass

from wharf.engine.security import normalise, parse_options
from wharf.engine.signals import parse_signal
from wharf.errors import Conflict, Internal, Invalid
from wharf.spec.container import ContainerConfig, Healthcheck, HostConfig
from wharf.spec.network import parse_port_bindings, parse_port_range
from wharf.spec.quantities import parse_size
from wharf.spec.quote import go_quote
from wharf.storage.snapshots.quota import UNSUPPORTED

MAX_HOST_NAME = 64
"""Of the kernel (__NEW_UTS_LEN)."""
LINKS_WITH_HOST = "host type networking can't be used with links. This would result in undefined behavior"
GATEWAY_WORD = "host-gateway"
MIN_HEALTH_TIME = 1_000_000
"""Nanoseconds."""
RESTART_POLICIES = ("no", "always", "on-failure", "unless-stopped")
MAX_TEXT = 1 << 20
MAX_ROOT = 1 << 50
"""Bytes, of --storage-opt size."""


def check_config(config: ContainerConfig) -> None:
    """`Config`; raises Invalid."""
    if config.working_dir and not posixpath.isabs(config.working_dir):
        raise Invalid(f"the working directory '{config.working_dir}' is invalid, it needs to be an absolute path")
    for entry in config.env or ():
        if not entry or entry.startswith("="):
            raise Invalid(f"invalid environment variable: {entry[:200]}")
    if len(config.hostname) > MAX_HOST_NAME or len(config.domainname) > MAX_HOST_NAME:
        raise Invalid(f"invalid hostname: {max(config.hostname, config.domainname, key=len)[:200]}")
    for name in (config.hostname, config.domainname):
        # They are written into /etc/hosts: another line there would name a host the container's user trusts.
        if any(char < " " for char in name):
            raise Invalid(f"invalid hostname: {name!r}")
    if config.stop_signal:
        parse_signal(config.stop_signal)
    for port in config.exposed_ports or {}:
        parse_port_range(port)
    if config.healthcheck:
        _check_health(config.healthcheck)


def refuse_nul(value: object) -> None:
    """Raises Invalid for a NUL anywhere in a request: no argument, path or file of the kernel's can hold one."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            if "\0" in item:
                raise Invalid(f"invalid argument: {item[:100]!r} contains a NUL byte")
        elif isinstance(item, dict):
            waiting += item.keys()
            waiting += item.values()
        elif isinstance(item, list | tuple):
            waiting += item
        elif is_dataclass(item):
            waiting += [getattr(item, entry.name) for entry in fields(item)]


def _check_health(check: Healthcheck) -> None:
    if check.test == ["CMD"]:  # dockerd takes it and panics at the first check
        raise Invalid("the health check has no command")
    for name, value in (
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ):
        if value and value < MIN_HEALTH_TIME:
            raise Invalid(f"{name} in Healthcheck cannot be less than 1ms")
    if check.retries < 0:
        raise Invalid("Retries in Healthcheck cannot be negative")


def check_host_config(host: HostConfig) -> None:
    """`HostConfig`; raises Invalid, or Internal where Docker answers 500."""
    normalise(host.cap_add, "CapAdd")
    normalise(host.cap_drop, "CapDrop")
    parse_options(host)
    _check_restart(host)
    _check_namespaces(host)
    parse_port_bindings(host.port_bindings)
    _check_names(host)
    if host.shm_size < 0:
        raise Invalid("SHM size can not be less than 0")
    if not -1000 <= host.oom_score_adj <= 1000:
        raise Invalid(f"Invalid value {host.oom_score_adj}, range for oom score adj is [-1000, 1000]")
    if ".." in host.cgroup_parent.split("/") or "\0" in host.cgroup_parent:
        raise Invalid(f"invalid cgroup parent: {host.cgroup_parent[:200]!r}")
    if "" in (host.annotations or {}):
        raise Invalid("invalid Annotations: the empty string is not permitted as an annotation key")
    _refuse_missing(host)


def _check_names(host: HostConfig) -> None:
    """What is written into /etc/hosts and /etc/resolv.conf; Internal where Docker answers 500 at start."""
    for text in host.extra_hosts or ():
        # The client writes `name:address` for every form it takes (opts.ValidateExtraHost).
        name, colon, address = text.partition(":")
        if not colon or not name or any(char.isspace() or ord(char) < 32 for char in name):
            raise Invalid(f"bad format for add-host: {go_quote(text[:200])}")
        if address != GATEWAY_WORD and not _is_address(address):
            raise Invalid(f"invalid IP address in add-host: {go_quote(address[:200])}")
    for server in host.dns or ():
        if not _is_address(server):
            raise Internal(
                f"bad nameserver address {server[:200]}: ParseAddr({go_quote(server[:200])}): unable to parse IP"
            )
    for word in (*(host.dns_search or ()), *(host.dns_options or ())):
        if any(ord(char) < 32 for char in word):
            raise Invalid(f"{go_quote(word[:200])} is not a valid domain or option of resolv.conf")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return not any(char.isspace() for char in text)


def _refuse_missing(host: HostConfig) -> None:
    if host.isolation.lower() not in ("", "default"):
        raise Invalid(f"invalid isolation ({host.isolation[:100]}): linux only supports 'default'")


def _check_restart(host: HostConfig) -> None:
    policy = host.restart_policy
    if policy.name and policy.name not in RESTART_POLICIES:
        raise Invalid(
            f"invalid restart policy: unknown policy '{policy.name[:100]}'; use one of 'no', 'always', "
            "'on-failure', or 'unless-stopped'"
        )
    if policy.maximum_retry_count < 0:
        raise Invalid("invalid restart policy: maximum retry count cannot be negative")
    if policy.maximum_retry_count and policy.name not in ("on-failure",):
        raise Invalid("invalid restart policy: maximum retry count can only be used with 'on-failure'")
    if host.auto_remove and policy.name not in ("", "no"):
        raise Invalid("can't create 'AutoRemove' container with restart policy")


def _check_namespaces(host: HostConfig) -> None:
    if host.pid_mode not in ("", "host", "private") and not _of_container(host.pid_mode):
        raise Invalid(f"invalid PID mode: {host.pid_mode[:100]}")
    if host.ipc_mode not in ("", "host", "private", "shareable", "none") and not host.ipc_mode.startswith("container:"):
        raise Invalid(f"invalid IPC mode: {host.ipc_mode[:100]}")
    if host.userns_mode not in ("", "host"):
        raise Invalid(f"invalid USER mode: {host.userns_mode[:100]}")
    if host.uts_mode not in ("", "host"):
        raise Invalid(f"invalid UTS mode: {host.uts_mode[:100]}")
    if host.cgroupns_mode not in ("", "host", "private"):
        raise Invalid(f"invalid cgroup namespace mode: {host.cgroupns_mode[:100]}")


def check_user_namespace(host: HostConfig) -> None:
    """What a container of a daemon with --userns-remap may not ask for; raises Invalid in Docker's words."""
    if host.userns_mode == "host":
        return
    if host.privileged:
        raise Invalid(
            "privileged mode is incompatible with user namespaces.  You must run the container in the host namespace "
            "when running privileged mode"
        )
    if host.network_mode == "host":
        raise Invalid("cannot share the host's network namespace when user namespaces are enabled")
    if host.pid_mode == "host":
        raise Invalid("cannot share the host PID namespace when user namespaces are enabled")


def _of_container(mode: str) -> bool:
    return mode.startswith("container:") and len(mode) > len("container:")


def check_network_conflicts(config: ContainerConfig, host: HostConfig) -> None:
    """What makes no sense with `--network container:` and `--uts host`; raises Invalid in Docker's words."""
    if host.uts_mode == "host" and config.hostname:
        raise Invalid("conflicting options: hostname and the UTS mode")
    if host.links and host.network_mode == "host":
        raise Invalid(f"conflicting options: {LINKS_WITH_HOST}")
    if host.network_mode in ("container", "container:"):
        raise Invalid("invalid network mode: invalid container format container:<name|id>")
    if not _of_container(host.network_mode):
        return
    conflicts = (
        (config.hostname, "hostname and the network mode"),
        (host.links, "container type network can't be used with links. This would result in undefined behavior"),
        (host.dns, "dns and the network mode"),
        (host.extra_hosts, "custom host-to-IP mapping and the network mode"),
        (config.mac_address, "mac-address and the network mode"),
        (host.port_bindings, "port publishing and the container type network mode"),
        (host.publish_all_ports, "port publishing and the container type network mode"),
        (config.exposed_ports, "port exposing and the container type network mode"),
    )
    for given, text in conflicts:
        if given:
            raise Invalid(f"conflicting options: {text}")


def check_update(host: HostConfig) -> None:
    """The restart policy that POST /containers/{id}/update wants; raises Invalid."""
    _check_restart(host)


def root_size(options: Mapping[str, str], supported: bool) -> int:
    """Bytes of `--storage-opt size`, 0 for no limit; Internal in Docker's words, also where nothing can limit it."""
    if "size" in options and not supported:
        raise Internal(UNSUPPORTED)
    size = 0
    for key, value in options.items():
        if key.lower() != "size":
            raise Internal(f"Unknown option {key[:100]}")
        try:
            size = parse_size(value)
        except Invalid as error:
            raise Internal(error.message) from None
        if not 0 <= size <= MAX_ROOT:
            raise Internal(f"invalid size: '{value[:50]}'")
    return size


def check_not_container_itself(mode: str, container_id: str) -> None:
    """Raises Conflict for a container that wants to join its own namespaces."""
    if mode == f"container:{container_id}":
        raise Conflict("cannot join own network")
