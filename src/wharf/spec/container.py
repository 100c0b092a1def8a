"""Containers as values: what a client asked for (Docker's Config and HostConfig) and what the engine records.

Field order is the order in which Docker's inspect shows them. A field's JSON name is its name in Pascal case
(`cpu_shares` -> `CpuShares`) unless its metadata names another. A `None` default means that Docker shows null.
Durations are nanoseconds, sizes bytes, times RFC 3339 with nanoseconds in UTC.
"""

from dataclasses import dataclass, field
from typing import Any

from wharf.spec.health import Health

ZERO_TIME = "0001-01-01T00:00:00Z"


def named(json: str, default: Any) -> Any:
    """A dataclass field whose JSON name is not the Pascal case of its own."""
    if isinstance(default, list | dict):
        return field(default_factory=lambda: type(default)(default), metadata={"json": json})
    return field(default=default, metadata={"json": json})


@dataclass(slots=True)
class Healthcheck:
    """Health check as a client gives it; durations in nanoseconds."""

    test: list[str] | None = None
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


@dataclass(slots=True)
class ContainerConfig:
    """Docker's portable `Config`."""

    hostname: str = ""
    domainname: str = ""
    user: str = ""
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    exposed_ports: dict[str, Any] | None = None
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    env: list[str] | None = None
    cmd: list[str] | None = None
    healthcheck: Healthcheck | None = None
    args_escaped: bool = False
    image: str = ""
    volumes: dict[str, Any] | None = None
    working_dir: str = ""
    entrypoint: list[str] | None = None
    network_disabled: bool = False
    mac_address: str = ""
    on_build: list[str] | None = None
    labels: dict[str, str] | None = None
    stop_signal: str = ""
    stop_timeout: int | None = None
    shell: list[str] | None = None


@dataclass(slots=True)
class LogConfig:
    """Log driver and its options; an empty type means the daemon's default."""

    type: str = ""
    config: dict[str, str] | None = None


@dataclass(slots=True)
class PortBinding:
    """A host address and port (or `first-last`), both as text; empty means any and ephemeral."""

    host_ip: str = ""
    host_port: str = ""


@dataclass(slots=True)
class RestartPolicy:
    """`no`, `always`, `unless-stopped`, `on-failure` (with a count, 0 for no limit)."""

    name: str = ""
    maximum_retry_count: int = 0


@dataclass(slots=True)
class DeviceMapping:
    """A host device node given to the container."""

    path_on_host: str = ""
    path_in_container: str = ""
    cgroup_permissions: str = ""


@dataclass(slots=True)
class DeviceRequest:
    """A request for devices by driver or capability (GPUs, CDI)."""

    driver: str = ""
    count: int = 0
    device_ids: list[str] | None = named("DeviceIDs", None)
    capabilities: list[list[str]] | None = None
    options: dict[str, str] | None = None


@dataclass(slots=True)
class ThrottleDevice:
    """A block device and a rate, in bytes or operations per second."""

    path: str = ""
    rate: int = 0


@dataclass(slots=True)
class WeightDevice:
    """A block device and its weight."""

    path: str = ""
    weight: int = 0


@dataclass(slots=True)
class Ulimit:
    """A resource limit by its short name (`nofile`); -1 is unlimited."""

    name: str = ""
    soft: int = 0
    hard: int = 0


@dataclass(slots=True)
class BindOptions:
    """Options of a bind mount."""

    propagation: str = ""
    non_recursive: bool = False
    create_mountpoint: bool = False
    read_only_non_recursive: bool = False
    read_only_force_recursive: bool = False


@dataclass(slots=True)
class DriverConfig:
    """A volume driver and its options."""

    name: str = ""
    options: dict[str, str] | None = None


@dataclass(slots=True)
class VolumeOptions:
    """Options of a volume mount."""

    no_copy: bool = False
    labels: dict[str, str] | None = None
    driver_config: DriverConfig | None = None
    subpath: str = ""


@dataclass(slots=True)
class ImageOptions:
    """Options of an image mount."""

    subpath: str = ""


@dataclass(slots=True)
class TmpfsOptions:
    """Options of a tmpfs mount; `mode` is the number of chmod(2)."""

    size_bytes: int = 0
    mode: int = 0
    options: list[list[str]] | None = None


@dataclass(slots=True)
class MountRequest:
    """One entry of `HostConfig.Mounts`."""

    type: str = ""
    source: str = ""
    target: str = ""
    read_only: bool = False
    consistency: str = ""
    bind_options: BindOptions | None = None
    volume_options: VolumeOptions | None = None
    image_options: ImageOptions | None = None
    tmpfs_options: TmpfsOptions | None = None


