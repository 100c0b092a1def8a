"""Each line of the table gives stdout, stderr and exit code as Docker gave them."""

from __future__ import annotations

import subprocess

import pytest

from tests.conformance import recording
from tests.conformance.compare import Verdict, compare
from tests.conformance.differences import DIFFERENCES
from tests.conformance.runner import Runner
from tests.conformance.table import Scenario, scenarios
from tests.support.wharfd import newest_docker_client

SCENARIOS = {scenario.name: scenario for scenario in scenarios()}


def _client_version() -> str:
    """Version of the client under test; Debian adds its own number after a plus sign."""
    template = "{{.Client.Version}}"
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "DOCKER_HOST": "unix:///nonexistent"}
    command = [newest_docker_client(), "version", "--format", template]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.stdout.strip()


CLIENT = _client_version()
RECORDED = recording.newest_for(CLIENT)
SKIP = f"no recording was made with docker client {CLIENT or '(none)'}; there are ones with {recording.clients()}"


@pytest.fixture(scope="module")
def verdicts() -> dict[str, list[Verdict]]:
    """Filled by the first line of each scenario."""
    return {}


def _lines() -> list[object]:
    return [
        pytest.param(name, index, id=f"{name}-{index:02} {line.text}")
        for name, scenario in SCENARIOS.items()
        for index, line in enumerate(scenario.lines)
        if line.verb != "file" and line.verb != "sleep"
    ]


@pytest.mark.parametrize(("name", "index"), _lines())
def test_line(name: str, index: int, request: pytest.FixtureRequest, verdicts: dict[str, list[Verdict]]) -> None:
    if RECORDED is None:
        pytest.skip(SKIP)
    if name not in verdicts:
        engine: Runner = request.getfixturevalue("engine")
        scenario: Scenario = SCENARIOS[name]
        verdicts[name] = compare(scenario, RECORDED.scenarios.get(name, []), engine.scenario(scenario))
    verdict = verdicts[name][index]
    assert not verdict.problem, f"$ {verdict.line}\n{verdict.problem}"


def test_number_of_lines() -> None:
    assert sum(line.verb == "docker" for scenario in SCENARIOS.values() for line in scenario.lines) >= 120


def test_differences_name_lines_that_exist() -> None:
    known = {(scenario.name, line.text) for scenario in SCENARIOS.values() for line in scenario.lines}
    assert [d for d in DIFFERENCES if (d.scenario, d.line) not in known] == []
    assert all(d.reason for d in DIFFERENCES)
