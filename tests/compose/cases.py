"""The projects of `tests/compose/config`: what is asked of each, and what docker compose answered.

A project is a directory. `commands` (optional) has a command line a line, else it is `config`; `environment` (optional)
has variables; `expected.json` is what `python -m tests.compose.record` wrote. Paths beneath the project's directory are
recorded as `<DIR>`. Hashes and paths that lead out of the project depend on where it lies: it is asked in a copy at one
place, the same on every machine.
"""

import contextlib
import json
import shlex
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

CONFIG = Path(__file__).parent / "config"
DIR = "<DIR>"
PLACE = Path("/tmp/compose-cases")
WAIT_SECONDS = 60.0


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


@contextlib.contextmanager
def in_place(case: Case) -> Iterator[Case]:
    """The project copied to its place; one test of it at a time on a machine, by a name that ends with the process."""
    path = PLACE / case.path.name
    with socket.socket(socket.AF_UNIX) as lock:
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                lock.bind(f"\0{path}")
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        shutil.rmtree(path, ignore_errors=True)
        while not path.exists():
            with contextlib.suppress(FileNotFoundError):  # another test has just removed PLACE, which was empty
                path.mkdir(parents=True)
        shutil.copytree(case.path, path, symlinks=True, dirs_exist_ok=True)
        try:
            yield replace(case, path=path)
        finally:
            shutil.rmtree(path)
            with contextlib.suppress(OSError):  # others are there
                PLACE.rmdir()


def cases() -> list[Case]:
    """All projects, by name."""
    return [Case(path) for path in sorted(CONFIG.iterdir()) if path.is_dir()]
