"""`wharf compose config` prints, byte for byte, what docker compose 2.40.3 printed for a hundred projects.

Errors end with the same status and begin with the same words; where ours then name the file and the line, docker
compose's do not.
"""

import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.compose.cases import DIR, Answer, Case, cases, in_place
from tests.support.wharfd import ROOT
from wharf.cli.compose import compose
from wharf.cli.session import Session
from wharf.errors import WharfError

_LOG = re.compile(r'time="[^"]*" level=warning msg="((?:[^"\\]|\\.)*)"')
_PLACE = re.compile(r" \([^()\n]*:[0-9]+\)$")


# Go's maps have no order: these are lists of names in any order.
_UNORDERED = {"--services", "--volumes", "--networks", "--images", "--models", "--variables"}
DIFFERENT = {
    ("build-full", "config --format json"): "docker compose cannot write an ssh key with a path as JSON; we can",
    ("yaml-list", "config"): "docker compose names a Go type; we say that a mapping is needed",
}


class _Capture(Session):
    def __init__(self) -> None:
        super().__init__()
        self.out = ""
        self.err = ""

    def write(self, text: str) -> None:
        self.out += text

    def complain(self, text: str) -> None:
        self.err += text + "\n"


def _answer(command: list[str]) -> tuple[int, str, str]:
    session = _Capture()
    try:
        status = compose(session, command)
    except WharfError as error:
        session.complain(error.message)
        status = int(getattr(error, "status", 1))
    return status, session.out, session.err


def _warnings(text: str) -> list[str]:
    return sorted(found.encode().decode("unicode_escape") for found in set(_LOG.findall(text)))


def _said(text: str) -> tuple[list[str], str]:
    lines = text.splitlines()
    warnings = sorted({line.removeprefix("WARN: ") for line in lines if line.startswith("WARN: ")})
    return warnings, "\n".join(line for line in lines if not line.startswith("WARN: "))


def _sorted(answer: Answer) -> Answer:
    return replace(answer, stdout="".join(sorted(answer.stdout.splitlines(True))))


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.path.name)
def test_config_is_docker_composes(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    with in_place(case) as placed, monkeypatch.context() as patch:
        patch.chdir(placed.path)
        for name in list(os.environ):
            patch.delenv(name)
        for name, value in placed.environment.items():
            patch.setenv(name, value)
        for command, expected in zip(placed.commands, placed.expected, strict=True):
            if (placed.path.name.partition("-")[2], expected.command) not in DIFFERENT:
                _compare(str(placed.path), command, expected)


def _compare(place: str, command: list[str], expected: Answer) -> None:
    status, out, err = _answer(command)
    if _UNORDERED & set(command):
        out, expected = "".join(sorted(out.splitlines(True))), _sorted(expected)
    warnings, message = _said(err.replace(place, DIR))
    assert (status != 0) == (expected.status != 0), f"{expected.command}: {message}\nexpected: {expected.stderr}"
    assert out.replace(place, DIR) == expected.stdout, expected.command
    wanted = _LOG.sub("", expected.stderr).strip()
    assert _PLACE.sub("", message) == wanted, expected.command
    assert warnings == _warnings(expected.stderr), expected.command


def test_there_are_a_hundred_projects() -> None:
    assert len(cases()) >= 100
    assert all((case.path / "expected.json").exists() for case in cases())
    assert Path(DIR).name == DIR


def test_a_file_on_standard_input_and_one_above(tmp_path: Path) -> None:
    """`-f -`; without -f, the first that is found on the way up."""
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "compose.yaml").write_text("services: {above: {image: x}}\n")
    wharf = [str(ROOT / ".venv/bin/wharf"), "compose"]

    def services(*words: str) -> str:
        fed = "services: {fed: {image: x}}\n"
        return subprocess.run([*wharf, *words], cwd=tmp_path / "a/b", input=fed, capture_output=True, text=True,
                              check=True).stdout  # fmt: skip

    assert services("config", "--services") == "above\n"
    assert services("-f", "-", "config", "--services") == "fed\n"
    assert services("-f", "-", "-f", "../../compose.yaml", "config", "--services") == "above\nfed\n"
