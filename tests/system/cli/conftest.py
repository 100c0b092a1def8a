"""One wharfd with a BusyBox image and a container `web`, and the `wharf` command to drive it."""

import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.support.wharfd import ROOT, Wharfd

WHARF = str(ROOT / ".venv/bin/wharf")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    with Wharfd() as running:
        running.load_busybox()
        running.docker(
            "run", "-d", "--name", "web", "-p", "8080:80", "-p", "9000-9002:9000-9002", "-l", "a=b", "-v", "data:/data",
            "busybox", "sh", "-c", "echo hello; echo problem >&2; exec sleep 10000",
        )  # fmt: skip
        yield running
        running.docker("rm", "-f", "-v", "web", check=False)
        running.docker("volume", "rm", "data", check=False)


@pytest.fixture
def wharf(daemon: Wharfd) -> Run:
    """`wharf(*arguments, feed=…, cwd=…)`."""

    def run(*arguments: str, feed: str | None = None, cwd: str | None = None) -> subprocess.CompletedProcess[str]:
        source = {"stdin": subprocess.DEVNULL} if feed is None else {"input": feed}
        return subprocess.run(  # type: ignore[call-overload, no-any-return]
            [WHARF, *arguments], env=daemon.environment, cwd=cwd, capture_output=True, text=True, timeout=60, **source
        )

    return run
