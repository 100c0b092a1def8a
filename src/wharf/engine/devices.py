"""Host devices for a container: numbers, modes and owners, looked up at start."""

import os
import shutil
import stat
from collections.abc import Iterator

from wharf.engine.oci_resources import Device
from wharf.errors import Internal
from wharf.spec.container import DeviceMapping, HostConfig, ThrottleDevice

_KINDS = {stat.S_IFCHR: "c", stat.S_IFBLK: "b", stat.S_IFIFO: "p"}
_SKIPPED = frozenset(("pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"))
"""Directories of /dev that every container has its own of, as runc leaves them out."""
_OWN = frozenset(("/dev/console", "/dev/ptmx"))
INIT_PROGRAMS = ("docker-init", "tini-static", "catatonit")
THERMAL = "/sys/devices/system/cpu"


def devices_of(host: HostConfig) -> list[Device]:
    """All devices of the host for a privileged container, else those asked for. Raises Internal in Docker's words."""
    found = {item.path: item for item in _walk("/dev")} if host.privileged else {}
    for mapping in host.devices or ():
        for item in _mapped(mapping):
            found[item.path] = item
    return list(found.values())


def _mapped(mapping: DeviceMapping) -> list[Device]:
    source, target = mapping.path_on_host, mapping.path_in_container or mapping.path_on_host
    access = mapping.cgroup_permissions or "rwm"
    try:
        source = os.path.realpath(source, strict=True)
        if os.path.isdir(source):
            items = [_renamed(item, target + item.path.removeprefix(source), access) for item in _walk(source)]
        else:
            items = [_renamed(item, target, access) for item in _read(source)]
    except OSError as error:
        text = os.strerror(error.errno or 0).lower()
        raise Internal(
            f'error gathering device information while adding custom device "{mapping.path_on_host}": {text}'
        ) from None
    if not items:
        raise Internal(
            f'error gathering device information while adding custom device "{mapping.path_on_host}": not a device node'
        )
    return items


def _renamed(item: Device, path: str, access: str) -> Device:
    return Device(path, item.kind, item.major, item.minor, item.mode, item.uid, item.gid, access)


def _read(path: str) -> list[Device]:
    found = os.lstat(path)
    kind = _KINDS.get(stat.S_IFMT(found.st_mode))
    if kind is None:
        return []
    numbers = (os.major(found.st_rdev), os.minor(found.st_rdev))
    return [Device(path, kind, *numbers, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)]


def _walk(directory: str) -> Iterator[Device]:
    for entry in sorted(os.scandir(directory), key=lambda item: item.name):
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in _SKIPPED:
                yield from _walk(entry.path)
        elif entry.path not in _OWN:
            yield from (item for item in _read(entry.path) if item.kind != "p")


def throttles_of(host: HostConfig) -> dict[str, list[dict[str, int]]]:
    """Rates and weights of block devices by their numbers: the OCI runtime specification's `blockIO`."""
    given = {
        "throttleReadBpsDevice": host.blkio_device_read_bps,
        "throttleWriteBpsDevice": host.blkio_device_write_bps,
        "throttleReadIOPSDevice": host.blkio_device_read_iops,
        "throttleWriteIOPSDevice": host.blkio_device_write_iops,
    }
    found = {key: [_throttle(item) for item in items] for key, items in given.items() if items}
    weights = [{**_numbers(item.path), "weight": item.weight} for item in host.blkio_weight_device or ()]
    return {**found, "weightDevice": weights} if weights else found


def _throttle(item: ThrottleDevice) -> dict[str, int]:
    return {**_numbers(item.path), "rate": item.rate}


def _numbers(path: str) -> dict[str, int]:
    try:
        found = os.stat(path)
    except OSError as error:
        raise Internal(f"stat {path}: {os.strerror(error.errno or 0).lower()}") from None
    return {"major": os.major(found.st_rdev), "minor": os.minor(found.st_rdev)}


def find_init() -> str:
    """The small init that --init puts in front of a container's program; "" when the host has none.

    It must not need libraries: the container need not have them.
    """
    for name in INIT_PROGRAMS:
        path = shutil.which(name)
        if path:
            return os.path.realpath(path)
    return ""


def thermal_paths() -> list[str]:
    """/sys/devices/system/cpu/cpuN/thermal_throttle of this machine: masked like Docker does."""
    paths = (f"{THERMAL}/cpu{number}/thermal_throttle" for number in range(os.cpu_count() or 1))
    return [path for path in paths if os.path.isdir(path)]
