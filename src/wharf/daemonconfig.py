"""The settings of wharfd: dockerd's flags and daemon.json, merged; a directive given in both is refused.

Precedence: a flag or the file, never both; then the defaults of `Settings`. Docker's directives that are not there
yet are refused by name when ignoring them would weaken what an administrator asked for, else reported.
"""

import dataclasses
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from wharf.daemonfile import PROXIES, read_file, refuse_conflicts
from wharf.daemonflags import flag_parser
from wharf.engine.config import CDI_SPEC_DIRS, OWN_RUNTIME, RUNTIME_NAME, ContainerDefaults, DnsDefaults
from wharf.engine.container_defaults import DefaultWords, parse_defaults, read_ulimit
from wharf.engine.image_gc import parse_image_gc
from wharf.engine.network_settings import (
    BridgeWords,
    parse_default_bridge,
    parse_dns,
    parse_mtu,
    parse_network_opts,
)
from wharf.engine.registries import parse_registries, parse_signatures
from wharf.errors import Invalid
from wharf.logdrivers.check import check as check_log
from wharf.spec.entitlements import DEFAULT_ENTITLEMENTS
from wharf.spec.network import AddressPool, DefaultBridge
from wharf.spec.registry import ProxySettings, RegistrySettings


@dataclass(slots=True)
class Settings:
    """What wharfd runs with; paths absolute, times in seconds."""

    hosts: list[str] = field(default_factory=list)
    data_root: str = ""
    exec_root: str = ""
    pidfile: str = ""
    config_file: str = ""
    group: str = ""
    debug: bool = False
    log_level: str = "info"
    bip: str = ""
    default_address_pools: list[AddressPool] = field(default_factory=list)
    mtu: int = 0
    """Of the default bridge; 0 is 1500."""
    fixed_cidr: str = ""
    default_gateway: str = ""
    ip_masq: bool = True
    ipv6: bool = False
    """The default bridge has IPv6 too."""
    bip6: str = ""
    fixed_cidr_v6: str = ""
    default_gateway_v6: str = ""
    iptables: bool = True
    ip6tables: bool = True
    default_network_opts: dict[str, dict[str, str]] = field(default_factory=dict)
    """Driver -> options of new networks that do not name them."""
    dns: list[str] = field(default_factory=list)
    dns_opts: list[str] = field(default_factory=list)
    dns_search: list[str] = field(default_factory=list)
    ip_forward: bool = True
    """Forwarding of packets may be switched on; else networks that need it are refused while it is off."""
    icc: bool = True
    """Containers of the default bridge may talk to one another."""
    ip: str = ""
    """The host address of ports that are published without one; "" is every address."""
    publish: str = ""
    """`loopback`: as `ip` 127.0.0.1. Not one of dockerd's."""
    forward_accept: bool = False
    """Let containers' packets through other programs' packet filters. Not one of dockerd's."""
    default_ulimits: dict[str, Any] = field(default_factory=dict)
    """Name -> `{"Name": N, "Soft": S, "Hard": H}`."""
    default_shm_size: str = ""
    default_ipc_mode: str = ""
    default_cgroupns_mode: str = ""
    cgroup_parent: str = ""
    init: bool = False
    shutdown_timeout: int = 15
    log_driver: str = "json-file"
    log_opts: dict[str, str] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    exec_opts: list[str] = field(default_factory=list)
    cdi_spec_dirs: list[str] = field(default_factory=lambda: list(CDI_SPEC_DIRS))
    userns_remap: str = ""
    seccomp_profile: str = ""
    no_new_privileges: bool = False
    tls: bool | None = None
    tlsverify: bool | None = None
    """None: not said. See `secured` and `unproven`."""
    tlscacert: str = ""
    tlscert: str = ""
    tlskey: str = ""
    selinux_enabled: bool = False
    live_restore: bool = True
    """Containers go on running when wharfd is told to end; dockerd's is false."""
    restart_unhealthy: bool = False
    """Restart what its health check calls unhealthy and has a restart policy. Not one of dockerd's."""
    idle_timeout: int = 0
    """End after so many seconds without clients and running containers; 0 never. Not one of dockerd's."""
    runtimes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Name -> path and arguments of an added OCI runtime."""
    default_runtime: str = RUNTIME_NAME
    insecure_registries: list[str] = field(default_factory=list)
    """Hosts (`name:port`) and networks where plain http and unknown certificates are taken."""
    registry_mirrors: list[str] = field(default_factory=list)
    """URLs of mirrors of docker.io; `domain=URL` of any other registry."""
    registry_realms: list[str] = field(default_factory=list)
    """`domain=host`: a host that may be shown a registry's credentials for tokens. Not one of dockerd's."""
    registry_certs: list[str] = field(default_factory=list)
    """Directories like /etc/docker/certs.d, instead of the usual ones. Not one of dockerd's."""
    signature_policy: dict[str, Any] = field(default_factory=dict)
    """Registry or repository -> what its images need. Not one of dockerd's."""
    image_gc: dict[str, str] = field(default_factory=dict)
    """max-size, unused-for, interval: unused images go by themselves. Not one of dockerd's."""
    build_entitlements: frozenset[str] = DEFAULT_ENTITLEMENTS
    """What builds may ask for by `--allow`; `builder.entitlements` of the file."""
    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: str = ""
    max_concurrent_downloads: int = 3
    max_concurrent_uploads: int = 5
    max_download_attempts: int = 5
    validate: bool = False
    """Say whether the settings are sound, and end."""
    warnings: list[str] = field(default_factory=list)

    @property
    def secured(self) -> bool:
        """Whether TCP is spoken by TLS."""
        return bool(self.tls or self.tlsverify)

    @property
    def unproven(self) -> bool:
        """Either was said to be false: TCP without a client's proof is meant, also beyond loopback."""
        return False in (self.tls, self.tlsverify)


