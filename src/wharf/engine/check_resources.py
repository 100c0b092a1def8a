"""Limits that a request asks for: refused in Docker's words, or taken off with a warning where the kernel has none.

The rules and their order are those of moby's `verifyPlatformContainerResources`.
"""

import os
from collections.abc import Iterator

from wharf.errors import Invalid
from wharf.kernel.cgroup.support import Support
from wharf.spec.container import HostConfig

MIN_MEMORY = 6 << 20
MAX_CPUSET = 8192
"""Numbers above are refused, lest a range of them fills the memory."""
CPU_PERIODS = (1000, 1_000_000)
MIN_QUOTA = 1000
_ABSENT = "Your kernel does not support "
_OFF = " or the cgroup is not mounted. "
_NO_CFS = "{} can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted"


def check_resources(host: HostConfig, support: Support, update: bool = False) -> list[str]:
    """Raises Invalid; takes off what the kernel cannot limit and returns a warning for each."""
    if not update:
        _refuse_at_create(host, support)
    return [*_memory(host, support, update), *_pids(host, support), *_cpu(host, support), *_block(host, support)]


def _refuse_at_create(host: HostConfig, support: Support) -> None:
    """What moby's runconfig (`validateQoS`, `validateResources`) looks at while it reads a create request."""
    if host.io_maximum_bandwidth:
        raise Invalid("invalid option: QoS maximum bandwidth configuration is not supported on linux")
    if host.io_maximum_iops:
        raise Invalid("invalid option: QoS maximum IOPs configuration is not supported on linux")
    period, runtime = host.cpu_realtime_period, host.cpu_realtime_runtime
    if (period or runtime) and not support.realtime:
        raise Invalid("kernel does not support CPU real-time scheduler")
    if period and runtime > period:
        raise Invalid("cpu real-time runtime cannot be higher than cpu real-time period")
    if host.cpu_shares < 0 and support.shares:
        raise Invalid(f"invalid CPU shares ({host.cpu_shares}): value must be a positive integer")


def _memory(host: HostConfig, support: Support, update: bool) -> Iterator[str]:
    if host.memory < 0 or 0 < host.memory < MIN_MEMORY:
        raise Invalid("Minimum memory limit allowed is 6MB")
    if host.memory > 0 and not support.memory:
        yield f"{_ABSENT}memory limit capabilities{_OFF}Limitation discarded."
        host.memory, host.memory_swap = 0, -1
    if host.memory > 0 and host.memory_swap != -1 and not support.swap:
        yield f"{_ABSENT}swap limit capabilities{_OFF}Memory limited without swap."
        host.memory_swap = -1
    if host.memory > 0 and 0 < host.memory_swap < host.memory:
        raise Invalid("Minimum memoryswap limit should be larger than memory limit, see usage")
    if host.memory == 0 and host.memory_swap > 0 and not update:  # there may be a limit of memory already
        raise Invalid("You should always set the Memory limit when using Memoryswap limit, see usage")
    swappiness = host.memory_swappiness
    if swappiness not in (None, -1) and not support.swappiness:
        yield f"{_ABSENT}memory swappiness capabilities{_OFF}Memory swappiness discarded."
        host.memory_swappiness = swappiness = None
    if swappiness is not None and swappiness != -1 and not 0 <= swappiness <= 100:
        raise Invalid(f"Invalid value: {swappiness}, valid memory swappiness range is 0-100")
    yield from _soft_memory(host, support)


def _soft_memory(host: HostConfig, support: Support) -> Iterator[str]:
    if host.memory_reservation > 0 and not support.reservation:
        yield f"{_ABSENT}memory soft limit capabilities{_OFF}Limitation discarded."
        host.memory_reservation = 0
    if 0 < host.memory_reservation < MIN_MEMORY:
        raise Invalid("Minimum memory reservation allowed is 6MB")
    if 0 < host.memory < host.memory_reservation:
        raise Invalid("Minimum memory limit can not be less than memory reservation limit, see usage")
    if host.kernel_memory > 0 and not support.kernel:
        yield f"{_ABSENT}kernel memory limit capabilities{_OFF}Limitation discarded."
        host.kernel_memory = 0
    if 0 < host.kernel_memory < MIN_MEMORY:
        raise Invalid("Minimum kernel memory limit allowed is 6MB")
    if host.kernel_memory_tcp > 0 and not support.kernel_tcp:
        yield f"{_ABSENT}kernel memory TCP limit capabilities{_OFF}Limitation discarded."
        host.kernel_memory_tcp = 0
    if host.oom_kill_disable and not support.oom_switch:
        yield f"{_ABSENT}OomKillDisable. OomKillDisable discarded."
        host.oom_kill_disable = None
    if host.oom_kill_disable and not host.memory:
        yield (
            "OOM killer is disabled for the container, but no memory limit is set, this can result in the system "
            "running out of resources."
        )


