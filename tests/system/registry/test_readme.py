"""What the README says about registries, command by command, run as it stands there."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.registry import ROOT
from tests.support.wharfd import Wharfd

WAIT = "until (exec 3<>/dev/tcp/127.0.0.1/5000) 2>/dev/null; do sleep 0.05; done\n"
"""People do not type that fast."""


def blocks() -> list[list[str]]:
    """The shell blocks of the README that start a registry, as lists of commands."""
    found = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    return [block.strip().splitlines() for block in found if "registry serve" in block]


@pytest.fixture
def wharfd() -> Iterator[Wharfd]:
    with Wharfd() as daemon:
        daemon.load_busybox()
        yield daemon


def run(wharfd: Wharfd, commands: list[str], after: str) -> subprocess.CompletedProcess[str]:
    """Run them in a shell in the daemon's network, on a /srv of their own; then `after`."""
    lines = [f"{line}\n{WAIT}" if line.endswith("&") else f"{line}\n" for line in commands]
    ending = "status=$?; kill $(jobs -p); wait; exit $status"
    script = f"mount -t tmpfs tmpfs /srv || exit 9\nset -e\n{''.join(lines)}set +e\n{after}\n{ending}"
    return subprocess.run(
        [*wharfd.enter, "unshare", "-m", "bash", "-c", script],
        cwd=ROOT,
        env=wharfd.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_two_commands_to_a_pushed_and_pulled_image(wharfd: Wharfd) -> None:
    commands = blocks()[0]
    assert len(commands) == 2
    wharfd.docker("tag", "busybox", "127.0.0.1:5000/app")
    out = run(wharfd, commands, "test -s /srv/images/registry.db && ls /srv/images/content/blobs/sha256")
    assert out.returncode == 0, out.stderr
    digest = wharfd.docker("image", "inspect", "-f", "{{index .RepoDigests 0}}", "127.0.0.1:5000/app").stdout
    assert digest.strip().rpartition(":")[2] in out.stdout


def test_four_commands_to_a_private_repository(wharfd: Wharfd, tmp_path: Path) -> None:
    commands = blocks()[1]
    assert len(commands) == 4
    wharfd.docker("tag", "busybox", "127.0.0.1:5000/alice/app")
    stranger = f"DOCKER_CONFIG={tmp_path} .venv/bin/wharf pull 127.0.0.1:5000/alice/app && exit 8; true"
    out = run(wharfd, commands, stranger)
    assert out.returncode == 0, out.stderr
    assert "Login Succeeded" in out.stdout
    assert "pull access denied for 127.0.0.1:5000/alice/app" in out.stderr, out.stderr