_OF_FLAGS = ("config_file", "warnings", "idle_timeout", "validate")
_NOT_IN_FILE = (*_OF_FLAGS, "build_entitlements", *(name.replace("-", "_") for name in PROXIES))


def read_settings(argv: Sequence[str]) -> Settings:
    """Flags and file together; raises Invalid saying what is wrong and where."""
    flags = vars(flag_parser().parse_args(list(argv)))
    if "default_address_pools" in flags:
        flags["default_address_pools"] = [AddressPool.parse(text) for text in flags["default_address_pools"]]
    if "log_opts" in flags:
        flags["log_opts"] = dict(_pair(text) for text in flags["log_opts"])
    if "image_gc" in flags:
        flags["image_gc"] = dict(_pair(text) for text in flags["image_gc"])
    if "runtimes" in flags:
        flags["runtimes"] = {name: (path,) for name, path in map(_pair, flags["runtimes"])}
    if "default_ulimits" in flags:
        flags["default_ulimits"] = dict(read_ulimit(text) for text in flags["default_ulimits"])
    if "default_network_opts" in flags:
        flags["default_network_opts"] = _network_opts(flags["default_network_opts"])
    path = flags.get("config_file") or os.path.join(_config_home(), "daemon.json")
    settings = Settings(config_file=path)
    fields = [item.name for item in dataclasses.fields(Settings) if item.name not in _NOT_IN_FILE]
    from_file = read_file(path, fields, needed="config_file" in flags, warnings=settings.warnings)
    refuse_conflicts(path, flags, from_file)
    for name, value in {**flags, **from_file}.items():
        setattr(settings, name, value)
    return with_defaults(settings)


def with_defaults(settings: Settings) -> Settings:
    """Fills what depends on the user and on other settings; raises Invalid."""
    run = "/run/wharf" if os.geteuid() == 0 else os.path.join(os.environ.get("XDG_RUNTIME_DIR", "/tmp"), "wharf")
    home = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    settings.data_root = os.path.abspath(
        settings.data_root or ("/var/lib/wharf" if os.geteuid() == 0 else os.path.join(home, "wharf"))
    )
    settings.exec_root = os.path.abspath(settings.exec_root or run)
    settings.pidfile = os.path.abspath(settings.pidfile or os.path.join(settings.exec_root, "wharfd.pid"))
    settings.hosts = settings.hosts or [f"unix://{run}/wharf.sock"]
    if settings.debug:
        settings.log_level = "debug"
    if settings.bip:
        _check(lambda: ipaddress.ip_interface(settings.bip), f"invalid bip {settings.bip!r}: an address with a prefix")
    publish_address(settings)
    default_bridge(settings)
    dns_defaults(settings)
    container_defaults(settings)
    cgroup_driver(settings)
    registry_settings(settings)
    parse_image_gc(settings.image_gc)
    if settings.default_runtime not in (RUNTIME_NAME, OWN_RUNTIME, *settings.runtimes):
        raise Invalid(f"specified default runtime '{settings.default_runtime[:100]}' does not exist")
    check_log(settings.log_driver, settings.log_opts)
    return settings


