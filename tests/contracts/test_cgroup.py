"""What every kind of cgroup must do. Runs against the hierarchies this machine has: v1 with all its controllers,
and v2 with whichever controllers are there (a hybrid host has few)."""

import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wharf.kernel.cgroup import Cgroup, open_cgroup
from wharf.kernel.cgroup.files import LimitRefused
from wharf.kernel.probe import cgroup_mounts
from wharf.spec.host import CgroupWorld


def _v2_mount() -> str:
    with open("/proc/self/mountinfo") as file:
        for line in file:
            fields, _, rest = line.partition(" - ")
            if rest.startswith("cgroup2 "):
                return fields.split()[4]
    return ""


def _mounts(kind: str) -> dict[str, str]:
    if kind == "v2":
        return {"": _v2_mount()} if _v2_mount() else {}
    world, mounts = cgroup_mounts()
    return mounts if world is CgroupWorld.V1 else {}


@pytest.fixture(params=["v1", "v2"])
def make(request: pytest.FixtureRequest) -> Iterator[Callable[[], Cgroup]]:
    mounts = _mounts(request.param)
    if os.geteuid() != 0 or not mounts:
        pytest.skip(f"no {request.param} hierarchy that may be written here")
    parent = f"/wharf-contract-{uuid.uuid4().hex[:8]}"
    made: list[Cgroup] = []

    def factory() -> Cgroup:
        made.append(open_cgroup(mounts, f"{parent}/{len(made)}"))
        return made[-1]

    yield factory
    for cgroup in made:
        cgroup.kill()
        cgroup.remove()
    open_cgroup(mounts, parent).remove()


@pytest.fixture
def sleeper() -> Iterator[Callable[[Cgroup], subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def start(cgroup: Cgroup) -> subprocess.Popen[bytes]:
        fds = cgroup.join_fds()
        joins = "".join(f"echo 0 >&{fd}; " for fd in fds)
        script = f"{joins} echo in; exec sleep 1000"
        started.append(subprocess.Popen(["bash", "-c", script], pass_fds=fds, stdout=subprocess.PIPE))
        for fd in fds:
            os.close(fd)
        out = started[-1].stdout
        assert out is not None and out.readline() == b"in\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


Sleeper = Callable[[Cgroup], "subprocess.Popen[bytes]"]


def test_creating_twice_is_fine_and_removing_too(make: Callable[[], Cgroup]) -> None:
    cgroup = make()
    cgroup.create({})
    cgroup.create({})
    points = cgroup.mount_points()
    assert points and all(os.path.isdir(path) and path.endswith(cgroup.path) for path in points.values())
    cgroup.remove()
    cgroup.remove()
    assert not any(os.path.exists(path) for path in points.values())


def test_a_process_joins_and_is_listed(make: Callable[[], Cgroup], sleeper: Sleeper) -> None:
    cgroup = make()
    cgroup.create({})
    assert cgroup.pids() == []
    process = sleeper(cgroup)
    assert cgroup.pids() == [process.pid]
    with open(f"/proc/{process.pid}/cgroup") as file:
        assert file.read().count(cgroup.path) == len(cgroup.mount_points())


def test_killing_empties_it_even_when_frozen(make: Callable[[], Cgroup], sleeper: Sleeper) -> None:
    cgroup = make()
    cgroup.create({})
    first, second = sleeper(cgroup), sleeper(cgroup)
    cgroup.freeze(True)
    assert cgroup.frozen()
    # Our own children stay as zombies until they are reaped; the cgroup counts living ones only.
    cgroup.kill()
    assert first.wait(10) == second.wait(10) == -signal.SIGKILL
    assert cgroup.pids() == []
    cgroup.remove()


def test_freezing_and_thawing(make: Callable[[], Cgroup], sleeper: Sleeper) -> None:
    cgroup = make()
    cgroup.create({})
    sleeper(cgroup)
    assert not cgroup.frozen()
    cgroup.freeze(True)
    assert cgroup.frozen()
    cgroup.freeze(False)
    assert not cgroup.frozen()


def test_two_of_them_do_not_touch_each_other(make: Callable[[], Cgroup], sleeper: Sleeper) -> None:
    one, two = make(), make()
    one.create({})
    two.create({})
    sleeper(one)
    other = sleeper(two)
    one.kill()
    assert two.pids() == [other.pid] and other.poll() is None


NODE = "/dev/loop-control"


@pytest.mark.skipif(not os.path.exists(NODE), reason=f"no {NODE} here")
def test_device_rules_are_applied_in_their_order_letter_by_letter(make: Callable[[], Cgroup]) -> None:
    number = os.stat(NODE).st_rdev
    node = {"type": "c", "major": os.major(number), "minor": os.minor(number)}
    opens = {"<": "r", ">": "w", "<>": "rw"}
    for rules, wanted in (
        ([(True, "rwm"), (False, "w")], ["r"]),
        ([(True, "r"), (True, "w")], ["r", "w", "rw"]),
        ([(True, "rw"), (False, "rwm"), (True, "w")], ["w"]),
    ):
        cgroup = make()
        listed = [{"allow": allow, "access": access, **node} for allow, access in rules]
        cgroup.create({"devices": [{"allow": False, "access": "rwm"}, *listed]})
        fds = cgroup.join_fds()
        joins = "".join(f"echo 0 >&{fd}; " for fd in fds)
        script = joins + "".join(f"(: {sign}{NODE}) 2>&1 && echo {word}; " for sign, word in opens.items()) + "true"
        done = subprocess.run(["bash", "-c", script], pass_fds=fds, capture_output=True, text=True, check=True)
        for fd in fds:
            os.close(fd)
        assert [line for line in done.stdout.splitlines() if line in opens.values()] == wanted, done.stdout


def test_huge_pages_are_limited_or_the_controller_is_named(make: Callable[[], Cgroup]) -> None:
    cgroup = make()
    limit = {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}]}
    cgroup.create({})
    points = {"": "hugetlb.2MB.max", "hugetlb": "hugetlb.2MB.limit_in_bytes"}
    files = [Path(directory, points[name]) for name, directory in cgroup.mount_points().items() if name in points]
    if not any(file.exists() for file in files):
        with pytest.raises(LimitRefused, match="cannot set hugetlb limit"):
            cgroup.limit(limit)
        return
    cgroup.limit(limit)
    assert files[0].read_text() == f"{4 << 20}\n"


