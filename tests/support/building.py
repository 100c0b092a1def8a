"""What tests of builds share: a context on disk, and `wharf build` on it."""

import subprocess
import tarfile
from pathlib import Path

from tests.support.wharfd import ROOT, Wharfd

WHARF = str(ROOT / ".venv/bin/wharf")


def wharf(
    daemon: Wharfd, *words: str, feed: bytes = b"", check: bool = True, **more: str
) -> subprocess.CompletedProcess[str]:
    """`wharf …` against a daemon; `more` are variables of its environment. Raises AssertionError with its words."""
    done = subprocess.run(
        [WHARF, *words], env={**daemon.environment, **more}, input=feed, capture_output=True, check=False, timeout=240
    )
    out = subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    )
    assert not check or out.returncode == 0, f"{out.stdout}\n{out.stderr}\n{daemon.log()}"
    return out


def write(root: Path, files: dict[str, str]) -> Path:
    """A directory with these files."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def build(daemon: Wharfd, root: Path, *flags: str, check: bool = True) -> str:
    """`wharf build` of a directory; what it printed."""
    done = wharf(daemon, "build", *flags, str(root), check=check)
    return done.stdout + done.stderr


def inside(daemon: Wharfd, image: str, command: str) -> str:
    """What a command in a container of the image prints."""
    return daemon.docker("run", "--rm", "--network", "none", image, "sh", "-c", command).stdout


def names_in(path: Path) -> list[str]:
    """The names of an archive."""
    with tarfile.open(path) as archive:
        return archive.getnames()
