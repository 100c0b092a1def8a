"""A crash after every named step: the next start finds the old state or the new one, and nothing is left over.

The names are read from the code: a step that nobody drives here fails the test.
"""

import ast
import contextlib
import io
import json
import os
import re
import shlex
import socket
import subprocess
import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.busybox import docker_archive
from tests.support.footprint import Footprint, difference, footprint, settled
from tests.support.wharfd import ROOT, Wharfd, docker_client
from tests.system.logs.receivers import in_namespace

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("steps")]
SECONDS = 30.0
STILL = 5
"""Looks a tenth of a second apart that must show the same."""


def steps() -> list[str]:
    """Every name that the code gives a step."""
    found: list[str] = []
    for path in sorted((ROOT / "src/wharf").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "faults.done":
                assert len(node.args) == 1 and isinstance(node.args[0], ast.Constant), f"{path}: not a literal"
                found.append(str(node.args[0].value))
    return found


@dataclass(frozen=True)
class Operation:
    """What is there before, the command that is cut, and what takes all away again (each may fail)."""

    before: tuple[str, ...]
    cut: str
    after: tuple[str, ...]
    state: str
    """Command whose words tell the old state from the new one."""
    kept: str = "(?!)"
    """Pattern of what may be there beside the old state: it makes the next try shorter."""


RUN = "run -d --name cc -p 18099:80 -v /etc --mount type=image,src=busybox,dst=/img busybox sleep 1000"
STATE = "inspect -f '{{.Name}} {{.State.Running}} {{.State.Paused}} {{len .Mounts}} {{len .NetworkSettings.Ports}}' cc"
GONE = ("rm -f -v cc", "volume rm vv")
NET = "network create --ipv6 --subnet 10.99.0.0/24 --subnet fd00:99::/64 nn"
ON_NET = "run -d --name nc busybox sleep 1000"
NET_GONE = ("rm -f nc", "network rm nn")
NET_STATE = "network ls --format {{.Name}}"
PLACES = "inspect -f '{{range $k, $v := .NetworkSettings.Networks}}{{$k}}={{$v.Gateway}} {{end}}' nc"
STOPPED = (RUN, "kill cc", "wait cc")
IMAGES = "images -a -q --no-trunc"
COMMITTED = "inspect -f '{{with index . `State`}}{{.Status}}{{else}}image{{end}}' cc made:1"
REGISTRY = "127.0.0.1:5000"
SHARED_IMAGE = f"{REGISTRY}/app:1"
MADE = f"{REGISTRY}/made:1"
OPERATIONS = {
    "create": Operation((), RUN.replace("run -d", "create"), GONE, STATE),
    "start": Operation((RUN.replace("run -d", "create"),), "start cc", GONE, STATE),
    "stop": Operation((RUN,), "stop -t 1 cc", GONE, STATE),
    "remove": Operation(STOPPED, "rm -v cc", GONE, STATE),
    "rename": Operation((RUN,), "rename cc dd", (*GONE, "rm -f -v dd"), "ps -a --format {{.Names}}"),
    "exec": Operation((RUN,), "exec cc true", GONE, STATE),
    "commit": Operation((RUN, "exec cc touch /new"), "commit cc made:1", ("rmi -f made:1", *GONE), COMMITTED),
    "load": Operation((), "load -q -i {root}/other.tar", ("rmi -f other:1",), IMAGES),
    "import": Operation((), "import {root}/plain.tar made:1", ("rmi -f made:1",), IMAGES),
    "image-delete": Operation(("load -q -i {root}/other.tar",), "rmi -f other:1", ("rmi -f other:1",), IMAGES),
    "image-untag": Operation(
        ("load -q -i {root}/other.tar", "tag other:1 other:2"),
        "rmi other:2",
        ("rmi -f other:1", "rmi -f other:2"),
        "images --format {{.Tag}}",
    ),
    "network-create": Operation((), NET, NET_GONE, NET_STATE),
    "network-remove": Operation((NET,), "network rm nn", NET_GONE, NET_STATE),
    "connect": Operation((NET, ON_NET), "network connect --gw-priority 5 nn nc", NET_GONE, PLACES),
    "disconnect": Operation(
        (NET, ON_NET, "network connect --gw-priority 5 nn nc"), "network disconnect nn nc", NET_GONE, PLACES
    ),
    # What came of an interrupted pull stays for the next one, which lets it go with the image.
    "pull": Operation(
        (),
        f"pull {SHARED_IMAGE}",
        (f"pull {SHARED_IMAGE}", f"rmi -f {SHARED_IMAGE}"),
        IMAGES,
        kept=r"file: /data/content/blobs/sha256/ID$",
    ),
    # A layer of its own each time: one that was pushed before is not compressed again.
    "push": Operation(
        ("run --name cc --network none busybox cp /proc/sys/kernel/random/uuid /new", f"commit cc {MADE}"),
        f"push {MADE}",
        ("rm -f cc", f"rmi -f {MADE}"),
        f"image inspect -f '{{{{len .RepoDigests}}}}' {MADE}",
    ),
    "volume-create": Operation((), "volume create vv", ("volume rm vv",), "volume ls -q"),
    "volume-remove": Operation(("volume create vv",), "volume rm vv", ("volume rm vv",), "volume ls -q"),
}
LINKED = "start-linked"
OPERATIONS[LINKED] = Operation(
    (
        "network create --subnet 10.98.0.0/24 ln",
        "run -d --name ll --network ln busybox sleep 1000",
        "create --name cc --network ln --link ll:friend -p 18099:80 --log-driver syslog"
        " --log-opt syslog-address=udp://127.0.0.1:5514 busybox sh -c 'echo said; exec sleep 1000'",
    ),
    "start cc",
    ("rm -f -v cc", "rm -f ll", "network rm ln"),
    STATE,
)
"""A start of another shape, on a user's network, with a link and a shipped log: `make soak` cuts it everywhere."""
OTHER_SHAPES = {"start": LINKED} if os.environ.get("WHARF_STEPS_OTHER_SHAPES") else {}
SHARED = {"image": ("commit", "load", "import", "pull")}
"""Steps of what several operations do: tried in each where they come."""
NOT_THERE = {"load image:unpacked", "load image:config", "load image:manifest", "load image:synced",
             "import image:layer-prepared", "import image:layer-applied", "import image:layer-committed",
             *(f"pull image:{step}" for step in ("unpacked", "config", "manifest", "synced")),
             *(f"pull image:{step}" for step in ("layer-prepared", "layer-applied", "index"))}  # fmt: skip
"""A load brings its config and manifest along; an import has unpacked while it read; a pull stores them by itself, and
unpacks by the very steps of a load, of which one is enough."""


EVERYTHING = tuple(
    dict.fromkeys(line for operation in OPERATIONS.values() for line in operation.after if not line.startswith("pull"))
)
_OWN = re.compile(r"file: /data/(?:containers|snapshots/active)/ID(?:/|$)")


def loose(found: Footprint) -> Footprint:
    """Without what lies in a container's own directories: they go with it, and each start writes them anew."""
    return Counter({key: number for key, number in found.items() if not _OWN.match(key) or key.endswith("active/ID")})


def cases() -> list[tuple[str, str]]:
    """Operation and step."""
    found = []
    for name in steps():
        prefix = name.partition(":")[0]
        shapes = (prefix, OTHER_SHAPES[prefix]) if prefix in OTHER_SHAPES else (prefix,)
        for operation in SHARED.get(prefix, shapes):
            if f"{operation} {name}" not in NOT_THERE:
                found.append((operation, name))
    return found


def test_names_are_unique_and_each_belongs_to_an_operation() -> None:
    names = steps()
    assert sorted(set(names)) == sorted(names)
    assert {name.partition(":")[0] for name in names} == {*OPERATIONS, *SHARED} - {LINKED}


class Cut:
    """A daemon that is killed at a step and started again."""

    def __init__(self, daemon: Wharfd) -> None:
        self.daemon = daemon
        self.base: Footprint = Counter()
        self.clean = False
        """Whether the last test saw that nothing of it was left."""
        self.states: dict[str, tuple[tuple[str, Footprint], tuple[str, Footprint]]] = {}

    def docker(self, line: str) -> tuple[int, str]:
        out = self.daemon.docker(*self.words(line), check=False)
        return out.returncode, out.stdout + out.stderr

    def words(self, line: str) -> list[str]:
        return shlex.split(line.replace("{root}", self.daemon.root))

    def must(self, lines: tuple[str, ...]) -> None:
        for line in lines:
            code, text = self.docker(line)
            assert code == 0 or line.startswith("wait"), f"{line}: {text}"

    def state(self, operation: Operation) -> str:
        """Words that do not depend on ids made anew."""
        code, text = self.docker(operation.state)
        return f"{len(text.split())} images" if operation.state == IMAGES else f"{code} {text}"

    def restart(self, step: str = "") -> None:
        if self.daemon.process and self.daemon.process.poll() is None:
            self.daemon.kill()
        os.environ.pop("WHARF_CRASH_AFTER", None)
        if step:
            os.environ["WHARF_CRASH_AFTER"] = step
        try:
            self.daemon.start()
        finally:
            os.environ.pop("WHARF_CRASH_AFTER", None)

    def known(self, name: str) -> tuple[tuple[str, Footprint], tuple[str, Footprint]]:
        """The old state and the new one, as they are after an orderly operation and a restart."""
        operation = OPERATIONS[name]
        if name not in self.states:
            self.must(operation.before)
            self.restart()
            old = self.state(operation), loose(self.quiet())
            self.must((operation.cut,))
            self.restart()
            new = self.state(operation), loose(self.quiet())
            self.clear(operation)
            self.states[name] = old, new
        return self.states[name]

    def quiet(self) -> Footprint:
        """The footprint once it stays the same for half a second; a process is still a number before it has a name."""
        last, same = footprint(self.daemon), 0
        for _ in range(200):
            time.sleep(0.1)
            now = footprint(self.daemon)
            restless = any("trash/" in key or key.removeprefix("process: ").isdigit() for key in now)
            same = same + 1 if now == last and not restless else 0
            if same == STILL:
                return now
            last = now
        raise AssertionError("the host does not come to rest")

    def clear(self, operation: Operation) -> None:
        for line in operation.after:
            self.docker(line)


@contextlib.contextmanager
def registry(daemon: Wharfd, place: Path) -> Iterator[None]:
    """A registry in the daemon's network namespace, which is not killed."""
    program = str(ROOT / ".venv/bin/wharf-registry")
    command = [*daemon.enter, program, "serve", "--root", str(place), "--addr", REGISTRY, "--gc-interval", "0"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    try:
        assert any("listens on" in line for line in iter(process.stderr.readline, ""))
        yield
    finally:
        process.terminate()
        process.communicate()


@contextlib.contextmanager
def syslog(daemon: Wharfd) -> Iterator[None]:
    """Where datagrams of logs go to: somebody is there, and does not care."""
    assert daemon.holder is not None
    with in_namespace(daemon.holder.pid, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sink:
        sink.bind(("127.0.0.1", 5514))
        yield


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cut]:
    with (
        Wharfd("--log-level", "info") as daemon,
        syslog(daemon),
        registry(daemon, tmp_path_factory.mktemp("registry") / "root"),
    ):
        daemon.load_busybox()
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as tar:
            info = tarfile.TarInfo("file")
            info.size = 5
            tar.addfile(info, io.BytesIO(b"hello"))
        Path(f"{daemon.root}/other.tar").write_bytes(docker_archive("other:1", [layer.getvalue()]))
        Path(f"{daemon.root}/plain.tar").write_bytes(layer.getvalue() + b"\0" * 512)
        cut = Cut(daemon)
        cut.must(("load -q -i {root}/other.tar", f"tag other:1 {SHARED_IMAGE}", f"push -q {SHARED_IMAGE}",
                  f"rmi -f other:1 {SHARED_IMAGE}"))  # fmt: skip
        cut.must(("run --rm -p 18099:80 busybox true",))  # what the first start makes for all later ones
        cut.restart()
        cut.base = cut.quiet()
        yield cut


@pytest.mark.parametrize(("name", "step"), cases(), ids=lambda value: str(value))
def test_a_crash_leaves_the_old_state_or_the_new_one(cut: Cut, name: str, step: str) -> None:
    operation, daemon = OPERATIONS[name], cut.daemon
    for line in () if cut.clean else EVERYTHING:
        cut.docker(line)
    cut.clean = False
    base = settled(daemon, (cut.base,))
    assert base == cut.base, difference(base, cut.base)
    old, new = cut.known(name)
    cut.must(operation.before)
    cut.restart(step)
    client = subprocess.Popen(
        [docker_client(), *cut.words(operation.cut)], env=daemon.environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert daemon.process is not None
    try:
        daemon.process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"{step} was not reached by {operation.cut}: {client.communicate()[0]!r}") from None
    finally:
        client.kill()
        client.communicate()
    cut.restart()

    def looked(found: Footprint) -> Footprint:
        now = loose(found)
        return (
            old[1] if set(now - old[1]) and not old[1] - now and all(kept.match(key) for key in now - old[1]) else now
        )

    kept = re.compile(operation.kept)
    now = settled(daemon, (old[1], new[1]), looked)
    where = f"{name} cut after {step}"
    words = f"against old:\n{difference(now, old[1])}\nagainst new:\n{difference(now, new[1])}"
    assert now in (old[1], new[1]), f"{where}\n{words}"
    assert cut.state(operation) in (old[0], new[0]), where
    cut.clear(operation)
    rest = settled(daemon, (base,))
    assert rest == base, f"{where}, after all was removed\n{difference(rest, base)}"
    report = json.loads(daemon.docker("info", "-f", "{{json .Containers}}").stdout)
    assert report == 0
    cut.clean = True
