"""Upgrade in place: a new wharfd takes over what the release before has started, and so does a new interpreter."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.wharfd import ROOT, Wharfd

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("upgrade")]
PREVIOUS = "a9dab3ab5e3f7f51578a011cb4925bc7324b63b6"
"""The last commit of the release before this one."""
BOOT = "import sys; sys.path[:0] = {paths!r}; sys.argv[0] = 'wharfd'; from wharf.daemon import main; sys.exit(main())"


def program(source: Path, interpreter: str = sys.executable) -> list[str]:
    """The command of a wharfd with other code, or another interpreter."""
    packages = next((ROOT / ".venv/lib").glob("python3*/site-packages"))
    return [interpreter, "-c", BOOT.format(paths=[str(source), str(packages)])]


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    """The sources of the release before."""
    asked = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--is-shallow-repository"], capture_output=True, text=True, check=False
    )
    if asked.stdout.strip() != "false":
        pytest.skip(f"the release before, {PREVIOUS}, is not here: a shallow clone (`git fetch --unshallow`), or none")
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", PREVIOUS, "src"], capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", str(tmp_path)], input=archive.stdout, check=True)
    return tmp_path / "src"


@pytest.fixture
def daemon() -> Iterator[Wharfd]:
    made = Wharfd()
    yield made
    made.__exit__(None, None, None)


def start(daemon: Wharfd, command: list[str]) -> None:
    daemon.program = command
    if daemon.holder is None:
        daemon.__enter__()
    else:
        daemon.start()


def begin(daemon: Wharfd) -> str:
    daemon.load_busybox()
    script = (
        "echo hello > /www/index.html; echo first; httpd -h /www; trap 'exit 7' USR1; while true; do sleep 0.1; done"
    )
    flags = ("--name", "web", "-p", "18055:80", "-v", "kept:/www")
    daemon.docker("run", "-d", *flags, "busybox", "sh", "-c", script)
    daemon.docker("run", "-d", "--name", "ends", "--restart", "always", "--network", "none", "busybox", "sleep", "0.2")
    daemon.docker("create", "--name", "idle", "busybox", "echo", "idle")
    for name, flag in (("ice", "-i"), ("term", "-t"), ("lost", "-i")):
        daemon.docker("run", "-d", flag, "--name", name, "--network", "none", "busybox", "sleep", "1000")
    daemon.docker("pause", "ice")
    return daemon.docker("inspect", "-f", "{{.State.Pid}} {{.State.StartedAt}}", "web").stdout


def finish(daemon: Wharfd, before: str) -> None:
    """What ran goes on, and everything can be done with it."""
    assert daemon.docker("inspect", "-f", "{{.State.Pid}} {{.State.StartedAt}}", "web").stdout == before
    fetched = subprocess.run(
        [*daemon.enter, "busybox", "wget", "-qO-", "http://127.0.0.1:18055/index.html"], capture_output=True, check=True
    )
    assert fetched.stdout == b"hello\n"
    assert daemon.docker("exec", "web", "cat", "/www/index.html").stdout == "hello\n"
    assert daemon.docker("logs", "web").stdout == "first\n"
    assert daemon.docker("start", "-a", "idle").stdout == "idle\n"
    finish_others(daemon)
    daemon.docker("kill", "-s", "USR1", "web")
    assert daemon.docker("wait", "web").stdout == "7\n"
    assert daemon.docker("run", "--rm", "-p", "18055:80", "busybox", "echo", "new").stdout == "new\n"
    daemon.docker("start", "web")
    assert daemon.docker("inspect", "-f", "{{.State.Running}}", "web").stdout == "true\n"


def finish_others(daemon: Wharfd) -> None:
    """What is paused, what has a terminal, and what loses its monitor now."""
    state = ("inspect", "-f", "{{.State.Status}}")
    assert daemon.docker(*state, "ice").stdout == "paused\n"
    daemon.docker("unpause", "ice")
    assert daemon.docker("exec", "ice", "echo", "thawed").stdout == "thawed\n"
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(daemon.socket)
        client.sendall(b"POST /containers/term/resize?h=33&w=44 HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 200"
    assert daemon.docker("exec", "term", "stty", "-F", "/proc/1/fd/0", "size").stdout == "33 44\n"
    identity = daemon.docker("inspect", "-f", "{{.Id}}", "lost").stdout.strip()
    recorded = json.loads(Path(f"{daemon.root}/exec/monitors/{identity}/init.json").read_text())
    os.kill(recorded["monitor"], signal.SIGKILL)
    assert daemon.docker("wait", "lost").stdout == "137\n"
    daemon.docker("start", "lost")
    assert daemon.docker(*state, "lost").stdout == "running\n"


def test_a_new_wharfd_takes_over_what_the_release_before_started(daemon: Wharfd, previous: Path) -> None:
    start(daemon, program(previous))
    version = daemon.docker("version", "-f", "{{.Server.Version}}").stdout
    before = begin(daemon)
    daemon.kill()
    start(daemon, [str(ROOT / ".venv/bin/wharfd")])
    assert version
    finish(daemon, before)


def test_an_interpreter_that_is_replaced_on_disk(daemon: Wharfd, tmp_path: Path) -> None:
    """As a package upgrade does: by a rename over the file that runs."""
    real = os.path.realpath(sys.executable)
    interpreter = tmp_path / "python3"
    shutil.copy2(real, interpreter)
    start(daemon, program(ROOT / "src", str(interpreter)))
    before = begin(daemon)
    shutil.copy2(real, tmp_path / "new")
    os.rename(tmp_path / "new", interpreter)
    assert daemon.docker("run", "--rm", "busybox", "echo", "still").stdout == "still\n"
    assert daemon.docker("exec", "web", "echo", "here").stdout == "here\n"
    daemon.kill()
    start(daemon, program(ROOT / "src", str(interpreter)))
    finish(daemon, before)