@dataclass(slots=True)
class HostConfig:
    """Docker's `HostConfig`: what depends on this host, resources included."""

    binds: list[str] | None = None
    container_id_file: str = named("ContainerIDFile", "")
    log_config: LogConfig = field(default_factory=LogConfig)
    network_mode: str = ""
    port_bindings: dict[str, list[PortBinding] | None] | None = None
    restart_policy: RestartPolicy = field(default_factory=RestartPolicy)
    auto_remove: bool = False
    volume_driver: str = ""
    volumes_from: list[str] | None = None
    console_size: list[int] = field(default_factory=lambda: [0, 0])
    annotations: dict[str, str] | None = None
    cap_add: list[str] | None = None
    cap_drop: list[str] | None = None
    cgroupns_mode: str = ""
    dns: list[str] | None = None
    dns_options: list[str] | None = None
    dns_search: list[str] | None = None
    extra_hosts: list[str] | None = None
    group_add: list[str] | None = None
    ipc_mode: str = ""
    cgroup: str = ""
    links: list[str] | None = None
    oom_score_adj: int = 0
    pid_mode: str = ""
    privileged: bool = False
    publish_all_ports: bool = False
    readonly_rootfs: bool = False
    security_opt: list[str] | None = None
    storage_opt: dict[str, str] | None = None
    tmpfs: dict[str, str] | None = None
    uts_mode: str = named("UTSMode", "")
    userns_mode: str = ""
    shm_size: int = 0
    sysctls: dict[str, str] | None = None
    runtime: str = ""
    isolation: str = ""
    cpu_shares: int = 0
    memory: int = 0
    nano_cpus: int = 0
    cgroup_parent: str = ""
    blkio_weight: int = 0
    blkio_weight_device: list[WeightDevice] | None = None
    blkio_device_read_bps: list[ThrottleDevice] | None = None
    blkio_device_write_bps: list[ThrottleDevice] | None = None
    blkio_device_read_iops: list[ThrottleDevice] | None = named("BlkioDeviceReadIOps", None)
    blkio_device_write_iops: list[ThrottleDevice] | None = named("BlkioDeviceWriteIOps", None)
    cpu_period: int = 0
    cpu_quota: int = 0
    cpu_realtime_period: int = 0
    cpu_realtime_runtime: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    devices: list[DeviceMapping] | None = None
    device_cgroup_rules: list[str] | None = None
    device_requests: list[DeviceRequest] | None = None
    kernel_memory: int = 0
    kernel_memory_tcp: int = named("KernelMemoryTCP", 0)
    memory_reservation: int = 0
    memory_swap: int = 0
    memory_swappiness: int | None = None
    oom_kill_disable: bool | None = None
    pids_limit: int | None = None
    ulimits: list[Ulimit] | None = None
    cpu_count: int = 0
    cpu_percent: int = 0
    io_maximum_iops: int = named("IOMaximumIOps", 0)
    io_maximum_bandwidth: int = named("IOMaximumBandwidth", 0)
    mounts: list[MountRequest] | None = None
    masked_paths: list[str] | None = None
    readonly_paths: list[str] | None = None
    init: bool | None = None


@dataclass(slots=True)
class EndpointIPAMConfig:
    """Addresses that a client asks for on one network."""

    ipv4_address: str = named("IPv4Address", "")
    ipv6_address: str = named("IPv6Address", "")
    link_local_ips: list[str] | None = named("LinkLocalIPs", None)


@dataclass(slots=True)
class EndpointSettings:
    """A container's place on one network: the request's fields first, then what was given."""

    ipam_config: EndpointIPAMConfig | None = named("IPAMConfig", None)
    links: list[str] | None = None
    aliases: list[str] | None = None
    mac_address: str = ""
    driver_opts: dict[str, str] | None = None
    gw_priority: int = 0
    network_id: str = named("NetworkID", "")
    endpoint_id: str = named("EndpointID", "")
    gateway: str = ""
    ip_address: str = named("IPAddress", "")
    ip_prefix_len: int = named("IPPrefixLen", 0)
    ipv6_gateway: str = named("IPv6Gateway", "")
    global_ipv6_address: str = named("GlobalIPv6Address", "")
    global_ipv6_prefix_len: int = named("GlobalIPv6PrefixLen", 0)
    dns_names: list[str] | None = named("DNSNames", None)


