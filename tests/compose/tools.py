"""`wharf compose` and the unmodified docker compose on one engine, for one project.

The latter is the distribution's, from its newest suite, unpacked without being installed.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.support.wharfd import ROOT, Wharfd

PROJECT = "label=com.docker.compose.project="


def docker_compose() -> str:
    """The binary that set-up unpacked; DOCKER_COMPOSE names another. Skips aloud when there is none."""
    places = [ROOT / ".cache/docker-client", *map(Path, ("/usr/local", "/"))]
    binaries = [place / "usr/libexec/docker/cli-plugins/docker-compose" for place in places]
    unpacked = next((str(path) for path in binaries if path.exists()), "")
    found = os.environ.get("DOCKER_COMPOSE") or unpacked or shutil.which("docker-compose") or ""
    if not found:
        pytest.skip("NO DOCKER COMPOSE: the distribution's newest suite could not be reached; set DOCKER_COMPOSE")
    return found


class Tools:
    """Both, in a project's directory."""

    def __init__(self, daemon: Wharfd, place: Path) -> None:
        self._daemon = daemon
        self._place = place
        self._commands = {"wharf": [str(ROOT / ".venv/bin/wharf"), "compose"], "docker": [docker_compose()]}

    def ask(self, tool: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs one of them, however it ends."""
        command = [*self._daemon.enter, *self._commands[tool], *words]
        environment = {**self._daemon.environment, "PID": str(os.getpid() % 10000), "DOCKER_BUILDKIT": "0"}
        return subprocess.run(command, cwd=self._place, env=environment, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, check=False)  # fmt: skip

    def run(self, tool: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs one of them; raises AssertionError when it fails."""
        out = self.ask(tool, *words)
        assert out.returncode == 0, f"{tool} {words}: {out.stderr}\n{self._daemon.log()}"
        return out

    def containers(self) -> list[dict[str, Any]]:
        """The project's containers, as the engine inspects them."""
        return self._inspected(("ps", "-aq"), "container")

    def networks(self) -> list[dict[str, Any]]:
        """Its networks."""
        return self._inspected(("network", "ls", "-q"), "network")

    def volumes(self) -> list[dict[str, Any]]:
        """Its volumes."""
        return self._inspected(("volume", "ls", "-q"), "volume")

    def left(self) -> list[str]:
        """Names of all that there is of the project."""
        return [str(item["Name"]) for item in (*self.containers(), *self.networks(), *self.volumes())]

    def _inspected(self, listing: Iterable[str], kind: str) -> list[dict[str, Any]]:
        ids = self._daemon.docker(*listing, "--filter", f"{PROJECT}{self._place.name}").stdout.split()
        if not ids:
            return []
        found: list[dict[str, Any]] = json.loads(self._daemon.docker("inspect", "--type", kind, *ids).stdout)
        return sorted(found, key=lambda item: str(item["Name"]))


class Place:
    """A project's directory, and `wharf compose` in it."""

    def __init__(self, daemon: Wharfd, path: Path) -> None:
        self.path = path
        self.environment = {**daemon.environment, "PATH": f"{path}/bin:{os.environ['PATH']}"}

    @property
    def project(self) -> str:
        """The name that the directory gives."""
        return re.sub("[^a-z0-9_-]", "", self.path.name.lower()).lstrip("_-")

    def compose(self, *words: str, status: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Runs it; raises AssertionError for another status; None is for any."""
        command = [str(ROOT / ".venv/bin/wharf"), "compose", *words]
        out = subprocess.run(command, cwd=self.path, env=self.environment, capture_output=True, text=True,
                             stdin=subprocess.DEVNULL, check=False, timeout=120)  # fmt: skip
        assert status in (None, out.returncode), f"{words}: {out.returncode}\n{out.stdout}\n{out.stderr}"
        return out

    def wharf(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs `wharf`; raises CalledProcessError when it fails."""
        command = [str(ROOT / ".venv/bin/wharf"), *words]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True)

    def write(self, text: str, name: str = "compose.yaml") -> None:
        """A file."""
        path = self.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
