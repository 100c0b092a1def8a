"""Each case gives the image that Docker's BuildKit gave: configuration, history, files with modes, owners and times.

By `docker build` without BuildKit, which sends POST /build, and by `wharf build`.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.builds.cases import Case, cases
from tests.conformance.builds.compare import problem
from tests.conformance.builds.record import NAME, RECORDING
from tests.conformance.builds.result import image_of, without_base
from tests.conformance.image import archive, find_busybox
from tests.support.wharfd import ROOT, Wharfd, newest_docker_client

CASES = {case.name: case for case in cases()}
RECORDED: dict[str, Any] = json.loads(RECORDING.read_text())["cases"]
WAYS = {"docker": [newest_docker_client(), "build"], "wharf": [str(ROOT / ".venv/bin/wharf"), "build"]}


class Builder:
    """A wharfd with the base images, and both ways to build on it."""

    def __init__(self, daemon: Wharfd) -> None:
        self.daemon = daemon
        self.environment = {**daemon.environment, "DOCKER_BUILDKIT": "0"}
        self.base = json.loads(daemon.docker("inspect", "boxed:1").stdout)[0]["RootFS"]["Layers"]

    def build(self, way: str, *words: str) -> None:
        done = subprocess.run([*WAYS[way], *words], env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def image(self, way: str, case: Case) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="conf-case-") as place:
            root = Path(place)
            flags = case.write(root)
            for file, name in case.first:
                self.build(way, "-t", name, "-f", str(root / file), str(root))
            self.build(way, "-t", NAME, *flags, str(root))
        return without_base(image_of(newest_docker_client(), self.environment, NAME), self.base)


@pytest.fixture(scope="module")
def builder() -> Iterator[Builder]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with Wharfd() as daemon, tempfile.NamedTemporaryFile(suffix=".tar") as tar:
        tar.write(archive(find_busybox()))
        tar.flush()
        daemon.docker("load", "-i", tar.name)
        yield Builder(daemon)


def _runs() -> list[object]:
    return [pytest.param(way, case.name, id=f"{case.name} by {way}") for case in CASES.values()
            for way in (("wharf",) if case.only_wharf else WAYS)]  # fmt: skip


@pytest.mark.parametrize(("way", "name"), _runs())
def test_the_image_is_dockers(way: str, name: str, builder: Builder) -> None:
    recorded, now = (text.rstrip("\n") for text in (RECORDED[name]["dockerfile"], CASES[name].dockerfile))
    assert recorded == now, "the case has changed: run `make record`"
    found = problem(CASES[name], RECORDED[name], builder.image(way, CASES[name]))
    assert not found, f"\n{found}"


def test_number_of_cases() -> None:
    assert len(CASES) >= 60 and set(CASES) == set(RECORDED)
