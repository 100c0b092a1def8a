"""Limits that are refused in Docker's words, and those that a kernel without their file takes off with a warning."""

from dataclasses import fields

import pytest

from wharf.engine.check_resources import check_resources
from wharf.errors import Invalid
from wharf.kernel.cgroup.support import Support
from wharf.spec.container import HostConfig, ThrottleDevice, WeightDevice

ALL = Support(**{item.name: True for item in fields(Support) if item.name != "mems"}, mems="0-1")
NONE = Support()


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (HostConfig(memory=-1), "Minimum memory limit allowed is 6MB"),
        (HostConfig(memory=4 << 20), "Minimum memory limit allowed is 6MB"),
        (HostConfig(memory=64 << 20, memory_swap=32 << 20), "Minimum memoryswap limit should be larger than memory"),
        (HostConfig(memory_swap=7_000_000), "You should always set the Memory limit"),
        (HostConfig(memory_reservation=1 << 20), "Minimum memory reservation allowed is 6MB"),
        (HostConfig(memory=8 << 20, memory_reservation=9 << 20), "can not be less than memory reservation"),
        (HostConfig(memory_swappiness=101), "Invalid value: 101, valid memory swappiness range is 0-100"),
        (HostConfig(nano_cpus=10**15), "range of CPUs is from 0.01 to"),
        (HostConfig(nano_cpus=1, cpu_period=1000), "Nano CPUs and CPU Period cannot both be set"),
        (HostConfig(nano_cpus=1, cpu_quota=1000), "Nano CPUs and CPU Quota cannot both be set"),
        (HostConfig(cpu_shares=-1), "invalid CPU shares (-1): value must be a positive integer"),
        (HostConfig(cpu_period=999), "CPU cfs period can not be less than 1ms"),
        (HostConfig(cpu_quota=999), "CPU cfs quota can not be less than 1ms"),
        (
            HostConfig(cpu_realtime_period=1000, cpu_realtime_runtime=2000),
            "runtime cannot be higher than cpu real-time",
        ),
        (HostConfig(cpuset_cpus="x"), "Invalid value x for cpuset cpus: invalid format: x"),
        (HostConfig(cpuset_cpus="1-0"), "Invalid value 1-0 for cpuset cpus: invalid format: 1-0"),
        (HostConfig(cpuset_cpus="\u0663"), "for cpuset cpus: invalid format"),
        (HostConfig(cpuset_cpus="900"), "Requested CPUs are not available - requested 900"),
        (HostConfig(cpuset_cpus="0-99999"), "value of out range, maximum is 8192"),
        (HostConfig(cpuset_mems="2"), "Requested memory nodes are not available - requested 2, available: 0-1"),
        (HostConfig(blkio_weight=9), "Range of blkio weight is from 10 to 1000"),
        (HostConfig(io_maximum_iops=1), "QoS maximum IOPs configuration is not supported on linux"),
        (HostConfig(io_maximum_bandwidth=1), "QoS maximum bandwidth configuration is not supported on linux"),
        (HostConfig(kernel_memory=1 << 20), "Minimum kernel memory limit allowed is 6MB"),
    ],
)
def test_refused(host: HostConfig, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_resources(host, ALL)
    assert words in caught.value.message


RATES = [ThrottleDevice("/dev/x", 1)]


@pytest.mark.parametrize(
    ("field", "value", "left", "words"),
    [
        ("memory", 64 << 20, 0, "memory limit capabilities or the cgroup is not mounted. Limitation discarded."),
        ("memory_reservation", 64 << 20, 0, "memory soft limit capabilities"),
        ("memory_swappiness", 7, None, "memory swappiness capabilities"),
        ("kernel_memory", 1 << 20, 0, "kernel memory limit capabilities or the cgroup is not mounted."),
        ("kernel_memory_tcp", 1 << 20, 0, "kernel memory TCP limit capabilities"),
        ("oom_kill_disable", True, None, "OomKillDisable. OomKillDisable discarded."),
        ("pids_limit", 7, None, "PIDs limit capabilities"),
        ("cpu_shares", 77, 0, "CPU shares or the cgroup is not mounted. Shares discarded."),
        ("cpu_period", 50_000, 0, "CPU CFS scheduler. CPU period/quota discarded."),
        ("cpuset_cpus", "0", "", "cpuset or the cgroup is not mounted. Cpuset discarded."),
        ("blkio_weight", 7, 0, "Block I/O weight or the cgroup is not mounted. Weight discarded."),
        ("blkio_weight_device", [WeightDevice("/dev/x", 1)], [], "Block I/O weight_device"),
        ("blkio_device_read_bps", RATES, [], "BPS Block I/O read limit"),
        ("blkio_device_write_bps", RATES, [], "BPS Block I/O write limit"),
        ("blkio_device_read_iops", RATES, [], "IOPS Block read limit"),
        ("blkio_device_write_iops", RATES, [], "IOPS Block write limit"),
    ],
)
def test_taken_off(field: str, value: object, left: object, words: str) -> None:
    host = HostConfig(**{field: value})  # type: ignore[arg-type]
    (warning,) = check_resources(host, NONE)
    assert warning.startswith("Your kernel does not support ")
    assert words in warning
    assert getattr(host, field) == left


def test_all_that_is_there_is_kept_without_a_word() -> None:
    host = HostConfig(memory=64 << 20, nano_cpus=10**9, cpuset_mems="0-1", blkio_weight=10, blkio_device_read_bps=RATES)
    before = repr(host)
    assert check_resources(host, ALL) == []
    assert repr(host) == before


@pytest.mark.parametrize("host", [HostConfig(cpu_realtime_runtime=1), HostConfig(cpu_realtime_period=1)])
def test_no_real_time_without_its_scheduler(host: HostConfig) -> None:
    with pytest.raises(Invalid, match="kernel does not support CPU real-time scheduler"):
        check_resources(host, NONE)
    assert check_resources(host, NONE, update=True) == [], "as in Docker, an update is not looked at"


def test_an_update_names_rates_of_io_in_other_words() -> None:
    with pytest.raises(Invalid, match="Invalid QoS settings: linux does not support Maximum IO Bandwidth"):
        check_resources(HostConfig(io_maximum_iops=1), ALL, update=True)


def test_a_part_of_the_processors_in_percent_is_for_windows() -> None:
    host = HostConfig(cpu_percent=7)
    assert check_resources(host, ALL) == ["linux does not support CPU percent. Percent discarded."]
    assert host.cpu_percent == 0


def test_swap_may_change_alone() -> None:
    assert check_resources(HostConfig(memory_swap=64 << 20), ALL, update=True) == []


def test_no_processors_of_a_kernel_without_their_scheduler() -> None:
    with pytest.raises(Invalid, match="NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler"):
        check_resources(HostConfig(nano_cpus=10**9), NONE)
