"""The flags of `wharf run` and `wharf create`, docker's, with the checks of their values."""

from __future__ import annotations

from wharf.cli import mounts, networks_flag
from wharf.cli.environment import variable
from wharf.cli.flags import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAGS: tuple[Flag, ...] = (
    ("add-host", "", "list", "Add a custom host-to-IP mapping (host:ip)"),
    ("annotation", "", "list:map", "Add an annotation to the container (passed through to the OCI runtime)"),
    ("attach", "a", "list", "Attach to STDIN, STDOUT or STDERR"),
    ("blkio-weight", "", "uint", "Block IO (relative weight), between 10 and 1000, or 0 to disable"),
    ("blkio-weight-device", "", "list", "Block IO weight (relative device weight)"),
    ("cap-add", "", "list", "Add Linux capabilities"),
    ("cap-drop", "", "list", "Drop Linux capabilities"),
    ("cgroup-parent", "", "string", "Optional parent cgroup for the container"),
    ("cgroupns", "", "string", "Cgroup namespace to use (host|private)"),
    ("cidfile", "", "string", "Write the container ID to the file"),
    ("cpu-count", "", "int", "CPU count (Windows only)"),
    ("cpu-percent", "", "int", "CPU percent (Windows only)"),
    ("cpu-period", "", "int", "Limit CPU CFS (Completely Fair Scheduler) period"),
    ("cpu-quota", "", "int", "Limit CPU CFS (Completely Fair Scheduler) quota"),
    ("cpu-rt-period", "", "int", "Limit CPU real-time period in microseconds"),
    ("cpu-rt-runtime", "", "int", "Limit CPU real-time runtime in microseconds"),
    ("cpu-shares", "c", "int", "CPU shares (relative weight)"),
    ("cpus", "", "decimal", "Number of CPUs"),
    ("cpuset-cpus", "", "string", "CPUs in which to allow execution (0-3, 0,1)"),
    ("cpuset-mems", "", "string", "MEMs in which to allow execution (0-3, 0,1)"),
    ("device", "", "list", "Add a host device to the container"),
    ("device-cgroup-rule", "", "list", "Add a rule to the cgroup allowed devices list"),
    ("device-read-bps", "", "list", "Limit read rate (bytes per second) from a device"),
    ("device-read-iops", "", "list", "Limit read rate (IO per second) from a device"),
    ("device-write-bps", "", "list", "Limit write rate (bytes per second) to a device"),
    ("device-write-iops", "", "list", "Limit write rate (IO per second) to a device"),
    ("disable-content-trust", "", "bool", "Skip image verification"),
    ("dns", "", "list", "Set custom DNS servers"),
    ("dns-opt", "", "list", ""),
    ("dns-option", "", "list", "Set DNS options"),
    ("dns-search", "", "list", "Set custom DNS search domains"),
    ("domainname", "", "string", "Container NIS domain name"),
    ("entrypoint", "", "string", "Overwrite the default ENTRYPOINT of the image"),
    ("env", "e", "list", "Set environment variables"),
    ("env-file", "", "list", "Read in a file of environment variables"),
    ("expose", "", "list", "Expose a port or a range of ports"),
    ("gpus", "", "list:gpu-request", "GPU devices to add to the container ('all' to pass all GPUs)"),
    ("group-add", "", "list", "Add additional groups to join"),
    ("health-cmd", "", "string", "Command to run to check health"),
    ("health-interval", "", "duration", "Time between running the check (ms|s|m|h)"),
    ("health-retries", "", "int", "Consecutive failures needed to report unhealthy"),
    ("health-start-interval", "", "duration", "Time between running the check during the start period (ms|s|m|h)"),
    ("health-start-period", "", "duration", "Start period for the container to initialize before starting health-retr"),
    ("health-timeout", "", "duration", "Maximum time to allow one check to run (ms|s|m|h)"),
    ("hostname", "h", "string", "Container host name"),
    ("init", "", "bool", "Run an init inside the container that forwards signals and reaps processes"),
    ("interactive", "i", "bool", "Keep STDIN open even if not attached"),
    ("io-maxbandwidth", "", "bytes", "Maximum IO bandwidth limit for the system drive (Windows only)"),
    ("io-maxiops", "", "uint", "Maximum IOps limit for the system drive (Windows only)"),
    ("ip", "", "string", "IPv4 address (e.g., 172.30.100.104)"),
    ("ip6", "", "string", "IPv6 address (e.g., 2001:db8::33)"),
    ("ipc", "", "string", "IPC mode to use"),
    ("isolation", "", "string", "Container isolation technology"),
    ("kernel-memory", "", "bytes", "Kernel memory limit"),
    ("label", "l", "list", "Set meta data on a container"),
    ("label-file", "", "list", "Read in a line delimited file of labels"),
    ("link", "", "list", "Add link to another container"),
    ("link-local-ip", "", "list", "Container IPv4/IPv6 link-local addresses"),
    ("log-driver", "", "string", "Logging driver for the container"),
    ("log-opt", "", "list", "Log driver options"),
    ("mac-address", "", "string", "Container MAC address (e.g., 92:d0:c6:0a:29:33)"),
    ("memory", "m", "bytes", "Memory limit"),
    ("memory-reservation", "", "bytes", "Memory soft limit"),
    ("memory-swap", "", "bytes", "Swap limit equal to memory plus swap: '-1' to enable unlimited swap"),
    ("memory-swappiness", "", "int", "Tune container memory swappiness (0 to 100)"),
    ("mount", "", "list:mount", "Attach a filesystem mount to the container"),
    ("name", "", "string", "Assign a name to the container"),
    ("net", "", "list:network", ""),
    ("net-alias", "", "list", ""),
    ("network", "", "list:network", "Connect a container to a network"),
    ("network-alias", "", "list", "Add network-scoped alias for the container"),
    ("no-healthcheck", "", "bool", "Disable any container-specified HEALTHCHECK"),
    ("oom-kill-disable", "", "bool", "Disable OOM Killer"),
    ("oom-score-adj", "", "int", "Tune host's OOM preferences (-1000 to 1000)"),
    ("pid", "", "string", "PID namespace to use"),
    ("pids-limit", "", "int", "Tune container pids limit (set -1 for unlimited)"),
    ("platform", "", "string", "Set platform if server is multi-platform capable"),
    ("privileged", "", "bool", "Give extended privileges to this container"),
    ("publish", "p", "list", "Publish a container's port(s) to the host"),
    ("publish-all", "P", "bool", "Publish all exposed ports to random ports"),
    ("pull", "", "string", "Pull image before running ('always', 'missing', 'never')"),
    ("quiet", "q", "bool", "Suppress the pull output"),
    ("read-only", "", "bool", "Mount the container's root filesystem as read only"),
    ("restart", "", "string", "Restart policy to apply when a container exits"),
    ("rm", "", "bool", "Automatically remove the container and its associated anonymous volumes when it exits"),
    ("runtime", "", "string", "Runtime to use for this container"),
    ("security-opt", "", "list", "Security Options"),
    ("shm-size", "", "bytes", "Size of /dev/shm"),
    ("stop-signal", "", "string", "Signal to stop the container"),
    ("stop-timeout", "", "int", "Timeout (in seconds) to stop a container"),
    ("storage-opt", "", "list", "Storage driver options for the container"),
    ("sysctl", "", "list:map", "Sysctl options"),
    ("tmpfs", "", "list", "Mount a tmpfs directory"),
    ("tty", "t", "bool", "Allocate a pseudo-TTY"),
    ("ulimit", "", "list:ulimit", "Ulimit options"),
    ("use-api-socket", "", "bool", "Bind mount the engine's API socket and the user's credentials for registries"),
    ("user", "u", "string", "Username or UID (format: <name|uid>[:<group|gid>])"),
    ("userns", "", "string", "User namespace to use"),
    ("uts", "", "string", "UTS namespace to use"),
    ("volume", "v", "list", "Bind mount a volume"),
    ("volume-driver", "", "string", "Optional volume driver for the container"),
    ("volumes-from", "", "list", "Mount volumes from the specified container(s)"),
    ("workdir", "w", "string", "Working directory inside the container"),
)  # fmt: skip
RUN_FLAGS: tuple[Flag, ...] = (
    ("detach", "d", "bool", "Run container in background and print container ID"),
    ("detach-keys", "", "string", "Override the key sequence for detaching a container"),
    ("sig-proxy", "", "bool", "Proxy received signals to the process"),
)  # fmt: skip


