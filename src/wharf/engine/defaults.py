"""What Docker fills in at create, so that inspect shows it: the host config's defaults and the image's config."""

from collections.abc import Iterable, Sequence

from wharf.engine.config import EngineConfig
from wharf.engine.runtimes import runtime_command
from wharf.engine.security import parse_options
from wharf.errors import Invalid
from wharf.spec.container import ContainerConfig, Healthcheck, HostConfig
from wharf.spec.host import CgroupWorld, Host
from wharf.spec.image import ImageConfig

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MASKED_PATHS = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def fill_host_config(host_config: HostConfig, config: EngineConfig, host: Host, thermal: Sequence[str] = ()) -> None:
    """Put Docker's defaults in place of what was not said. `thermal`: paths of this machine that are masked too."""
    if host_config.network_mode in ("", "default"):
        host_config.network_mode = "bridge"
    log = host_config.log_config
    log.type = log.type or config.log_driver
    if log.type == config.log_driver:
        log.config = {**config.log_opts, **(log.config or {})}
    log.config = log.config or {}
    if not host_config.restart_policy.name:
        host_config.restart_policy.name = "no"
    host_config.ipc_mode = host_config.ipc_mode or config.containers.ipc_mode
    host_config.cgroupns_mode = host_config.cgroupns_mode or _cgroupns_mode(host_config, config, host)
    host_config.shm_size = host_config.shm_size or config.containers.shm_size
    host_config.runtime = host_config.runtime or config.default_runtime
    runtime_command(config, host_config.runtime)
    if host_config.memory > 0 and host_config.memory_swap == 0:
        host_config.memory_swap = 2 * host_config.memory
    if host_config.oom_kill_disable is None and host.cgroup_world is CgroupWorld.V1:
        host_config.oom_kill_disable = False
    if host_config.memory_swappiness == -1:
        host_config.memory_swappiness = None
    if host_config.pids_limit is not None and host_config.pids_limit <= 0:
        host_config.pids_limit = None
    _disable_labels(host_config)
    if host_config.privileged:
        host_config.masked_paths = host_config.readonly_paths = None
        return
    if host_config.masked_paths is None:
        host_config.masked_paths = [*MASKED_PATHS, *thermal]
    if host_config.readonly_paths is None:
        host_config.readonly_paths = list(READONLY_PATHS)
    parse_options(host_config)


def _cgroupns_mode(host_config: HostConfig, config: EngineConfig, host: Host) -> str:
    """Of who says nothing; on v1 a privileged container has the host's whatever the daemon's default is."""
    if host.cgroup_world is not CgroupWorld.V2 and host_config.privileged:
        return "host"
    return config.containers.cgroupns_mode or ("private" if host.cgroup_world is CgroupWorld.V2 else "host")


def _disable_labels(host_config: HostConfig) -> None:
    """Who shares the host's processes or IPC cannot be labelled apart from it (moby, generateSecurityOpt)."""
    shares = host_config.privileged or "host" in (host_config.pid_mode, host_config.ipc_mode)
    given = host_config.security_opt or []
    if shares and not any(text.startswith("label") for text in given):
        host_config.security_opt = [*given, "label=disable"]


def merge_image(config: ContainerConfig, image: ImageConfig) -> None:
    """The image's config under the user's, by Docker's rules; `config` is changed in place."""
    config.user = config.user or image.user
    if image.exposed_ports:
        config.exposed_ports = {**{key: {} for key in image.exposed_ports}, **(config.exposed_ports or {})}
    config.env = merge_env(config.env or (), image.env)
    config.labels = {**image.labels, **(config.labels or {})}
    if not config.entrypoint:
        explicit = config.entrypoint is not None
        if not config.cmd and not explicit:
            config.cmd = list(image.cmd) if image.cmd else config.cmd
        if config.entrypoint is None:
            config.entrypoint = list(image.entrypoint) if image.entrypoint else None
    if config.entrypoint == [""]:
        config.entrypoint = None
    config.working_dir = config.working_dir or image.working_dir
    if image.volumes:
        config.volumes = {**{key: {} for key in image.volumes}, **(config.volumes or {})}
    config.volumes = config.volumes or None
    config.stop_signal = config.stop_signal or image.stop_signal
    config.stop_timeout = config.stop_timeout if config.stop_timeout is not None else image.stop_timeout
    _merge_health(config, image)


def merge_env(own: Iterable[str], image: Iterable[str]) -> list[str]:
    """The user's variables first, then those of the image that the user did not name; PATH always has a value."""
    env = list(own)
    names = {entry.partition("=")[0] for entry in env}
    env += [entry for entry in image if entry.partition("=")[0] not in names]
    return env


def _merge_health(config: ContainerConfig, image: ImageConfig) -> None:
    base = image.healthcheck
    if base is None:
        return
    if config.healthcheck is None:
        config.healthcheck = Healthcheck()
    own = config.healthcheck
    own.test = own.test or list(base.test)
    own.interval = own.interval or base.interval
    own.timeout = own.timeout or base.timeout
    own.start_period = own.start_period or base.start_period
    own.start_interval = own.start_interval or base.start_interval
    own.retries = own.retries or base.retries


def command_of(config: ContainerConfig) -> tuple[str, list[str]]:
    """Program and arguments; raises Invalid when there is none."""
    words = [*(config.entrypoint or ()), *(config.cmd or ())]
    if not words or (len(words) == 1 and not words[0]):
        raise Invalid("no command specified")
    return words[0], words[1:]
