"""What a table of lines cannot show: terminals, standard input, signals, detaching, files, a private daemon."""

import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Callable
from fcntl import ioctl
from pathlib import Path
from struct import pack
from termios import TIOCSWINSZ

import pytest

from tests.support.busybox import docker_archive
from tests.support.wharfd import ROOT, Wharfd
from tests.system.cli.conftest import WHARF, Run

SECONDS = 20
Step = tuple[bytes, bytes | Callable[[int, int], None]]


def _terminal(daemon: Wharfd, arguments: list[str], steps: list[Step]) -> tuple[int, bytes]:
    """Runs `wharf` on a terminal of 33 by 99; each step waits for a text, then types or acts. (status, output)"""
    process, terminal = pty.fork()
    if process == 0:
        os.execve(WHARF, [WHARF, *arguments], daemon.environment)
    ioctl(terminal, TIOCSWINSZ, pack("HHHH", 33, 99, 0, 0))
    seen, mark, left = b"", 0, list(steps)
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                data = os.read(terminal, 65536)
            except OSError:
                break
            seen += data
        if left and left[0][0] in seen[mark:]:
            mark = seen.index(left[0][0], mark) + len(left[0][0])
            action = left.pop(0)[1]
            if isinstance(action, bytes):
                os.write(terminal, action)
            else:
                action(terminal, process)
    else:
        os.kill(process, signal.SIGKILL)
    os.close(terminal)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert not left, f"waited in vain for {left[0][0]!r} in {seen!r}"
    return status, seen


def _resize(terminal: int, process: int) -> None:
    ioctl(terminal, TIOCSWINSZ, pack("HHHH", 44, 88, 0, 0))
    time.sleep(0.3)  # the signal, the request and the container's terminal have no event to wait for
    os.write(terminal, b"stty size\n")


def test_a_terminal_has_its_size_and_follows_its_window(daemon: Wharfd) -> None:
    steps: list[Step] = [(b"# ", b"stty size\n"), (b"33 99", _resize), (b"44 88", b"exit 5\n")]
    status, _ = _terminal(daemon, ["run", "--rm", "-it", "--network", "none", "busybox", "sh"], steps)
    assert status == 5


def test_detaching_leaves_the_container_running_and_attach_finds_it(daemon: Wharfd, wharf: Run) -> None:
    run = ["run", "-it", "--name", "kept", "--network", "none", "busybox", "sh"]
    assert _terminal(daemon, run, [(b"# ", b"\x10\x11")])[0] == 0
    assert wharf("inspect", "-f", "{{.State.Running}}", "kept").stdout == "true\n"
    assert _terminal(daemon, ["attach", "kept"], [(b"", b"\n"), (b"# ", b"exit 6\n")])[0] == 6
    assert _terminal(daemon, ["start", "-ai", "kept"], [(b"# ", b"exit 3\n")])[0] == 3
    assert wharf("rm", "kept").returncode == 0


def test_exec_on_a_terminal(daemon: Wharfd) -> None:
    steps: list[Step] = [(b"# ", b"stty size\n"), (b"33 99", b"exit 2\n")]
    assert _terminal(daemon, ["exec", "-it", "web", "sh"], steps)[0] == 2


def test_standard_input_ends_and_output_still_comes(wharf: Run) -> None:
    done = wharf("run", "--rm", "-i", "--network", "none", "busybox", "sh", "-c", "cat; echo end", feed="a\nb\n")
    assert (done.returncode, done.stdout) == (0, "a\nb\nend\n")


@pytest.mark.parametrize("verb", [["run", "--rm", "-i", "--network", "none", "busybox"], ["exec", "-i", "web"]])
def test_much_data_comes_back_unchanged(daemon: Wharfd, verb: list[str]) -> None:
    data = os.urandom(3_000_000)
    done = subprocess.run([WHARF, *verb, "cat"], input=data, env=daemon.environment, capture_output=True, timeout=60)
    assert done.returncode == 0
    assert done.stdout == data


def test_signals_reach_the_container_and_its_status_comes_back(daemon: Wharfd) -> None:
    script = 'trap "echo caught; exit 9" TERM; echo ready; while :; do sleep 0.05; done'
    command = [WHARF, "run", "--rm", "--network", "none", "busybox", "sh", "-c", script]
    with subprocess.Popen(command, env=daemon.environment, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=SECONDS)[0] == b"caught\n"
        assert process.returncode == 9