@dataclass(slots=True)
class NetworkingConfig:
    """The networks a client asks for at create, by name."""

    endpoints_config: dict[str, EndpointSettings] | None = None


@dataclass(slots=True)
class CreateRequest:
    """A whole create request as it comes over the wire: `Config` with two more members beside its fields."""

    config: ContainerConfig = field(default_factory=ContainerConfig)
    host_config: HostConfig = field(default_factory=HostConfig)
    networking_config: NetworkingConfig = field(default_factory=NetworkingConfig)
    name: str = ""
    platform: str = ""
    flat_read_only: bool = False
    """Read-only binds leave the mounts beneath them as they are, as all did before version 1.44 of the API."""


@dataclass(slots=True)
class MountPoint:
    """A mount of a container as inspect shows it and start makes it."""

    type: str = ""
    name: str = ""
    source: str = ""
    destination: str = ""
    driver: str = ""
    mode: str = ""
    rw: bool = named("RW", True)
    propagation: str = ""


@dataclass(slots=True)
class ContainerState:
    """What a container is doing. Precedence of the flags for the status word: runtime/lifecycle.py."""

    running: bool = False
    paused: bool = False
    restarting: bool = False
    oom_killed: bool = named("OOMKilled", False)
    dead: bool = False
    removal_in_progress: bool = False
    pid: int = 0
    start_time: int = 0
    """Field 22 of /proc/<pid>/stat: with the boot id it tells this process from a later one of the same pid."""
    boot_id: str = ""
    exit_code: int = 0
    error: str = ""
    started_at: str = ZERO_TIME
    finished_at: str = ZERO_TIME
    health: Health | None = None
    """None until a container that has a check was started."""


@dataclass(slots=True)
class ContainerRecord:
    """Everything the engine keeps about one container. `name` has no slash; `image_id` is `sha256:…`."""

    id: str
    name: str
    created: str
    image_id: str
    config: ContainerConfig
    host_config: HostConfig
    path: str = ""
    args: list[str] = field(default_factory=list)
    state: ContainerState = field(default_factory=ContainerState)
    mounts: list[MountPoint] = field(default_factory=list)
    mount_requests: list[MountRequest] = field(default_factory=list)
    """One request a mount, in the order of `mounts`: options that inspect does not show."""
    networks: dict[str, EndpointSettings] = field(default_factory=dict)
    ports: dict[str, list[PortBinding] | None] = field(default_factory=dict)
    """Published while running: `80/tcp` -> host addresses; None where only exposed."""
    interfaces: dict[str, str] = field(default_factory=dict)
    """While running: network -> interface inside."""
    wanted_macs: dict[str, str] = field(default_factory=dict)
    """Network -> the address that was asked for; `networks` has the one of this run."""
    links: dict[str, str] = field(default_factory=dict)
    """On the default bridge: alias -> id of the other container."""
    link_names: dict[str, str] = field(default_factory=dict)
    """What those containers are called, or were when they went."""
    link_env: list[str] = field(default_factory=list)
    """While running: the variables of its links."""
    changing: str = ""
    """The interface that a change of the running sandbox is about, "" when there is none."""
    sandbox_id: str = ""
    restart_count: int = 0
    manually_stopped: bool = False
    remove_volumes: bool = False
    """A removal under way takes its anonymous volumes too."""
    platform: str = "linux"
    log_path: str = ""
    process_label: str = ""
    """SELinux, as `mount_label`; "" without it."""
    mount_label: str = ""

    @property
    def network_mode(self) -> str:
        """The network mode in force: "" for an empty namespace without the engine's files and names, which
        `Config.NetworkDisabled` makes of every mode."""
        return "" if self.config.network_disabled else self.host_config.network_mode

    @property
    def joined_network(self) -> str:
        """Name or id of the container whose network this one shares, "" when it has its own or the host's."""
        return self.network_mode.partition("container:")[2]


@dataclass(slots=True)
class ExecConfig:
    """An exec as a client asks for it."""

    user: str = ""
    privileged: bool = False
    tty: bool = False
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    detach: bool = False
    detach_keys: str = ""
    env: list[str] | None = None
    working_dir: str = ""
    cmd: list[str] | None = None
    console_size: list[int] | None = None


@dataclass(slots=True)
class ExecRecord:
    """One exec. `exit_code` is None until it ended; kept for five minutes after."""

    id: str
    container_id: str
    config: ExecConfig
    running: bool = False
    exit_code: int | None = None
    pid: int = 0
    can_remove: bool = False
    probe: bool = False
    """A health check's: nobody asked for it, and the next wharfd ends what this one left."""