def test_usage_and_oom_kills_are_numbers(make: Callable[[], Cgroup], sleeper: Sleeper) -> None:
    cgroup = make()
    cgroup.create({})
    sleeper(cgroup)
    stats = cgroup.stats()
    for name in ("cpu_total_ns", "memory_usage", "memory_limit", "pids_current"):
        assert isinstance(stats[name], int)
    assert cgroup.oom_kills() == 0


def test_limits_can_be_raised_and_lowered(make: Callable[[], Cgroup]) -> None:
    cgroup = make()
    if "memory" not in cgroup.mount_points():
        pytest.skip("this hierarchy has no memory controller")
    cgroup.create({"memory": {"limit": 64 << 20, "swap": 64 << 20}, "pids": {"limit": 10}})
    for size in (128 << 20, 32 << 20):
        cgroup.limit({"memory": {"limit": size, "swap": size}})
        assert cgroup.stats()["memory_limit"] == size
    assert cgroup.stats()["pids_limit"] == 10
    cgroup.limit({"pids": {"limit": -1}})
    assert cgroup.stats()["pids_limit"] == (1 << 63) - 1


def test_removing_waits_for_processes_on_their_way_out(make: Callable[[], Cgroup], sleeper: Sleeper) -> None:
    cgroup = make()
    cgroup.create({})
    process = sleeper(cgroup)
    process.kill()
    process.wait()
    cgroup.remove()
    assert not any(os.path.exists(path) for path in cgroup.mount_points().values())


def test_devices_are_denied_unless_allowed(make: Callable[[], Cgroup]) -> None:
    cgroup = make()
    if "devices" not in cgroup.mount_points() and "" not in cgroup.mount_points():
        pytest.skip("this hierarchy has no device rules")
    null = {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rw"}
    cgroup.create({"devices": [{"allow": False, "access": "rwm"}, null]})
    fds = cgroup.join_fds()
    joins = "".join(f"echo 0 >&{fd}; " for fd in fds)
    script = joins + "head -c1 /dev/null && echo null; head -c1 /dev/zero >/dev/null || echo denied"
    done = subprocess.run(["bash", "-c", script], pass_fds=fds, capture_output=True, text=True, check=False)
    for fd in fds:
        os.close(fd)
    assert done.stdout.split() == ["null", "denied"] and "Operation not permitted" in done.stderr


def test_directories_made_above_it_go_with_the_last(make: Callable[[], Cgroup]) -> None:
    mounts = make().mount_points()
    roots = {name: path.rsplit("/", 2)[0] for name, path in mounts.items()}
    top = f"/parent-{uuid.uuid4().hex[:8]}"
    first, second = (open_cgroup(roots, f"{top}/inner/{name}") for name in "ab")
    first.create({})
    second.create({})
    first.remove()
    assert all(os.path.isdir(f"{root}{top}/inner/b") for root in roots.values())
    second.remove()
    assert not any(os.path.exists(root + top) for root in roots.values())


def test_directories_of_others_above_it_stay(make: Callable[[], Cgroup]) -> None:
    mounts = make().mount_points()
    roots = {name: path.rsplit("/", 2)[0] for name, path in mounts.items()}
    top = f"/parent-{uuid.uuid4().hex[:8]}"
    for root in roots.values():
        os.mkdir(root + top)
    try:
        inner = open_cgroup(roots, f"{top}/inner/a")
        inner.create({})
        inner.remove()
        assert all(os.listdir(root + top) and not os.path.exists(f"{root}{top}/inner") for root in roots.values())
    finally:
        for root in roots.values():
            os.rmdir(root + top)