def test_logs_follow_until_the_end(wharf: Run) -> None:
    script = "for i in 1 2 3; do echo $i; sleep 0.1; done"
    assert wharf("run", "-d", "--name", "counts", "--network", "none", "busybox", "sh", "-c", script).returncode == 0
    assert wharf("logs", "-f", "counts").stdout == "1\n2\n3\n"
    assert wharf("wait", "counts").stdout == "0\n"
    assert wharf("rm", "counts").stdout == "counts\n"


def test_files_go_in_and_come_out(wharf: Run, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "inner").mkdir(parents=True)
    (source / "file").write_text("text")
    (source / "file").chmod(0o640)
    (source / "inner/deep").write_bytes(os.urandom(300_000))
    (source / "link").symlink_to("file")
    assert wharf("cp", str(source), "web:/tmp/copied").returncode == 0
    assert wharf("cp", f"{source}/.", "web:/tmp/copied").returncode == 0
    assert wharf("cp", f"{source}/file", "web:/tmp/renamed").returncode == 0
    assert wharf("exec", "web", "cat", "/tmp/renamed").stdout == "text"
    assert wharf("cp", "web:/tmp/copied", str(tmp_path / "back")).returncode == 0
    back = tmp_path / "back"
    assert (back / "inner/deep").read_bytes() == (source / "inner/deep").read_bytes()
    assert (back / "file").stat().st_mode & 0o777 == 0o640
    assert os.readlink(back / "link") == "file"
    assert wharf("exec", "web", "rm", "-r", "/tmp/copied", "/tmp/renamed").returncode == 0


def test_a_copy_out_does_not_follow_a_link_out_of_its_target(wharf: Run, tmp_path: Path) -> None:
    """The archive of a hostile container may hold `x -> /somewhere` and then `x/file`."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "target/tree").mkdir(parents=True)
    (tmp_path / "target/tree/x").symlink_to(outside)
    assert wharf("exec", "web", "sh", "-c", "mkdir -p /tmp/tree/x && echo bad > /tmp/tree/x/file").returncode == 0
    done = wharf("cp", "web:/tmp/tree", str(tmp_path / "target"))
    assert done.returncode == 1
    assert "a symbolic link leads elsewhere" in done.stderr
    assert list(outside.iterdir()) == []
    assert wharf("exec", "web", "rm", "-r", "/tmp/tree").returncode == 0


def test_commit_save_load_and_remove(wharf: Run, tmp_path: Path) -> None:
    assert wharf("run", "--name", "made", "--network", "none", "busybox", "touch", "/made").returncode == 0
    made = wharf("commit", "-m", "x", "-c", 'CMD ["ls", "/made"]', "made", "mine:1")
    assert made.stdout.startswith("sha256:")
    assert wharf("rm", "made").returncode == 0
    archive = tmp_path / "mine.tar"
    assert wharf("save", "-o", str(archive), "mine:1").returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["mine.tar"]
    assert "Untagged: mine:1" in wharf("rmi", "mine:1").stdout
    assert wharf("load", "-i", str(archive)).stdout == "Loaded image: mine:1\n"
    assert wharf("run", "--rm", "--network", "none", "mine:1").stdout == "/made\n"
    assert wharf("rmi", "mine:1").returncode == 0


def test_what_only_wharf_has_says_so_elsewhere(daemon: Wharfd, wharf: Run, tmp_path: Path) -> None:
    assert "give busybox or debian:SUITE" in wharf("image", "bootstrap", "nonsense").stderr
    done = wharf("-H", f"unix://{tmp_path}/none", "ps")
    assert (done.returncode, "Is wharfd running?" in done.stderr) == (1, True)
    assert wharf("buildx", "ls").stderr == "wharf: 'buildx' is not there yet\n"


def test_a_private_daemon_is_started_where_none_was_named(tmp_path: Path) -> None:
    """In a mount and network namespace of its own, where the default places are empty."""
    (tmp_path / "busybox.tar").write_bytes(docker_archive("busybox:latest"))
    script = f"""
        ip link set lo up; mount -t tmpfs none /run; mount -t tmpfs none /var/lib
        {WHARF} load -i {tmp_path}/busybox.tar && {WHARF} run --rm --network none busybox echo works
        kill $(cat /run/wharf/wharfd.pid) && tail --pid=$(cat /run/wharf/wharfd.pid) -f /dev/null
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
    done = subprocess.run(
        ["unshare", "-m", "-n", "sh", "-c", script],
        env={**environment, "DOCKER_CONFIG": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert "works" in done.stdout, done.stderr
    assert done.stderr.count("no daemon answers at unix:///run/wharf/wharf.sock: starting a private one") == 1
