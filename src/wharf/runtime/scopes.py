"""Containers as transient scopes of systemd: the cgroup driver `systemd`, for pure cgroup v2.

    wharfd: child cloned -> StartTransientUnit(pid) -> job done           limits: SetUnitProperties and the files
    child:  waits until it is in the scope's cgroup -> writes the limits, joins the others
    (another OCI runtime does the first by itself)
    systemd: removes cgroup and unit when the last process has gone

The limits are the unit's properties too: systemd writes its own idea of them again at every daemon-reload. Device
rules are not: ours is a BPF program beside any of systemd's, whose DevicePolicy stays `auto`.
"""

from typing import Any

from wharf.kernel.cgroup.v2 import CgroupV2, cpu_weight, io_weight, swap_alone
from wharf.kernel.dbus import Bus, BusError

PRIVATE, SYSTEM = "/run/systemd/private", "/run/dbus/system_bus_socket"
JOB_LIMIT = 30.0
"""Seconds for a job of systemd, or for the unit of an earlier run to go away."""
_NAME, _OBJECT, _MANAGER = "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"
_UNLIMITED = (1 << 64) - 1
_QUOTA_STEP = 10_000
"""systemd keeps quotas in steps of 10 ms a second."""

Property = tuple[str, tuple[str, Any]]


def connect() -> Bus:
    """To systemd itself, which needs no message bus; through the system bus where that socket is out of reach."""
    try:
        return Bus(PRIVATE, JOB_LIMIT)
    except OSError:
        bus = Bus(SYSTEM, JOB_LIMIT, broker=True)
    try:
        rule = f"type='signal',interface='{_MANAGER}'"
        bus.call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus.AddMatch", "s", rule)
        bus.call(_NAME, _OBJECT, f"{_MANAGER}.Subscribe")
    except BaseException:
        bus.__exit__()
        raise
    return bus


class ScopedCgroup(CgroupV2):
    """The cgroup of a scope: as any other, once systemd has made it."""

    def begin(self, pid: int, resources: dict[str, Any]) -> None:
        """Have systemd make the scope around `pid`. Raises OSError with systemd's words."""
        *_, parent, unit = ["-.slice", *self.path.strip("/").split("/")]
        properties: list[Property] = [
            ("Description", ("s", f"Wharf container {unit.removesuffix('.scope').rpartition('-')[2]}")),
            ("Slice", ("s", parent)),
            ("PIDs", ("au", [pid])),
            ("Delegate", ("b", True)),
            ("DefaultDependencies", ("b", False)),
            ("CollectMode", ("s", "inactive-or-failed")),
            *((f"{name}Accounting", ("b", True)) for name in ("CPU", "IO", "Memory", "Tasks")),
            *properties_of(resources),
        ]
        with connect() as bus:
            try:
                job = _start(bus, unit, properties)
            except BusError as error:
                if not error.name.endswith(".UnitExists"):
                    raise
                _make_way(bus, unit)
                job = _start(bus, unit, properties)
            result = _result_of(bus, job)
        if result != "done":
            raise OSError(5, f"systemd could not start the scope: {result}", unit)

    def end(self) -> None:
        """Have systemd stop the scope, and wait until the unit is gone; that there is none is fine. Raises OSError."""
        with connect() as bus:
            _make_way(bus, self.path.rpartition("/")[2])

    def limit(self, resources: dict[str, Any]) -> None:
        """The unit's properties too, lest systemd writes the old ones again later; what the kernel refuses never gets
        that far, and what systemd rounds is written once more as it was asked for."""
        super().limit(resources)
        properties = properties_of(resources)
        if properties:
            with connect() as bus:
                unit = self.path.rpartition("/")[2]
                bus.call(_NAME, _OBJECT, f"{_MANAGER}.SetUnitProperties", "sba(sv)", unit, True, properties)
        super().limit(resources)


def slice_path(name: str) -> str:
    """The cgroup of a slice: `a-b.slice` lies in `a.slice` (systemd.slice(5)); the root slice `-.slice` is ""."""
    words = name.removesuffix(".slice").split("-")
    if words == ["", ""]:
        return ""
    return "".join(f"/{'-'.join(words[: count + 1])}.slice" for count in range(len(words)))


