"""Every attribute of the specification by its effect: `facts/facts.tsv` has a row for each, one project runs them all.

How a row is asked: `in` a command in the service's container; `same` one whose answer is that of another service's
container; `host` one whose answer is the host's; `outside` a command in the engine's network; `inspect` / `network` /
`volume` what the engine says of the thing; `count` how many containers the service has. What is asked `in` containers
goes in one exec a service.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from tests.support.wharfd import ROOT, Wharfd
from wharf.client.address import find
from wharf.client.api import Client
from wharf.compose import labels
from wharf.compose.observed import project_containers

FACTS = Path(__file__).parent / "facts"
_DEVICES = {
    "cdiVersion": "0.6.0", "kind": "example.org/thing",
    "devices": [
        {"name": "one", "containerEdits": {"env": ["THING=one"], "deviceNodes": [{"path": "/dev/thing",
                                                                                  "hostPath": "/dev/null"}]}},
        {"name": "two", "containerEdits": {"env": ["THING=two"]}},
    ],
}  # fmt: skip
_MARK = "=====fact====="


@dataclass(frozen=True)
class Fact:
    """A row."""

    attribute: str
    service: str
    how: str
    what: str
    expected: str


def facts(place: Path = FACTS) -> list[Fact]:
    """A directory's table."""
    lines = (place / "facts.tsv").read_text().splitlines()
    return [Fact(*line.split("\t")) for line in lines if line and not line.startswith("#")]


class Stack:
    """The project, up; answers of the containers are fetched once."""

    def __init__(self, daemon: Wharfd, made: str) -> None:
        self._daemon = daemon
        self.project = f"facts{os.getpid()}"
        self.environment = {
            **daemon.environment, "COMPOSE_PROJECT_NAME": self.project, "NAME": self.project, "FROM_SHELL": "shell",
            "SECRET_VARIABLE": "hush", "PORT": "18181", "BRIDGE": f"brf{os.getpid()}"[:15], "MADE": made,
        }  # fmt: skip
        self._answers: dict[str, dict[str, str]] = {}

    def wharf(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs `wharf`."""
        command = [*self._daemon.enter, str(ROOT / ".venv/bin/wharf"), *words]
        return subprocess.run(command, cwd=FACTS, env=self.environment, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, check=False)  # fmt: skip

    @cached_property
    def client(self) -> Client:
        """A client of the engine."""
        return Client(find(self._daemon.host, "", ""))

    def ids(self, service: str) -> list[str]:
        """The service's containers."""
        found = project_containers(self.client, self.project, f"{labels.SERVICE}={service}")
        return [item["Id"] for item in sorted(found, key=labels.number_of)]

    def inside(self, fact: Fact) -> str:
        """What a command in the container printed."""
        if fact.service not in self._answers:
            rows = [row for row in facts() if row.service == fact.service and row.how == "in"]
            script = "".join(f"echo {_MARK}; ( {row.what} )\n" for row in rows)
            out = self.wharf("compose", "exec", "-T", fact.service, "sh", "-c", script)
            parts = out.stdout.split(f"{_MARK}\n")[1:]
            assert len(parts) == len(rows), out
            self._answers[fact.service] = {row.attribute: part for row, part in zip(rows, parts, strict=True)}
        return self._answers[fact.service][fact.attribute]

    def _exec(self, service: str, script: str) -> str:
        return self.wharf("compose", "exec", "-T", service, "sh", "-c", script).stdout

    def _outside(self, script: str) -> str:
        environment = {**self.environment, "WHARF": str(ROOT / ".venv/bin/wharf")}
        command = [*self._daemon.enter, "sh", "-c", script]
        return subprocess.run(command, cwd=FACTS, env=environment, capture_output=True, text=True, check=False).stdout

    def answer(self, fact: Fact) -> str:
        """What a row asks."""
        if fact.how == "in":
            return self.inside(fact)
        if fact.how in ("same", "host"):
            own = self._exec(fact.service, fact.what)
            other = self._exec(fact.expected, fact.what) if fact.how == "same" else self._outside(fact.what)
            return fact.expected if own and own == other else f"{own} beside {other}"
        if fact.how == "outside":
            return self._outside(fact.what)
        if fact.how == "count":
            return str(len(self.ids(fact.service)))
        if fact.how == "inspect":
            thing = self.client.get(f"/containers/{self.ids(fact.service)[0]}/json")
        else:
            name = f"{self.project}_{fact.service}" if fact.service != "back" else f"{self.project}-back-net"
            thing = self.client.get(f"/{fact.how}s/{name}")
        return str(eval(f"c{fact.what}", {"c": thing}))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The project up and waited for, with a network and a volume that it has not made; away afterwards."""
    host = tmp_path_factory.mktemp("host")
    (host / "cdi").mkdir()
    (host / "cdi/thing.json").write_text(json.dumps(_DEVICES))
    with Wharfd("--cdi-spec-dir", f"{host}/cdi") as daemon:
        daemon.load_busybox()
        made = Stack(daemon, str(host))
        for kind in ("network", "volume"):
            daemon.docker(kind, "create", f"{made.project}-elsewhere")
        out = made.wharf("compose", "up", "-d", "--wait")
        try:
            assert out.returncode == 0, out.stderr + daemon.log()
            yield made
        finally:
            down = made.wharf("compose", "down", "-v", "--remove-orphans")
            assert down.returncode == 0, down.stderr
            for kind in ("network", "volume"):  # what is external stays
                daemon.docker(kind, "rm", f"{made.project}-elsewhere")


@pytest.mark.parametrize("fact", facts(), ids=lambda fact: fact.attribute)
def test_an_attribute_has_its_effect(stack: Stack, fact: Fact) -> None:
    answer = stack.answer(fact).strip()
    assert re.fullmatch(fact.expected, answer, re.DOTALL), f"{fact.what}: {answer!r} is not {fact.expected!r}"


def test_an_unchanged_project_is_left_alone(stack: Stack) -> None:
    before = sorted(stack.wharf("compose", "ps", "-aq").stdout.split())
    out = stack.wharf("compose", "up", "-d")
    assert out.returncode == 0, out.stderr
    assert "Recreate" not in out.stderr and "Creating" not in out.stderr
    assert sorted(stack.wharf("compose", "ps", "-aq").stdout.split()) == before
