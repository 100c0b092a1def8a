"""hostname, hosts and resolv.conf of a container, as text; and where the host's own settings come from."""

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass

from wharf.spec.container import ContainerConfig, HostConfig

HOSTS_HEAD = (
    ("127.0.0.1", "localhost"),
    ("::1", "localhost ip6-localhost ip6-loopback"),
    ("fe00::", "ip6-localnet"),
    ("ff00::", "ip6-mcastprefix"),
    ("ff02::1", "ip6-allnodes"),
    ("ff02::2", "ip6-allrouters"),
)
FALLBACK_SERVERS = ("8.8.8.8", "8.8.4.4")
RESOLVED_STUB = "127.0.0.53"
RESOLVED_CONF = "/run/systemd/resolve/resolv.conf"
GATEWAY_WORD = "host-gateway"
FILES = ("resolv.conf", "hostname", "hosts")
MAX_SIZE = 1 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where a container sits: its address ("" without a network of its own), the bridge's gateway, IPv6 or not."""

    address: str = ""
    gateway: str = ""
    ipv6: bool = True


def hosts_text(config: ContainerConfig, host_config: HostConfig, place: Place) -> str:
    """/etc/hosts of a container with a network of its own."""
    lines = [f"{address}\t{names}" for address, names in HOSTS_HEAD if place.ipv6 or ":" not in address]
    lines += extra_hosts(host_config, place.gateway)
    if place.address and config.hostname:
        full = f"{config.hostname}.{config.domainname} {config.hostname}" if config.domainname else config.hostname
        lines.append(f"{place.address}\t{full}")
    return "\n".join(lines) + "\n"


def extra_hosts(host_config: HostConfig, gateway: str) -> list[str]:
    """The lines of --add-host (`name:address` or `name=address`)."""
    lines = []
    for text in host_config.extra_hosts or ():
        separator = "=" if "=" in text else ":"
        name, _, address = text.partition(separator)
        address = address.strip("[]")
        lines.append(f"{gateway if address == GATEWAY_WORD else address}\t{name}")
    return lines


def resolv_text(host_config: HostConfig, base: str) -> str:
    """/etc/resolv.conf on the default bridge: the host's without servers of its own loopback, or what was asked."""
    servers, search, options = _parse(base)
    servers = [server for server in servers if not _is_loopback(server)] or list(FALLBACK_SERVERS)
    servers = list(host_config.dns) if host_config.dns else servers
    search = [item for item in host_config.dns_search if item != "."] if host_config.dns_search else search
    options = list(host_config.dns_options) if host_config.dns_options else options
    return _format(servers, search, options)


def host_network_resolv(host_config: HostConfig, base: str) -> str:
    """/etc/resolv.conf on the host's network: the host's own unless something was asked."""
    if not (host_config.dns or host_config.dns_search or host_config.dns_options):
        return base
    servers, search, options = _parse(base)
    return _format(host_config.dns or servers, host_config.dns_search or search, host_config.dns_options or options)


def _format(servers: Sequence[str], search: Sequence[str], options: Sequence[str]) -> str:
    lines = [f"nameserver {server}" for server in servers]
    if search:
        lines.append("search " + " ".join(search))
    if options:
        lines.append("options " + " ".join(options))
    return "\n".join(lines) + "\n"


def _parse(text: str) -> tuple[list[str], list[str], list[str]]:
    servers: list[str] = []
    search: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        if len(words) < 2:
            continue
        if words[0] == "nameserver":
            servers.append(words[1])
        elif words[0] in ("search", "domain"):
            search = words[1:]
        elif words[0] == "options":
            options = words[1:]
    return servers, search, options


def _is_loopback(server: str) -> bool:
    try:
        return ipaddress.ip_address(server.partition("%")[0]).is_loopback
    except ValueError:
        return True


def host_resolv_conf() -> str:
    """The host's resolver settings; behind systemd-resolved's stub the ones it uses itself."""
    text = read_text("/etc/resolv.conf")
    servers, _, _ = _parse(text)
    if servers == [RESOLVED_STUB]:
        return read_text(RESOLVED_CONF) or text
    return text


def read_text(path: str) -> str:
    """A small text file of the host; "" when it is missing."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(MAX_SIZE)
    except OSError:
        return ""


def write_file(path: str, text: str) -> None:
    """Replace a file's content, 0644. In place: a running container that shares it has it mounted."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        os.write(fd, text.encode("utf-8", "surrogateescape"))
        os.fchmod(fd, 0o644)
    finally:
        os.close(fd)