def machine_stops() -> bool:
    """Whether systemd is taking the machine down (SystemState `stopping`); False when it does not say."""
    try:
        with connect() as bus:
            (state,) = bus.call(_NAME, _OBJECT, "org.freedesktop.DBus.Properties.Get", "ss", _MANAGER, "SystemState")
    except (OSError, ValueError):
        return False
    return bool(state[1] == "stopping")


def _start(bus: Bus, unit: str, properties: list[Property]) -> str:
    form = "ssa(sv)a(sa(sv))"
    (job,) = bus.call(_NAME, _OBJECT, f"{_MANAGER}.StartTransientUnit", form, unit, "fail", properties, [])
    return str(job)


def _result_of(bus: Bus, job: str) -> str:
    """Wait for a job's end: JobRemoved(id, job, unit, result)."""
    while True:
        member, values = bus.signal()
        if member == "JobRemoved" and len(values) == 4 and values[1] == job:
            return str(values[3])


def _make_way(bus: Bus, unit: str) -> None:
    """The unit of an earlier run is there still, with no process: end it and wait until it is gone."""
    for member, form, values in (("StopUnit", "ss", (unit, "replace")), ("ResetFailedUnit", "s", (unit,))):
        try:
            bus.call(_NAME, _OBJECT, f"{_MANAGER}.{member}", form, *values)
        except BusError:
            continue  # gone meanwhile
    while True:
        try:
            bus.call(_NAME, _OBJECT, f"{_MANAGER}.GetUnit", "s", unit)
        except BusError:
            return
        while bus.signal() != ("UnitRemoved", [unit, _object_of(unit)]):
            continue


def _object_of(unit: str) -> str:
    """A unit's object path: what is no letter or digit, and a digit in front, is written as _ and two hex digits."""
    safe = (
        chr(byte) if chr(byte).isalnum() and not (at == 0 and chr(byte).isdigit()) else f"_{byte:02x}"
        for at, byte in enumerate(unit.encode())
    )
    return f"{_OBJECT}/unit/" + "".join(safe)


def properties_of(resources: dict[str, Any]) -> list[Property]:
    """The limits of `linux.resources` that are properties of a unit (systemd.resource-control(5))."""
    memory, cpu = resources.get("memory") or {}, resources.get("cpu") or {}
    out: list[Property] = []

    def number(name: str, value: int | None) -> None:
        if value:
            out.append((name, ("t", _UNLIMITED if value < 0 else value)))

    number("MemoryMax", memory.get("limit"))
    number("MemoryLow", memory.get("reservation"))
    if memory.get("swap"):
        swap = swap_alone(memory)
        out.append(("MemorySwapMax", ("t", _UNLIMITED if swap < 0 else swap)))
    number("CPUWeight", cpu_weight(cpu["shares"]) if cpu.get("shares") else None)
    out += _quota(cpu)
    for key, name in (("cpus", "AllowedCPUs"), ("mems", "AllowedMemoryNodes")):
        if cpu.get(key):
            out.append((name, ("ay", mask_of(str(cpu[key])))))
    pids = (resources.get("pids") or {}).get("limit")
    if pids is not None:
        out.append(("TasksMax", ("t", pids if pids > 0 else _UNLIMITED)))
    weight = (resources.get("blockIO") or {}).get("weight")
    number("IOWeight", io_weight(weight) if weight else None)
    return out


def _quota(cpu: dict[str, Any]) -> list[Property]:
    if not cpu.get("quota") and not cpu.get("period"):
        return []
    period, quota = cpu.get("period") or 100_000, cpu.get("quota") or -1
    a_second = _UNLIMITED if quota < 0 else -(-quota * 1_000_000 // period // _QUOTA_STEP) * _QUOTA_STEP
    return [("CPUQuotaPerSecUSec", ("t", a_second)), ("CPUQuotaPeriodUSec", ("t", period))]


def mask_of(text: str) -> list[int]:
    """A list as of cpuset.cpus (`0-2,7`) as the bytes of a bit mask, the lowest first."""
    mask = 0
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        for bit in range(int(first), int(last or first) + 1):
            mask |= 1 << bit
    return list(mask.to_bytes((mask.bit_length() + 7) // 8, "little"))
