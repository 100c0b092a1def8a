"""The commands beside up and down, each by what it does to running containers or says of them.

What is asked of a project without a change to it is asked of docker compose as well: the answers are equal.
"""

import json
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.compose.tools import Place, Tools
from tests.support.wharfd import ROOT, Wharfd

_FILE = """
services:
  web:
    image: busybox
    init: true
    stop_grace_period: 0s
    command: [sh, -c, "trap 'echo usr2 > /data/got' USR2; echo hello; while :; do sleep 0.1; done"]
    scale: 2
    volumes: ["data:/data", "/anonymous"]
    ports: ["80", "81/udp"]
  job: {image: busybox, command: "sh -c 'echo done; exit 7'"}
  side: {image: busybox, init: true, stop_grace_period: 0s, command: sleep 1000, volumes: ["other:/other"]}
  idle: {image: busybox, init: true, stop_grace_period: 0s, command: sleep 1000, profiles: [later]}
volumes: {data: , other: }
"""


@pytest.fixture(scope="module")
def place(daemon: Wharfd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The project, up."""
    made = Place(daemon, tmp_path_factory.mktemp("commands"))
    made.write(_FILE)
    made.compose("up", "-d")
    made.compose("wait", "job", status=None)
    yield made
    made.compose("--profile", "later", "down", "-v", "-t", "0")


def _ids(place: Place, *words: str) -> list[str]:
    return place.compose("ps", "-q", *words).stdout.split()


def _lines(text: str, *, json_too: bool) -> list[Any]:
    """Lines in any order; labels of a row in any order."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not json_too:
        return sorted(lines)
    rows = [json.loads(line) for line in lines]
    rows = rows[0] if len(rows) == 1 and isinstance(rows[0], list) else rows
    for row in rows:
        row["Labels"] = sorted(str(row.get("Labels", "")).split(","))
        row.pop("RunningFor", None)  # they change meanwhile
        row.pop("Status", None)
    return sorted(rows, key=json.dumps)


@pytest.mark.parametrize(
    "words",
    [
        "volumes", "volumes -q", "volumes --format json", "volumes --format json side", "port web 80",
        "port --index 2 web 80", "port --protocol udp web 81", "images -q", "images --format json", "top side",
        "ls --format json", "stats --no-stream --format {{.Name}}", "ps --services", "ps -a --format json",
        "ps --status exited -a -q", "logs --no-color --no-log-prefix job", "config --services",
    ],
)  # fmt: skip
def test_both_tools_say_the_same(daemon: Wharfd, place: Place, words: str) -> None:
    tools = Tools(daemon, place.path)
    as_json = "--format json" in words
    ours, theirs = (_lines(tools.run(tool, *words.split()).stdout, json_too=as_json) for tool in ("wharf", "docker"))
    assert ours == theirs and ours


def test_wait_ends_with_the_containers_status(place: Place) -> None:
    place.compose("rm", "-fs", "job")
    place.write("services: {job: {command: sh -c 'sleep 0.5; exit 7'}}\n", "slow.yaml")
    place.compose("-f", "compose.yaml", "-f", "slow.yaml", "up", "-d", "job")
    out = place.compose("wait", "job", status=7)
    assert "exited with status code 7" in out.stdout


def test_events_come_as_they_happen(place: Place) -> None:
    command = [str(ROOT / ".venv/bin/wharf"), "compose", "events", "--json", "side"]
    with subprocess.Popen(command, cwd=place.path, env=place.environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            pauser = threading.Thread(target=_pause_until_read, args=(place, read := threading.Event()))
            pauser.start()
            first = json.loads(process.stdout.readline())
        finally:
            read.set()
            pauser.join()
            process.terminate()
    assert (first["service"], first["type"]) == ("side", "container")
    assert first["action"] in ("pause", "unpause") and first["id"] == _ids(place, "side")[0]


def _pause_until_read(place: Place, read: threading.Event) -> None:
    while not read.is_set():  # the stream may open after the first of them
        place.compose("pause", "side")
        place.compose("unpause", "side")


def test_attach_shows_what_the_container_writes(place: Place) -> None:
    place.write(
        "services: {side: {command: sh -c 'read word; echo got $$word; exit 5', stdin_open: true}}\n", "in.yaml"
    )
    place.compose("-f", "compose.yaml", "-f", "in.yaml", "up", "-d", "side")
    command = [str(ROOT / ".venv/bin/wharf"), "compose", "attach", "side"]
    out = subprocess.run(command, cwd=place.path, env=place.environment, input="a word\n", text=True,
                         capture_output=True, check=False, timeout=60)  # fmt: skip
    place.compose("up", "-d", "side")
    assert (out.stdout, out.returncode) == ("got a word\n", 5), out.stderr


def test_kill_sends_the_signal_to_each(place: Place) -> None:
    place.compose("exec", "-T", "web", "rm", "-f", "/data/got")
    place.compose("kill", "-s", "USR2", "web")
    wait = "until test -e /data/got; do sleep 0.05; done; cat /data/got"
    assert place.compose("exec", "-T", "web", "sh", "-c", wait).stdout == "usr2\n"
    assert len(_ids(place, "web")) == 2


def test_cp_goes_both_ways_and_into_each(place: Place) -> None:
    place.write("in\n", "file")
    place.compose("cp", "file", "web:/tmp/file")
    for index in ("1", "2"):
        assert place.compose("exec", "-T", "--index", index, "web", "cat", "/tmp/file").stdout == "in\n"
    place.compose("exec", "-T", "--index", "2", "web", "sh", "-c", "echo two > /tmp/file")
    place.compose("cp", "--index", "2", "web:/tmp/file", "out")
    assert (place.path / "out").read_text() == "two\n"


def test_export_and_commit_have_the_containers_files(place: Place, daemon: Wharfd) -> None:
    place.compose("exec", "-T", "--index", "2", "web", "sh", "-c", "echo mine > /mine")
    place.compose("export", "--index", "2", "-o", "root.tar", "web")
    with tarfile.open(place.path / "root.tar") as archive:
        member = archive.extractfile("mine")
        assert member and member.read() == b"mine\n"
    place.compose("commit", "--index", "2", "-c", "CMD cat /mine", "web", "committed:one")
    try:
        assert daemon.docker("run", "--rm", "--network", "none", "committed:one").stdout == "mine\n"
    finally:
        daemon.docker("rmi", "committed:one")


def test_scale_create_start_stop_and_rm(place: Place) -> None:
    first = _ids(place, "web")
    place.compose("scale", "web=3")
    assert set(first) < set(_ids(place, "web")) and len(_ids(place, "web")) == 3
    place.compose("scale", "web=1")
    assert _ids(place, "web") == place.compose("ps", "-aq", "web").stdout.split() and len(_ids(place, "web")) == 1
    place.compose("create", "idle")
    state = ("ps", "-a", "--format", "{{.State}}", "idle")
    assert place.compose("--profile", "later", *state).stdout == "created\n"
    place.compose("--profile", "later", "start", "idle")
    assert place.compose("--profile", "later", *state).stdout == "running\n"
    place.compose("--profile", "later", "stop", "idle")
    assert place.compose("--profile", "later", *state).stdout == "exited\n"
    out = place.compose("--profile", "later", "rm", "-f", "idle")
    assert "Going to remove" in out.stderr and place.compose("--profile", "later", *state).stdout == ""


def test_restart_takes_those_along_that_want_it(place: Place) -> None:
    place.write("""
services:
  follows: {image: busybox, init: true, stop_grace_period: 0s, command: sleep 1000,
            depends_on: {side: {condition: service_started, restart: true}}}
  stays: {image: busybox, init: true, stop_grace_period: 0s, command: sleep 1000, depends_on: [side]}
""", "more.yaml")  # fmt: skip
    files = ("-f", "compose.yaml", "-f", "more.yaml")
    place.compose(*files, "up", "-d")
    before = {name: _started(place, files, name) for name in ("side", "follows", "stays")}
    place.compose(*files, "restart", "side")
    after = {name: _started(place, files, name) for name in before}
    assert {name for name in before if before[name] != after[name]} == {"side", "follows"}
    place.compose("up", "-d", "--remove-orphans")
    assert "stays" not in place.compose("ps", "-a").stdout


def _started(place: Place, files: tuple[str, ...], name: str) -> str:
    (id,) = place.compose(*files, "ps", "-q", name).stdout.split()
    return place.wharf("inspect", "--format", "{{.State.StartedAt}}", id).stdout


def test_up_with_watch_copies_what_changes(place: Place) -> None:
    place.write("""
services:
  side: {develop: {watch: [{path: ./src, action: sync+restart, target: /app, include: ["*.txt"]}]}}
""", "watch.yaml")  # fmt: skip
    place.write("old\n", "src/a.txt")
    command = [str(ROOT / ".venv/bin/wharf"), "compose", "-f", "compose.yaml", "-f", "watch.yaml", "up", "--watch",
               "side"]  # fmt: skip
    with subprocess.Popen(command, cwd=place.path, env=place.environment, stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.STDOUT) as process:  # fmt: skip
        assert process.stdout
        try:
            assert any("Watch enabled" in line for line in process.stdout)
            place.write("no\n", "src/b.bin")
            place.write("new\n", "src/a.txt")
            assert any("restarted" in line.lower() or "Syncing" in line for line in process.stdout)
            wait = "until test -e /app/a.txt; do sleep 0.05; done; ls /app; cat /app/a.txt"
            shown = ""
            while not shown:  # the restart may end the command
                shown = place.compose("exec", "-T", "side", "sh", "-c", wait, status=None).stdout
            assert shown == "a.txt\nnew\n"
        finally:
            process.terminate()
            process.stdout.read()


def test_exec_streams_bytes_as_they_are(place: Place) -> None:
    data = bytes(range(256)) * 100
    command = [str(ROOT / ".venv/bin/wharf"), "compose", "exec", "-T", "web", "cat"]
    out = subprocess.run(command, cwd=place.path, env=place.environment, input=data, capture_output=True, check=True)
    assert out.stdout == data and out.stderr == b""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("attach --index 9 web", 'service "web" is not running container #9'),
        ("port web 99", "no port 99/tcp for container"),
        ("port web x", "invalid syntax"),
        ("cp web:/etc/passwd side:/x", "copying between services is not supported"),
        ("cp a b", "unknown copy direction"),
        ("scale web", "invalid scale specifier: web"),
        ("kill nothing", "no such service: nothing"),
        ("exec nothing true", 'service "nothing" is not running'),
        ("stop nothing", "no such service: nothing"),
        ("wait nothing", 'no containers for project "'),
        ("cp nothing:/a b", 'no container found for service "nothing"'),
        ("up --wait --abort-on-container-exit", "--wait cannot be combined"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(place: Place, words: str, said: str) -> None:
    out = place.compose(*words.split(), status=None)
    assert out.returncode != 0 and said in out.stderr and "Traceback" not in out.stderr