def _stream(text: str) -> str:
    name = text.lower()
    if name not in ("stdin", "stdout", "stderr"):
        raise ValueError("valid streams are STDIN, STDOUT and STDERR")
    return name


def _label(text: str) -> str:
    if not text.partition("=")[0]:
        raise ValueError(f"invalid label '{text}': empty name")
    return text


def _host(text: str) -> str:
    """`name:address` or `name=address`; a bracketed IPv6 address loses its brackets."""
    cut = next((index for index, character in enumerate(text) if character in ":="), -1)
    if cut <= 0 or cut == len(text) - 1:
        raise ValueError(f'bad format for add-host: "{text}"')
    name, address = text[:cut], text[cut + 1 :]
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    if address != "host-gateway" and not _is_address(address):
        raise ValueError(f'invalid IP address in add-host: "{address}"')
    return f"{name}:{address}"


def _is_address(text: str) -> bool:
    from _socket import AF_INET, AF_INET6, inet_pton

    for family in (AF_INET, AF_INET6):
        try:
            inet_pton(family, text)
            return True
        except (OSError, ValueError):
            pass
    return False


def _address(text: str) -> str:
    if not _is_address(text):
        raise ValueError(f"IP address is not correctly formatted: {text}")
    return text


def _ulimit(text: str) -> dict[str, Any]:
    name, equals, rest = text.partition("=")
    soft, colon, hard = rest.partition(":")
    try:
        low = int(soft)
        high = int(hard) if colon else low
    except ValueError:
        equals = ""
        low = high = 0
    if not equals or not name:
        raise ValueError(f"invalid ulimit argument: {text}")
    if high != -1 and (low > high or low == -1):
        raise ValueError(f"ulimit soft limit must be less than or equal to hard limit: {low} > {high}")
    return {"Name": name, "Hard": high, "Soft": low}


def _gpus(text: str) -> dict[str, Any]:
    from wharf.cli import gpus  # rare, and it needs csv

    return gpus.request(text)


CHECKS = {
    "gpus": _gpus,
    "attach": _stream,
    "env": variable,
    "label": _label,
    "add-host": _host,
    "dns": _address,
    "ulimit": _ulimit,
    "mount": mounts.parse_mount,
    "network": networks_flag.parse_network,
    "net": networks_flag.parse_network,
}
