"""`wharf debug` beside a container without tools; completion in bash and from the daemon."""

import io
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.registry import ROOT
from tests.support.wharfd import Wharfd

WHARF = str(ROOT / ".venv/bin/wharf")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wharfd]:
    """A daemon with `bare`, a container of an image that holds one program and no shell."""
    archive = tmp_path_factory.mktemp("bare") / "bare.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add("/bin/busybox", "sleep")
        entry = tarfile.TarInfo("marker")
        entry.size = 6
        tar.addfile(entry, io.BytesIO(b"found\n"))
    with Wharfd() as running:
        running.load_busybox()
        running.docker("import", str(archive), "bare")
        running.docker("run", "-d", "--name", "bare", "--hostname", "barehost", "bare", "/sleep", "1000")
        yield running


def wharf(daemon: Wharfd, *arguments: str, feed: str = "") -> subprocess.CompletedProcess[str]:
    command = [WHARF, "-H", daemon.host, *arguments]
    return subprocess.run(command, env=daemon.environment, input=feed, capture_output=True, text=True, check=False)


def test_a_shell_beside_a_container_that_has_none(daemon: Wharfd) -> None:
    assert daemon.docker("exec", "bare", "sh", check=False).returncode == 127
    out = wharf(daemon, "debug", "bare", feed="cat marker; cat /target/marker; ps -o args; ip -o -4 addr\n")
    assert out.returncode == 0, out.stderr
    address = daemon.docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "bare").stdout.strip()
    assert out.stdout.count("found\n") == 2 and "/sleep 1000" in out.stdout and address in out.stdout
    assert daemon.docker("ps", "-aq").stdout.count("\n") == 1, "what debug made is still there"


def test_a_command_and_its_status(daemon: Wharfd) -> None:
    out = wharf(daemon, "debug", "bare", "sh", "-c", "echo changed > /target/marker; exit 7")
    assert out.returncode == 7
    assert "changed" in wharf(daemon, "debug", "bare", "cat", "/target/marker").stdout


def test_what_cannot_be_debugged(daemon: Wharfd) -> None:
    daemon.docker("create", "--name", "still", "busybox", "true")
    out = wharf(daemon, "debug", "still")
    assert out.returncode == 1 and "is not running" in out.stderr
    assert "No such container" in wharf(daemon, "debug", "nothing").stderr
    daemon.docker("rm", "still")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["ru"], ["run"]),
        (["volume", "cr"], ["create"]),
        (["run", "--gp"], ["--gpus"]),
        (["stop", "b"], ["bare"]),
        (["rmi", "bu"], ["busybox:latest"]),
        (["network", "inspect", "ho"], ["host"]),
        (["nonsense", ""], []),
        (["--tlsv"], ["--tlsverify"]),
    ],
)
def test_candidates(daemon: Wharfd, words: list[str], found: list[str]) -> None:
    assert wharf(daemon, "__complete", *words).stdout.split() == found


def test_nobody_answers(tmp_path: Path) -> None:
    command = [WHARF, "-H", f"unix://{tmp_path}/none", "__complete", "stop", ""]
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (out.returncode, out.stdout, out.stderr) == (0, "", "")


def test_bash(daemon: Wharfd) -> None:
    script = (
        f"export PATH={ROOT}/.venv/bin:$PATH; source <(wharf completion bash); "
        'COMP_WORDS=(wharf stop ba) COMP_CWORD=2; _wharf; printf "%s\n" "${COMPREPLY[@]}"; complete -p wharf'
    )
    out = subprocess.run(["bash", "-c", script], env=daemon.environment, capture_output=True, text=True, check=True)
    assert out.stdout.splitlines() == ["bare", "complete -o default -F _wharf wharf"]


def test_every_shell_has_a_script(daemon: Wharfd) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "wharf __complete" in wharf(daemon, "completion", shell).stdout
    assert wharf(daemon, "completion", "tcsh").returncode == 1
