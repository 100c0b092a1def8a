"""One project, two tools: up with one, ps, exec, up again and down with the other, both ways."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.tools import Tools
from tests.support.wharfd import Wharfd

_FILE = """
services:
  db:
    image: busybox
    init: true
    stop_grace_period: 0s
    command: sh -c "echo database; exec sleep 1000"
    healthcheck: {test: "true", interval: 1s, start_interval: 100ms, start_period: 5s}
    volumes: ["data:/data", "/anonymous"]
    environment: {A: "1", B: }
    labels: {own: label}
    deploy: {resources: {limits: {memory: 64M}}}
  web:
    image: busybox
    init: true
    stop_grace_period: 0s
    command: [sleep, "1000"]
    scale: 2
    depends_on: {db: {condition: service_healthy}}
    networks: {default: , back: {aliases: [w]}}
    configs: [{source: c, target: /c}]
  side: {image: busybox, init: true, stop_grace_period: 0s, command: sleep 1000, network_mode: "service:db"}
volumes: {data: {labels: {a: b}}}
networks: {back: {driver_opts: {com.docker.network.bridge.name: two$PID}}}
configs: {c: {content: "hello\\n"}}
"""


@pytest.fixture
def tools(daemon: Wharfd, tmp_path: Path) -> Iterator[Tools]:
    (tmp_path / "compose.yaml").write_text(_FILE)
    both = Tools(daemon, tmp_path)
    yield both
    both.run("wharf", "down", "-v", "--remove-orphans")


def _shape(container: dict[str, object]) -> dict[str, object]:
    """What must be equal whoever made it: ids, times and addresses are not."""
    config = dict(container["Config"])  # type: ignore[call-overload]
    host = dict(container["HostConfig"])  # type: ignore[call-overload]
    config.pop("Hostname")
    config["Env"] = sorted(config["Env"])  # Go's maps have no order
    if str(host["NetworkMode"]).startswith("container:"):
        host["NetworkMode"] = "container:"
        config["Labels"] = {key: value for key, value in config["Labels"].items() if not key.endswith("config-hash")}
    mounts = sorted((item["Destination"], item["Type"]) for item in container["Mounts"])  # type: ignore[attr-defined]
    return {"name": container["Name"], "config": config, "host": host, "mounts": mounts}


@pytest.mark.parametrize(("first", "second"), [("docker", "wharf"), ("wharf", "docker")])
def test_up_with_one_the_rest_with_the_other(tools: Tools, first: str, second: str) -> None:
    tools.run(first, "up", "-d", "--wait")
    before = {item["Id"] for item in tools.containers()}
    assert len(before) == 4
    listed = {
        line.split()[0] for line in tools.run(second, "ps", "--format", "{{.Name}} {{.Service}}").stdout.splitlines()
    }
    assert len(listed) == 4
    assert tools.run(second, "exec", "-T", "--index", "2", "web", "cat", "/c").stdout == "hello\n"
    assert "database" in tools.run(second, "logs", "db").stdout
    tools.run(second, "up", "-d", "--wait")
    assert {item["Id"] for item in tools.containers()} == before, f"{second} made again what {first} had made"
    tools.run(second, "stop")
    tools.run(first, "start")
    tools.run(second, "down", "-v")
    assert tools.run(first, "ps", "-aq").stdout == ""


def test_both_make_the_same_containers(tools: Tools) -> None:
    shapes = {}
    for tool in ("docker", "wharf"):
        tools.run(tool, "up", "-d", "--wait")
        shapes[tool] = [_shape(item) for item in tools.containers()]
        tools.run(tool, "down", "-v")
    for ours, theirs in zip(shapes["wharf"], shapes["docker"], strict=True):
        for part in theirs:
            assert _differences(ours[part], theirs[part]) == {}, theirs["name"]


def _differences(ours: object, theirs: object) -> dict[str, object]:
    if not isinstance(ours, dict) or not isinstance(theirs, dict):
        return {} if ours == theirs else {"": (ours, theirs)}
    keys = ours.keys() | theirs.keys()
    return {key: (ours.get(key), theirs.get(key)) for key in sorted(keys) if ours.get(key) != theirs.get(key)}


def test_a_changed_service_is_made_again_with_its_anonymous_volume(tools: Tools, tmp_path: Path) -> None:
    tools.run("docker", "up", "-d", "db")
    tools.run("wharf", "exec", "-T", "db", "sh", "-c", "echo kept > /anonymous/file")
    (tmp_path / "compose.yaml").write_text(_FILE.replace('A: "1"', 'A: "2"'))
    out = tools.run("wharf", "up", "-d", "db")
    assert "Recreated" in out.stderr
    assert tools.run("docker", "exec", "-T", "db", "sh", "-c", "cat /anonymous/file; echo $A").stdout == "kept\n2\n"
