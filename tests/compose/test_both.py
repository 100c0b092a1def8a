"""Each project of `both/`, by the unmodified docker compose and by `wharf compose`, on one engine: what they print and
how they end, the containers, networks, volumes, labels, states and logs that are there then, and that nothing is after.

`make test-compose` asks for all; `make test` for a few. A project has its files and, where that is more than
`up -d --wait`, `commands`: a command line a line.
"""

import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.compose.tools import Tools
from tests.support.wharfd import Wharfd

BOTH = Path(__file__).parent / "both"
FEW = ("02-two-and-order", "20-volumes", "34-stop-start")
ALL = bool(os.environ.get("WHARF_TEST_COMPOSE"))
NETWORK_LEFT = {"42-missing-image": "docker compose makes the network before it looks for the image; we look first"}
ERASE = "\x1b[K"
"""What docker compose prints before some lines, on a terminal or not; we do on a terminal."""
_ANONYMOUS = re.compile(r"[0-9a-f]{64}")
_PREFIX = re.compile(r"^(\S+) +\| ")
"""Of a log's line: how wide it is depends on which containers docker compose has attached to by then."""


def projects() -> list[Path]:
    """All, or the few."""
    return [path for path in sorted(BOTH.iterdir()) if path.is_dir() and (ALL or path.name in FEW)]


def commands(project: Path) -> list[list[str]]:
    """The command lines of a project."""
    file = project / "commands"
    return [shlex.split(line) for line in (file.read_text().splitlines() if file.exists() else ["up -d --wait"])]


class Picture:
    """What there is of a project, with names in the place of ids, and without what no two runs have in common."""

    def __init__(self, daemon: Wharfd, tools: Tools) -> None:
        found = tools.containers()
        networks = tools.networks()
        self._names = {item["Id"]: item["Name"] for item in [*found, *networks]}
        self._daemon = daemon
        self.containers = {item["Name"]: self._container(item) for item in found}
        self.networks = {item["Name"]: self._network(item) for item in networks}
        self.volumes = {
            self._named(item["Name"]): {key: item[key] for key in ("Driver", "Options", "Labels")}
            for item in tools.volumes()
        }

    def _named(self, text: str) -> str:
        for id, name in self._names.items():
            text = text.replace(id, name).replace(id[:12], name)
        return _ANONYMOUS.sub("<anonymous>", text)

    def _container(self, item: dict[str, Any]) -> dict[str, Any]:
        config, host = dict(item["Config"]), dict(item["HostConfig"])
        config["Env"] = sorted(config["Env"])  # Go's maps have no order
        for key in ("Binds", "ExtraHosts"):
            host[key] = sorted(host[key] or ())
        for key, name in (("Mounts", "Target"), ("Ulimits", "Name")):
            if host.get(key):
                host[key] = sorted(host[key], key=lambda item: str(item[name]))
        if (
            any(str(host[space]).startswith("container:") for space in ("NetworkMode", "PidMode", "IpcMode"))
            or (host["VolumesFrom"])
        ):
            # The hash is that of the service with the other container's id.
            config["Labels"] = {
                key: value for key, value in config["Labels"].items() if not key.endswith("config-hash")
            }
        state = {key: item["State"][key] for key in ("Status", "ExitCode", "OOMKilled", "Paused")}
        state["Health"] = (item["State"].get("Health") or {}).get("Status")
        mounts = [{key: mount.get(key) for key in ("Type", "Destination", "Name", "RW", "Mode", "Propagation")}
                  for mount in item["Mounts"]]  # fmt: skip
        ends = {name: self._endpoint(item, end) for name, end in item["NetworkSettings"]["Networks"].items()}
        logs = self._daemon.docker("logs", item["Id"])
        shown = {"Config": config, "HostConfig": host, "State": state, "Networks": ends,
                 "Mounts": sorted(mounts, key=lambda mount: str(mount["Destination"]))}  # fmt: skip
        changed: dict[str, Any] = json.loads(self._named(json.dumps(shown)))
        return {**changed, "Logs": (logs.stdout, logs.stderr)}

    def _endpoint(self, container: dict[str, Any], end: dict[str, Any]) -> dict[str, Any]:
        kept = {key: end.get(key) for key in ("IPAMConfig", "Links", "DriverOpts", "GwPriority")}
        for key in ("Aliases", "DNSNames"):
            kept[key] = sorted({self._named(name) for name in end.get(key) or ()})
        return kept

    def _network(self, item: dict[str, Any]) -> dict[str, Any]:
        kept = {
            key: item[key]
            for key in ("Driver", "Internal", "Attachable", "EnableIPv4", "EnableIPv6", "Options", "Labels", "Scope")
        }
        kept["members"] = sorted(member["Name"] for member in item["Containers"].values())
        return kept


def _run(tools: Tools, tool: str, project: Path) -> list[tuple[str, int, list[str]]]:
    """(command line, exit status, lines in any order) of each."""
    answers = []
    for words in commands(project):
        out = tools.ask(tool, *words)
        lines = [_ANONYMOUS.sub("<id>", line.removeprefix(ERASE)) for line in out.stdout.splitlines()]
        lines = [_PREFIX.sub(r"\1 | ", line) for line in lines]
        answers.append((" ".join(words), out.returncode, sorted(filter(None, lines))))
    return answers


@pytest.mark.parametrize("project", projects(), ids=lambda path: path.name)
def test_both_tools_make_the_same(daemon: Wharfd, project: Path) -> None:
    tools = Tools(daemon, project)
    answers, pictures = {}, {}
    for tool in ("docker", "wharf"):
        try:
            answers[tool] = _run(tools, tool, project)
            pictures[tool] = Picture(daemon, tools)
        finally:
            tools.run(tool, "--profile", "*", "down", "-v", "--remove-orphans", "-t", "0")
        assert tools.left() == [], f"{tool} left something"
    assert answers["wharf"] == answers["docker"]
    for kind in ("containers", "networks", "volumes"):
        ours, theirs = getattr(pictures["wharf"], kind), getattr(pictures["docker"], kind)
        if kind == "networks" and project.name in NETWORK_LEFT:
            assert not ours
            continue
        assert ours.keys() == theirs.keys()
        for name, thing in theirs.items():
            for part in thing:
                assert ours[name][part] == thing[part], f"{kind} {name}: {part}"