def _pids(host: HostConfig, support: Support) -> Iterator[str]:
    if host.pids_limit and not support.pids:
        if host.pids_limit > 0:
            yield f"{_ABSENT}PIDs limit capabilities{_OFF}PIDs limit discarded."
        host.pids_limit = None


def _cpu(host: HostConfig, support: Support) -> Iterator[str]:
    _check_nano_cpus(host, support)
    if host.cpu_shares > 0 and not support.shares:
        yield f"{_ABSENT}CPU shares{_OFF}Shares discarded."
        host.cpu_shares = 0
    if (host.cpu_period or host.cpu_quota) and not support.cfs:
        yield f"{_ABSENT}CPU CFS scheduler. CPU period/quota discarded."
        host.cpu_period = host.cpu_quota = 0
    if host.cpu_period and not CPU_PERIODS[0] <= host.cpu_period <= CPU_PERIODS[1]:
        raise Invalid("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    if 0 < host.cpu_quota < MIN_QUOTA:
        raise Invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if host.cpu_percent > 0:
        yield "linux does not support CPU percent. Percent discarded."
        host.cpu_percent = 0
    if (host.cpuset_cpus or host.cpuset_mems) and not support.cpuset:
        yield f"{_ABSENT}cpuset{_OFF}Cpuset discarded."
        host.cpuset_cpus = host.cpuset_mems = ""
    _check_set("cpus", "CPUs", host.cpuset_cpus, _online())
    _check_set("mems", "memory nodes", host.cpuset_mems, support.mems)


def _check_nano_cpus(host: HostConfig, support: Support) -> None:
    if not host.nano_cpus:
        return
    if host.cpu_period > 0:
        raise Invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set")
    if host.cpu_quota > 0:
        raise Invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set")
    if not support.cfs:
        raise Invalid(_NO_CFS.format("NanoCPUs"))
    processors = os.cpu_count() or 1
    if not 0 < host.nano_cpus <= processors * 10**9:
        raise Invalid(f"range of CPUs is from 0.01 to {processors:.2f}, as there are only {processors} CPUs available")


def _block(host: HostConfig, support: Support) -> Iterator[str]:
    if host.blkio_weight > 0 and not support.weight:
        yield f"{_ABSENT}Block I/O weight{_OFF}Weight discarded."
        host.blkio_weight = 0
    if host.blkio_weight and not 10 <= host.blkio_weight <= 1000:
        raise Invalid("Range of blkio weight is from 10 to 1000")
    if host.io_maximum_bandwidth or host.io_maximum_iops:
        raise Invalid("Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps")
    if host.blkio_weight_device and not support.device_weight:
        yield f"{_ABSENT}Block I/O weight_device{_OFF}Weight-device discarded."
        host.blkio_weight_device = []
    if host.blkio_device_read_bps and not support.read_bps:
        yield f"{_ABSENT}BPS Block I/O read limit{_OFF}Block I/O BPS read limit discarded."
        host.blkio_device_read_bps = []
    if host.blkio_device_write_bps and not support.write_bps:
        yield f"{_ABSENT}BPS Block I/O write limit{_OFF}Block I/O BPS write limit discarded."
        host.blkio_device_write_bps = []
    if host.blkio_device_read_iops and not support.read_iops:
        yield f"{_ABSENT}IOPS Block read limit{_OFF}Block I/O IOPS read limit discarded."
        host.blkio_device_read_iops = []
    if host.blkio_device_write_iops and not support.write_iops:
        yield f"{_ABSENT}IOPS Block write limit{_OFF}Block I/O IOPS write limit discarded."
        host.blkio_device_write_iops = []


def _check_set(file: str, what: str, wanted: str, available: str) -> None:
    """A list of numbers and ranges (cpuset(7)), none of which may be missing; raises Invalid."""
    if not wanted:
        return
    if not _is_set(wanted):
        raise Invalid(f"Invalid value {wanted[:100]} for cpuset {file}: invalid format: {wanted[:100]}")
    if max(int(number) for number in wanted.replace("-", ",").split(",")) > MAX_CPUSET:
        raise Invalid(f"Invalid value {wanted[:100]} for cpuset {file}: value of out range, maximum is {MAX_CPUSET}")
    if available and not _numbers(wanted) <= _numbers(available):
        raise Invalid(f"Requested {what} are not available - requested {wanted[:100]}, available: {available}")


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
        found.update(range(int(first), int(last or first) + 1))
    return found


def _is_set(text: str) -> bool:
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not part.isascii() or not first.isdecimal() or len(part) > 20:
            return False
        if dash and (not last.isdecimal() or int(last) < int(first)):
            return False
    return True
