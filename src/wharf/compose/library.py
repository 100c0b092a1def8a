"""What a project needs when Python calls it: an engine by its address, builds by the `wharf` command beside us."""

import os
import subprocess
import sys
from collections.abc import Callable

from wharf.client import address as addresses
from wharf.compose.engine import Engine
from wharf.compose.images import Surroundings
from wharf.compose.project import Project
from wharf.errors import WharfError


def surroundings(host: str, report: Callable[[str, str], None] | None) -> Surroundings:
    """The engine at `host`, or the one that DOCKER_HOST or the current context names."""
    found = addresses.find(host, "", "")
    around = Surroundings(Engine(found), build=lambda project, name: _build(project, name, str(found)))
    if report is not None:
        around.report = report
    return around


def _build(project: Project, name: str, host: str) -> None:
    """`wharf compose build` of one service, in a process of its own: the command is exec'ed, never imported."""
    files = [word for path in project.files for word in ("-f", path)]
    command = [sys.executable, "-m", "wharf.cli.main", "compose", *files, "-p", project.name,
               "--project-directory", project.directory, "build", "--quiet", name]  # fmt: skip
    environment = {**os.environ, **project.environment, "DOCKER_HOST": host}
    out = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if out.returncode:
        raise WharfError(f"failed to build service {name}: {out.stderr.strip()}")
