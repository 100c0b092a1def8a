"""What an engine is opened with."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from wharf.engine.id_maps import IdMaps
from wharf.spec.container import HostConfig, Ulimit
from wharf.spec.entitlements import DEFAULT_ENTITLEMENTS
from wharf.spec.network import AddressPool, DefaultBridge
from wharf.spec.registry import RegistrySettings

if TYPE_CHECKING:
    from wharf.engine.image_gc import ImageGcRule

log = logging.getLogger("wharf.engine")

DEFAULT_SHM_SIZE = 64 << 20
RUNTIME_NAME = "runc"
"""The name Docker's clients expect; ours stands behind it, unless another was added by that name."""
OWN_RUNTIME = "wharf-runtime"
"""Ours by its own name."""


@dataclass(frozen=True, slots=True)
class DnsDefaults:
    """What the containers that ask for none get of name servers, search domains and resolver options."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def fill(self, asked: HostConfig) -> HostConfig:
        """The container's settings with these where it has none; records keep what was asked for."""
        return replace(
            asked,
            dns=asked.dns or list(self.servers),
            dns_search=asked.dns_search or list(self.search),
            dns_options=asked.dns_options or list(self.options),
        )


@dataclass(frozen=True, slots=True)
class ContainerDefaults:
    """What containers get that do not say otherwise. `cgroupns_mode` "" is what fits the control groups' world."""

    ulimits: tuple[Ulimit, ...] = ()
    shm_size: int = DEFAULT_SHM_SIZE
    ipc_mode: str = "private"
    cgroupns_mode: str = ""
    cgroup_parent: str = ""
    init: bool = False

    def limits(self, asked: HostConfig) -> list[Ulimit] | None:
        """The container's own limits, and behind them those that it does not name; None for none at all."""
        own = list(asked.ulimits or ())
        named = {limit.name for limit in own}
        return own + [limit for limit in self.ulimits if limit.name not in named] or asked.ulimits

    def at_start(self, asked: HostConfig) -> HostConfig:
        """The settings with what is looked up at each start, as in Docker; records keep what was asked for."""
        return replace(
            asked,
            ulimits=self.limits(asked),
            cgroup_parent=asked.cgroup_parent or self.cgroup_parent,
            init=self.init if asked.init is None else asked.init,
        )


BUILTIN = "builtin"
"""The name of the default seccomp profile."""
CDI_SPEC_DIRS = ("/etc/cdi", "/var/run/cdi")


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Roots are absolute paths; times in seconds. `warn` gets what a person should read in the daemon's log."""

    data_root: str
    exec_root: str
    bip: str = ""
    default_pools: tuple[AddressPool, ...] = ()
    mtu: int = 1500
    """Of the default bridge."""
    default_bridge: DefaultBridge = DefaultBridge()
    cdi_spec_dirs: tuple[str, ...] = CDI_SPEC_DIRS
    """Where vendors describe devices that are asked for by name."""
    parse_yaml: Callable[[bytes], Any] = json.loads
    """Reads such descriptions in YAML, raises ValueError; the composition gives it. Without it, only JSON is taken."""
    network_opts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Driver -> options of new networks that do not name them."""
    dns: DnsDefaults = DnsDefaults()
    containers: ContainerDefaults = ContainerDefaults()
    ip_forward: bool = True
    icc: bool = True
    """Containers of the default bridge may talk to one another."""
    publish: str = ""
    """The host address of `-p` without one; "" is every address."""
    forward_accept: bool = False
    log_driver: str = "json-file"
    log_opts: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    shutdown_timeout: int = 15
    live_restore: bool = True
    """Containers go on running when the engine is closed, unless the machine goes down."""
    debug: bool = False
    restart_unhealthy: bool = False
    """Restart what its checks call unhealthy and has a restart policy; a label of the container says otherwise."""
    selinux: bool = False
    """Label containers where the host has SELinux."""
    id_maps: IdMaps | None = None
    """Of the user namespaces that containers get, unless they ask for the host's."""
    seccomp_profile: str = ""
    """Text of the default profile; "" is the built-in one, or `unconfined`."""
    seccomp_name: str = BUILTIN
    """What `info` calls it: `builtin`, `unconfined` or the file's path."""
    no_new_privileges: bool = False
    runtimes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Name -> absolute path and arguments of an added OCI runtime."""
    default_runtime: str = RUNTIME_NAME
    build_entitlements: frozenset[str] = DEFAULT_ENTITLEMENTS
    """Those of ENTITLEMENTS that builds may ask for."""
    cgroup_driver: str = ""
    """cgroupfs or systemd; "" is what fits the host."""
    image_gc: "ImageGcRule | None" = None
    """Unused images go by themselves."""
    registries: RegistrySettings = field(default_factory=RegistrySettings)
    warn: Callable[[str], None] = log.warning
