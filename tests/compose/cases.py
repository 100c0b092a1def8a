"""The projects of `tests/compose/config`: what is asked of each, and what docker compose answered.

A project is a directory. `commands` (optional) has a command line a line, else it is `config`; `environment` (optional)
has variables; `expected.json` is what `python -m tests.compose.record` wrote. Paths beneath the project's directory are
recorded as `<DIR>`.
"""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

CONFIG = Path(__file__).parent / "config"
DIR = "<DIR>"


@dataclass(frozen=True)
class Answer:
    """What a command line printed, and its exit status."""

    command: str
    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Case:
    """One project."""

    path: Path

    @property
    def commands(self) -> list[list[str]]:
        """The command lines."""
        file = self.path / "commands"
        lines = file.read_text().splitlines() if file.exists() else ["config"]
        return [shlex.split(line) for line in lines if line.strip()]

    @property
    def environment(self) -> dict[str, str]:
        """The variables of the process, and nothing else but PATH and HOME."""
        file = self.path / "environment"
        lines = file.read_text().splitlines() if file.exists() else []
        own = dict(line.split("=", 1) for line in lines if "=" in line)
        return {"PATH": "/usr/bin:/bin", "HOME": "/home/of-nobody", "PWD": str(self.path), **own}

    @property
    def expected(self) -> list[Answer]:
        """What was recorded."""
        return [Answer(**item) for item in json.loads((self.path / "expected.json").read_text())]


def cases() -> list[Case]:
    """All projects, by name."""
    return [Case(path) for path in sorted(CONFIG.iterdir()) if path.is_dir()]
