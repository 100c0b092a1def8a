"""What is wrong ends with one clear message, makes nothing that `down` does not take away, and never takes long."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import wharf.compose.schema as schema
from tests.compose.tools import Place
from tests.support.wharfd import ROOT, Wharfd
from wharf.compose import Project
from wharf.errors import WharfError

QUICK_SECONDS = 20.0
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
_RUN = "init: true, stop_grace_period: 0s, command: sleep 1000"

# name: (the files, the last line of what is said)
BAD: dict[str, tuple[dict[str, str], str]] = {
    "a bomb of anchors": ({"compose.yaml": BOMB}, r"document contains excessive aliasing \(.*compose.yaml:\d+\)"),
    "a bomb of merges": (
        {"compose.yaml": "x0: &x0 {k: v}\n" + "".join(
            f"x{n}: &x{n} {{a: *x{n - 1}, b: *x{n - 1}, c: *x{n - 1}, d: *x{n - 1}}}\n" for n in range(1, 24))},
        "document contains excessive aliasing",
    ),
    "an anchor that holds itself": ({"compose.yaml": "services: &s {web: {image: x, labels: *s}}\n"}, "cycle detected"),
    "nesting": ({"compose.yaml": "x-a: " + "[" * 5000 + "]" * 5000}, "max depth|nesting|[Ee]xceeded"),
    "an include loop": (
        {"compose.yaml": "include: [a.yaml]\nservices: {web: {image: x}}\n", "a.yaml": "include: [compose.yaml]\n"},
        "include cycle detected",
    ),
    "an extends loop": (
        {"compose.yaml": "services: {a: {extends: b, image: x}, b: {extends: a, image: x}}\n"}, "[Cc]ircular reference",
    ),
    "an include of a remote file": (
        {"compose.yaml": "include: ['oci://127.0.0.1:1/a/b:1']\nservices: {web: {image: x}}\n"},
        "remote Compose files are not there yet: oci://127.0.0.1:1/a/b:1",
    ),
    "an include of nothing": ({"compose.yaml": "include: [gone.yaml]\nservices: {web: {image: x}}\n"}, "gone.yaml"),
    "an env_file that is missing": (
        {"compose.yaml": "services: {web: {image: x, env_file: gone.env}}\n"}, "env file .*gone.env not found",
    ),
    "a variable that is required": (
        {"compose.yaml": "services: {web: {image: '${IMAGE:?say which}'}}\n"},
        "required variable IMAGE is missing a value: say which",
    ),
    "a cycle of dependencies": (
        {"compose.yaml": "services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [c]}, "
                         "c: {image: x, depends_on: [a]}}\n"},
        "dependency cycle detected: a -> b -> c -> a",
    ),
    "a wrong attribute": (
        {"compose.yaml": "services:\n  web:\n    image: x\n    imagee: y\n"},
        r"services.web additional properties 'imagee' not allowed \(.*compose.yaml:4\)",
    ),
    "not YAML": ({"compose.yaml": "services: {web: [}\n"}, r"yaml: .*\(.*compose.yaml:1\)"),
    "bytes": ({"compose.yaml": "services: \x00\x01\n"}, "yaml: "),
    "an image that does not exist": (
        {"compose.yaml": "services: {web: {image: '127.0.0.1:1/none:1'}}\n"}, "127.0.0.1:1/none",
    ),
    "a secret whose variable is missing": (
        {"compose.yaml": "services: {web: {image: busybox, secrets: [s]}}\nsecrets: {s: {environment: GONE}}\n"},
        'environment variable "GONE" required by secret "[a-z0-9_]*s" is not set',
    ),
}  # fmt: skip


@pytest.fixture
def place(daemon: Wharfd, tmp_path: Path) -> Iterator[Place]:
    made = Place(daemon, tmp_path)
    yield made
    if (tmp_path / "compose.yaml").exists():
        made.compose("-p", made.project, "down", "-v", "-t", "0", "--remove-orphans")
        assert left(daemon, made) == "", "down left something"


def left(daemon: Wharfd, place: Place) -> str:
    """What the engine has of the project."""
    label = f"label=com.docker.compose.project={place.project}"
    listings = (("ps", "-aq"), ("network", "ls", "-q"), ("volume", "ls", "-q"))
    return "".join(daemon.docker(*words, "--filter", label).stdout for words in listings)


@pytest.mark.parametrize("name", BAD)
def test_one_clear_message(daemon: Wharfd, place: Place, name: str) -> None:
    files, expected = BAD[name]
    for file, text in files.items():
        place.write(text, file)
    began = time.monotonic()
    out = place.compose("up", "-d", status=None)
    assert time.monotonic() - began < QUICK_SECONDS
    assert out.returncode in (1, 14, 15), out
    said = [line for line in out.stderr.splitlines() if not line.startswith((" ", "WARN"))]
    assert re.search(expected, out.stderr), out.stderr
    assert "Traceback" not in out.stderr and len(said) <= 2, out.stderr
    if "secret" not in name:
        assert left(daemon, place) == "", "something was made before the message"


def _attributes() -> list[tuple[str, Any]]:
    """Every attribute of a service with a value of a kind that its schema has not."""
    found = json.loads(Path(schema.__file__).with_name("compose-spec.json").read_text())["definitions"]["service"]
    return [(name, {"no-such-key": [{"deep": 1}]}) for name in sorted(found["properties"])]


def test_every_attribute_of_a_wrong_kind_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    taken = []
    for name, value in _attributes():
        file.write_text(f"services:\n  web:\n    image: x\n    {name}: {json.dumps(value)}\n")
        if name == "image":
            file.write_text(f"services:\n  web:\n    {name}: {json.dumps(value)}\n")
        try:
            Project.load([str(file)], environment={})
        except WharfError as error:
            line = 3 if name == "image" else 4
            assert name in error.message and re.search(rf"compose\.yaml:{line}\)$", error.message), error.message
        else:
            taken.append(name)
    # What takes any mapping; hidden in it the schema has nothing to say.
    assert taken == TAKES_ANYTHING


TAKES_ANYTHING = ["storage_opt"]


def test_two_thousand_services_are_planned_in_seconds(place: Place) -> None:
    rows = [f"  s{index}: {{image: busybox, depends_on: [s{index - 1}]}}" for index in range(1, 2000)]
    place.write("services:\n  s0: {image: busybox}\n" + "\n".join(rows) + "\n")
    began = time.monotonic()
    out = place.compose("up", "--dry-run")
    assert time.monotonic() - began < QUICK_SECONDS * 2
    assert out.stdout.count("Start") + out.stderr.count("Start") >= 2000


def test_ports_that_collide(place: Place) -> None:
    place.write(f"services:\n  a: {{image: busybox, {_RUN}, ports: ['127.0.0.1:18481:80']}}\n"
                f"  b: {{image: busybox, {_RUN}, depends_on: [a], ports: ['127.0.0.1:18481:80']}}\n")  # fmt: skip
    out = place.compose("up", "-d", status=1)
    assert "port is already allocated" in out.stderr.splitlines()[-1] and "18481" in out.stderr.splitlines()[-1]
    assert place.compose("ps", "--format", "{{.Service}}").stdout == "a\n"


def _many(place: Place) -> None:
    rows = "".join(f"  s{n}: {{image: busybox, {_RUN}, volumes: ['data:/data', '/own']}}\n" for n in range(12))
    place.write(f"services:\n{rows}volumes: {{data: }}\n")


def _in_the_middle(place: Place) -> "subprocess.Popen[str]":
    """An `up` that has begun to make containers."""
    command = [str(ROOT / ".venv/bin/wharf"), "compose", "up", "-d"]
    process = subprocess.Popen(command, cwd=place.path, env=place.environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    assert any("Container" in line and "Created" in line for line in process.stderr)
    return process


def _settled(place: Place) -> None:
    """What was asked for before the client died is made: the engine does not stop in the middle of a create."""
    count = -1
    while (now := len(place.compose("ps", "-aq").stdout.split())) != count:
        count = now
        time.sleep(0.5)


def test_the_client_is_killed_in_mid_up(place: Place) -> None:
    _many(place)
    with _in_the_middle(place) as process:
        process.send_signal(signal.SIGKILL)
    _settled(place)
    place.compose("down", "-v", "-t", "0")
    place.compose("up", "-d", "--wait")
    assert len(place.compose("ps", "-q").stdout.split()) == 12


def test_the_engine_is_killed_in_mid_up(daemon: Wharfd, place: Place) -> None:
    _many(place)
    with _in_the_middle(place) as process:
        daemon.kill()
        assert process.stderr
        said = process.stderr.read().splitlines()
        assert process.wait(QUICK_SECONDS) == 1
    assert re.search("[Cc]onnect|closed|reset", said[-1]) and "Traceback" not in "".join(said), said
    daemon.start()
    place.compose("up", "-d", "--wait")
    assert len(place.compose("ps", "-q").stdout.split()) == 12