def publish_address(settings: Settings) -> str:
    """The host address of `-p` without one, "" for every address; raises Invalid."""
    if settings.publish not in ("", "all", "loopback"):
        raise Invalid(f"invalid publish {settings.publish[:100]!r}: all or loopback")
    if settings.ip:
        _check(lambda: ipaddress.ip_address(settings.ip), f"invalid ip {settings.ip[:100]!r}: an address of this host")
    return settings.ip or ("127.0.0.1" if settings.publish == "loopback" else "")


def default_bridge(settings: Settings) -> DefaultBridge:
    """What is asked of the default bridge beside bip, icc and mtu; raises Invalid."""
    if not settings.iptables or not settings.ip6tables:
        name = "ip6tables" if settings.iptables else "iptables"
        raise Invalid(f"{name} cannot be false: what keeps networks apart is Wharf's own nftables table")
    parse_mtu(settings.mtu)
    parse_network_opts(settings.default_network_opts)
    words = BridgeWords(
        settings.ip_masq,
        settings.fixed_cidr,
        settings.default_gateway,
        settings.ipv6,
        settings.bip6,
        settings.fixed_cidr_v6,
        settings.default_gateway_v6,
    )
    return parse_default_bridge(words)


def dns_defaults(settings: Settings) -> DnsDefaults:
    """What containers get that ask for no name servers; raises Invalid."""
    return parse_dns(settings.dns, settings.dns_search, settings.dns_opts)


def container_defaults(settings: Settings) -> ContainerDefaults:
    """What containers get that do not say otherwise; raises Invalid."""
    words = DefaultWords(
        settings.default_shm_size,
        settings.default_ipc_mode,
        settings.default_cgroupns_mode,
        settings.cgroup_parent,
        settings.init,
    )
    return parse_defaults(words, settings.default_ulimits)


def _network_opts(given: Sequence[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for driver, option in map(_pair, given):
        key, value = _pair(option)
        found.setdefault(driver, {})[key] = value
    return found


def registry_settings(settings: Settings) -> RegistrySettings:
    """What the settings say of registries; raises Invalid."""
    counts = (settings.max_concurrent_downloads, settings.max_concurrent_uploads, settings.max_download_attempts)
    realms = [_pair(text) for text in settings.registry_realms]
    found = parse_registries(settings.insecure_registries, settings.registry_mirrors, realms, counts)
    proxies = ProxySettings(settings.http_proxy, settings.https_proxy, settings.no_proxy).with_defaults(os.environ)
    return dataclasses.replace(
        found,
        proxies=proxies,
        certs=tuple(settings.registry_certs),
        signatures=parse_signatures(settings.signature_policy),
    )


def cgroup_driver(settings: Settings) -> str:
    """What `native.cgroupdriver` asks for, "" when nothing does; raises Invalid in Docker's words."""
    chosen = ""
    for key, value in map(_pair, settings.exec_opts):
        if key.lower() == "native.cgroupdriver":
            chosen = chosen or value
        else:
            settings.warnings.append(f"exec-opt {key} is not used")
    if chosen not in ("", "cgroupfs", "systemd"):
        raise Invalid(f"native.cgroupdriver option {chosen[:100]} not supported")
    return chosen


def _check(parse: Any, message: str) -> Any:
    try:
        return parse()
    except ValueError:
        raise Invalid(message) from None


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise Invalid(f"invalid value {text[:100]!r}: expected key=value")
    return key.strip(), value.strip()


def _config_home() -> str:
    if os.geteuid() == 0:
        return "/etc/wharf"
    return os.path.join(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"), "wharf")
