"""What a container's first process finds: mounts, paths that are hidden, devices, variables, limits, its cgroup."""

import os
import resource
from pathlib import Path

import pytest

from tests.system.facts.conftest import Engine

MASKED = [
    *("/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats"),
    *("/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"),
    "/sys/devices/virtual/powercap",
]
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
PLAIN = {"nosuid", "noexec", "nodev"}


def mounts(text: str) -> dict[str, tuple[str, set[str], set[str]]]:
    """Target -> type, options of the mount, of the file system (mountinfo of proc(5)); the topmost of each."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        dash = words.index("-")
        found[words[4]] = (words[dash + 1], set(words[5].split(",")), set(words[dash + 3].split(",")))
    return found


def seen(engine: Engine, **host: object) -> dict[str, tuple[str, set[str], set[str]]]:
    return mounts(engine.output("mounts", "cat", "/proc/self/mountinfo", host=host))


def test_default_mounts(engine: Engine) -> None:
    found = seen(engine)
    for target, kind, options, data in (
        ("/proc", "proc", PLAIN, set()),
        ("/dev", "tmpfs", {"nosuid"}, {"size=65536k", "mode=755"}),
        ("/dev/pts", "devpts", {"nosuid", "noexec"}, {"gid=5", "mode=620", "ptmxmode=666"}),
        ("/sys", "sysfs", PLAIN | {"ro"}, set()),
        ("/sys/fs/cgroup", None, PLAIN | {"ro"}, set()),
        ("/dev/mqueue", "mqueue", PLAIN, set()),
        ("/dev/shm", "tmpfs", PLAIN, {"size=65536k"}),
    ):
        assert found[target][0] == kind or kind is None
        assert found[target][1] - {"rw", "relatime"} == options, target
        assert found[target][2] >= data, target
    assert "relatime" not in found["/dev"][1], "strictatime"
    assert not [target for target in found if target.startswith("/sys/fs/cgroup/") and "ro" not in found[target][1]]


def test_masked_and_read_only_paths(engine: Engine) -> None:
    found = seen(engine)
    for path in MASKED:
        if os.path.isdir(path):
            assert found[path][0] == "tmpfs" and "ro" in found[path][1], path
        elif os.path.exists(path):
            assert found[path][2] >= {"mode=755", "size=65536k"}, f"{path} is /dev/null of the container's /dev"
    for path in READ_ONLY:
        assert not os.path.exists(path) or "ro" in found[path][1], path
    host = engine.inspect("mounts")["HostConfig"]
    assert host["ReadonlyPaths"] == READ_ONLY
    thermal = [f"/sys/devices/system/cpu/cpu{number}/thermal_throttle" for number in range(os.cpu_count() or 1)]
    assert host["MaskedPaths"] == [*MASKED, *filter(os.path.exists, thermal)]


@pytest.mark.parametrize("privileged", [False, True])
def test_paths_that_are_not_hidden(engine: Engine, privileged: bool) -> None:
    asked = {"Privileged": True} if privileged else {"MaskedPaths": [], "ReadonlyPaths": []}
    found = seen(engine, **asked)
    assert not set(found) & {*MASKED, *READ_ONLY}
    host = engine.inspect("mounts")["HostConfig"]
    assert (host["MaskedPaths"], host["ReadonlyPaths"]) == ((None, None) if privileged else ([], []))
    assert ("rw" in found["/sys"][1]) == privileged
    assert all(("rw" in found[path][1]) == privileged for path in found if path.startswith("/sys/fs/cgroup/"))


def test_a_read_only_root(engine: Engine) -> None:
    found = seen(engine, ReadonlyRootfs=True, Tmpfs={"/own": ""})
    writable = {target for target, (_, options, _) in found.items() if "rw" in options}
    hidden = set(MASKED)  # /dev/null upon them
    assert writable - hidden == {"/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/console", "/own"}


def test_devices_and_links(engine: Engine) -> None:
    lines = engine.output("devices", "sh", "-c", "cd /dev; for n in *; do stat -c '%n %F %t:%T' $n; done").splitlines()
    found = dict(line.split(" ", 1) for line in lines)
    numbers = {"null": "1:3", "zero": "1:5", "full": "1:7", "random": "1:8", "urandom": "1:9", "tty": "5:0"}
    assert {name: kind for name, kind in found.items() if name in numbers} == {
        name: f"character special file {number}" for name, number in numbers.items()
    }
    links = {
        "fd": "/proc/self/fd",
        "ptmx": "pts/ptmx",
        "stdin": "/proc/self/fd/0",
        "stdout": "/proc/self/fd/1",
        "stderr": "/proc/self/fd/2",
        **({"core": "/proc/kcore"} if os.path.exists("/proc/kcore") else {}),
    }
    assert set(found) - set(numbers) == {*links, "console", "mqueue", "pts", "shm"}
    script = f"cd /dev; for n in {' '.join(links)}; do readlink $n; done"
    assert engine.output("links", "sh", "-c", script).split() == list(links.values())
    engine.create("quiet", "ls", "/dev")
    engine.post("/containers/quiet/start")
    engine.post("/containers/quiet/wait")
    assert b"console" not in engine.get("/containers/quiet/logs?stdout=1").body, "only with a terminal"


def test_init(engine: Engine) -> None:
    script = "tr '\\0' ' ' </proc/1/cmdline; grep -c /sbin/docker-init /proc/self/mountinfo"
    words = engine.output("init", "sh", "-c", script, host={"Init": True})
    assert words.startswith("/sbin/docker-init -- sh -c ") and words.endswith(" 1\n")
    shared = engine.output(
        "shared", "sh", "-c", "grep -c docker-init /proc/self/mountinfo", host={"Init": True, "PidMode": "host"}
    )
    assert shared == "0\n"


def test_environment(engine: Engine) -> None:
    made = engine.create("plain", "env", Tty=True)
    engine.post("/containers/plain/start")
    engine.post("/containers/plain/wait")
    lines = engine.get("/containers/plain/logs?stdout=1").body.decode().split("\r\n")
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert lines == [path, f"HOSTNAME={made[:12]}", "TERM=xterm", "HOME=/root", ""]
    own = engine.output("own", "env", Env=["B=2", "PATH=/bin", "HOSTNAME", "Z="])
    assert own.splitlines() == ["PATH=/bin", "TERM=xterm", "B=2", "Z=", "HOME=/root"]


def test_limits_are_the_daemons_unless_given(engine: Engine) -> None:
    assert engine.daemon.process
    script = "ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj; grep NoNewPrivs /proc/self/status"
    soft, hard = resource.prlimit(engine.daemon.process.pid, resource.RLIMIT_NOFILE)
    assert engine.output("daemons", "sh", "-c", script).split() == [str(soft), str(hard), "0", "NoNewPrivs:", "0"]
    limits = [{"Name": "nofile", "Soft": 64, "Hard": 128}]
    given = engine.output("given", "sh", "-c", script, host={"Ulimits": limits, "OomScoreAdj": 100})
    assert given.split() == ["64", "128", "100", "NoNewPrivs:", "0"]


@pytest.mark.parametrize("parent", ["", "/wharf-facts/own"])
def test_where_the_cgroup_is(engine: Engine, parent: str) -> None:
    made = engine.start("place", "sleep", "1000", host={"CgroupParent": parent})
    lines = Path(f"/proc/{engine.state('place')['Pid']}/cgroup").read_text().splitlines()
    places = {line.split(":", 2)[2] for line in lines if line.endswith(made)}
    assert len(places) == 1
    place = places.pop()
    assert place == f"{parent}/{made}" if parent else place.startswith("/wharf-")
    engine.api.ask("DELETE", "/v1.51/containers/place?force=1")
    if parent:  # Docker leaves these behind
        top = parent.split("/")[1]
        assert not list(Path("/sys/fs/cgroup").glob(f"*/{top}")), "what was made for one container"


@pytest.mark.parametrize(
    ("config", "status", "code", "words"),
    [
        ({"Cmd": ["nosuch"]}, 400, 127, 'exec: "nosuch": executable file not found in $PATH'),
        ({"Cmd": ["/nosuch"]}, 400, 127, "no such file or directory"),
        ({"Cmd": ["/etc"]}, 400, 126, "is a directory"),
        ({"Cmd": ["/etc/passwd"]}, 400, 126, "permission denied"),
        ({"User": "nosuch"}, 500, 128, "unable to find user nosuch: no matching entries in passwd file"),
        ({"User": "0:nosuch"}, 500, 128, "unable to find group nosuch: no matching entries in group file"),
        ({"HostConfig": {"Sysctls": {"net.nosuch": "1"}}}, 400, 127, "/proc/sys/net/nosuch: no such file or directory"),
        ({"HostConfig": {"NetworkMode": "container:nosuch"}}, 500, 128, "No such container: nosuch"),
        (
            {"HostConfig": {"LogConfig": {"Type": "json-file", "Config": {"max-file": "0"}}}},
            500,
            128,
            "max-file cannot be less than 1",
        ),
    ],
)
def test_what_a_failed_start_leaves(
    engine: Engine, config: dict[str, object], status: int, code: int, words: str
) -> None:
    answer = engine.api.create({"Cmd": ["true"], **config}, "failed")
    assert answer.status == 201, answer
    answer = engine.post("/containers/failed/start")
    assert answer.status == status and words in answer.message
    state = engine.state("failed")
    assert (state["Status"], state["ExitCode"], state["Error"]) == ("created", code, answer.message)
    assert state["StartedAt"] == state["FinishedAt"] == "0001-01-01T00:00:00Z"
