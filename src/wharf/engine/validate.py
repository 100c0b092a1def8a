"""Create requests, checked: Docker's rules with Docker's words. Pure, but for the number of processors."""

import ipaddress
import os
import posixpath
from dataclasses import fields, is_dataclass

from wharf.engine.security import normalise, parse_options
from wharf.engine.signals import parse_signal
from wharf.errors import Conflict, Internal, Invalid, NotImplementedYet
from wharf.spec.container import ContainerConfig, Healthcheck, HostConfig
from wharf.spec.network import parse_port_bindings, parse_port_range
from wharf.spec.quote import go_quote

MIN_MEMORY = 6 << 20
MAX_HOST_NAME = 64
"""Of the kernel (__NEW_UTS_LEN)."""
GATEWAY_WORD = "host-gateway"
MAX_PROCESSORS = 1 << 16
CPU_PERIODS = (1000, 1_000_000)
MIN_QUOTA = 1000
MIN_HEALTH_TIME = 1_000_000
"""Nanoseconds."""
RESTART_POLICIES = ("no", "always", "on-failure", "unless-stopped")
MAX_TEXT = 1 << 20
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}


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
    if check.test and check.test[0] not in ("NONE", "CMD", "CMD-SHELL"):
        raise Invalid(f'Unknown healthcheck type "{check.test[0][:100]}" (expected "CMD" or "CMD-SHELL")')
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
    _check_resources(host)
    parse_port_bindings(host.port_bindings)
    _check_names(host)
    if host.shm_size < 0:
        raise Invalid("SHM size can not be less than 0")
    if not -1000 <= host.oom_score_adj <= 1000:
        raise Invalid(f"Invalid value {host.oom_score_adj}, range for oom score adj is [-1000, 1000]")
    if ".." in host.cgroup_parent.split("/") or "\0" in host.cgroup_parent:
        raise Invalid(f"invalid cgroup parent: {host.cgroup_parent[:200]!r}")
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
    for given, what in (
        (host.links, "links"),
        (host.device_requests, "device requests (--gpus)"),
        (host.storage_opt, "storage options"),
        (host.blkio_weight_device, "weights of block devices"),
        (host.kernel_memory_tcp, "limits of kernel memory"),
    ):
        if given:
            raise NotImplementedYet(f"{what} of a container: not there yet")


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
            raise Invalid(text if text.startswith("container type") else f"conflicting options: {text}")


def check_update(host: HostConfig) -> None:
    """What POST /containers/{id}/update wants to change; raises Invalid."""
    _check_restart(host)
    _check_resources(host, update=True)


def _check_resources(host: HostConfig, update: bool = False) -> None:
    if host.memory < 0 or 0 < host.memory < MIN_MEMORY:
        raise Invalid("Minimum memory limit allowed is 6MB")
    if host.memory > 0 and 0 < host.memory_swap < host.memory:
        raise Invalid("Minimum memoryswap limit should be larger than memory limit, see usage")
    if host.memory == 0 and host.memory_swap > 0 and not update:  # there may be a limit of memory already
        raise Invalid("You should always set the Memory limit when using Memoryswap limit, see usage")
    if host.memory_reservation and 0 < host.memory < host.memory_reservation:
        raise Invalid("Minimum memory limit can not be less than memory reservation limit, see usage")
    if host.memory_swappiness is not None and host.memory_swappiness != -1 and not 0 <= host.memory_swappiness <= 100:
        raise Invalid(f"Invalid value: {host.memory_swappiness}, valid memory swappiness range is 0-100")
    _check_cpu(host)
    if host.blkio_weight and not 10 <= host.blkio_weight <= 1000:
        raise Invalid("Range of blkio weight is from 10 to 1000")


def _check_cpu(host: HostConfig) -> None:
    if host.cpu_shares < 0:
        raise Invalid(f"invalid CPU shares ({host.cpu_shares}): value must be a positive integer")
    processors = os.cpu_count() or 1
    if host.nano_cpus:
        if host.cpu_period > 0:
            raise Invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set")
        if host.cpu_quota > 0:
            raise Invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set")
        if not 0 < host.nano_cpus <= processors * 10**9:
            raise Invalid(
                f"range of CPUs is from 0.01 to {processors:.2f}, as there are only {processors} CPUs available"
            )
    if host.cpu_period and not CPU_PERIODS[0] <= host.cpu_period <= CPU_PERIODS[1]:
        raise Invalid("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    if 0 < host.cpu_quota < MIN_QUOTA:
        raise Invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    for name, text in (("cpus", host.cpuset_cpus), ("mems", host.cpuset_mems)):
        if not _is_set(text):
            raise Invalid(f"Invalid value {text[:100]} for cpuset {name}: invalid format: {text[:100]}")
    available = _online()
    if host.cpuset_cpus and available and not _numbers(host.cpuset_cpus) <= _numbers(available):
        raise Invalid(f"Requested CPUs are not available - requested {host.cpuset_cpus[:100]}, available: {available}")


def _online() -> str:
    """Processors in use, as the kernel lists them; "" when it does not tell."""
    try:
        with open("/sys/devices/system/cpu/online") as file:
            return file.read(4096).strip()
    except OSError:
        return ""


def _numbers(text: str) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        # Beyond MAX_PROCESSORS one number is as unavailable as the rest of its range.
        found.update(range(min(int(first), MAX_PROCESSORS), min(int(last or first), MAX_PROCESSORS) + 1))
    return found


def _is_set(text: str) -> bool:
    """Whether a text is a list of numbers and ranges (cpuset(7))."""
    if not text:
        return True
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or len(part) > 20 or (dash and (not last.isdecimal() or int(last) < int(first))):
            return False
    return True


def parse_size(text: str) -> int:
    """`10m`, `1.5g`, `-1`: bytes; raises Invalid in go-units' words."""
    if text == "-1":
        return -1
    digits = text.rstrip("bBkKmMgG ")
    unit = text[len(digits) :].strip().lower()
    try:
        number = float(digits)
    except ValueError:
        raise Invalid(f"invalid size: '{text[:50]}'") from None
    if unit not in _UNITS or not 0 <= number < 1 << 50:
        raise Invalid(f"invalid size: '{text[:50]}'")
    return int(number * _UNITS[unit])


def check_not_container_itself(mode: str, container_id: str) -> None:
    """Raises Conflict for a container that wants to join its own namespaces."""
    if mode == f"container:{container_id}":
        raise Conflict("cannot join own network")
