"""wharfd as a service: sockets passed to it, SIGHUP, --validate."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.wharfd import ROOT, Wharfd
from wharf.daemonconfig import read_settings

PASS = "import os,sys; os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid())); "
PASS += "os.execv(sys.argv[2], sys.argv[2:])"
WAIT = 20.0


@pytest.fixture
def configured() -> Iterator[tuple[Wharfd, Path]]:
    daemon = Wharfd("-l", "info", "--config-file", "placeholder")
    file = Path(daemon.root) / "daemon.json"
    file.write_text(json.dumps({"labels": ["a=1"], "shutdown-timeout": 3}))
    daemon.flags = ("--config-file", str(file))
    with daemon:
        yield daemon, file


def hang_up(daemon: Wharfd, word: str) -> None:
    """SIGHUP, and the line of the log that answers it."""
    assert daemon.process
    before = daemon.log().count(word)
    daemon.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + WAIT
    while daemon.log().count(word) == before:
        assert time.monotonic() < deadline, daemon.log()
        time.sleep(0.01)


def test_reload(configured: tuple[Wharfd, Path]) -> None:
    daemon, file = configured
    file.write_text(
        json.dumps({"labels": ["b=2"], "debug": True, "runtimes": {"o": {"path": "/o"}}, "bip": "10.9.0.1/24"})
    )
    hang_up(daemon, "reload: bip changes with the next start only")
    told = json.loads(daemon.docker("info", "-f", "{{json .}}").stdout)
    assert (told["Labels"], told["Debug"], set(told["Runtimes"])) == (["b=2"], True, {"o", "runc"})
    assert "reloaded: labels is ['b=2'], was ['a=1']" in daemon.log()
    now = f"{time.time():.9f}"
    seen = daemon.docker("events", "--since", "1", "--until", now, "--filter", "type=daemon", "--format", "{{json .}}")
    event = json.loads(seen.stdout.splitlines()[-1])
    assert event["Action"] == "reload" and event["Actor"]["Attributes"]["labels"] == "b=2"


def test_containers_outlive_the_daemon(configured: tuple[Wharfd, Path]) -> None:
    """SIGTERM: they run on, and the next daemon has them; with `live-restore` false they are stopped."""
    daemon, file = configured
    daemon.load_busybox()
    assert daemon.docker("info", "-f", "{{.LiveRestoreEnabled}}").stdout == "true\n"
    script = "while :; do echo tick; sleep 0.2; done"
    daemon.docker("run", "-d", "--name", "lives", "-p", "127.0.0.1::80", "busybox", "sh", "-c", script)
    port = daemon.docker("port", "lives").stdout
    before = json.loads(daemon.docker("inspect", "lives").stdout)[0]["State"]
    daemon.stop()
    assert os.path.exists(f"/proc/{before['Pid']}")
    daemon.start()
    after = json.loads(daemon.docker("inspect", "lives").stdout)[0]["State"]
    assert (after["Running"], after["Pid"], after["StartedAt"]) == (True, before["Pid"], before["StartedAt"])
    assert daemon.docker("exec", "lives", "echo", "still").stdout == "still\n"
    assert daemon.docker("port", "lives").stdout == port
    file.write_text('{"live-restore": false}')
    hang_up(daemon, "reloaded: live-restore is False")
    daemon.stop()
    assert not os.path.exists(f"/proc/{before['Pid']}")
    daemon.start()
    assert json.loads(daemon.docker("inspect", "lives").stdout)[0]["State"]["Status"] == "exited"


def test_live_restore_is_how_it_is_unless_told_otherwise(tmp_path: Path) -> None:
    file = tmp_path / "daemon.json"
    file.write_text("{}")
    at = ["--config-file", str(file)]
    assert read_settings(at).live_restore and read_settings([*at, "--live-restore"]).live_restore
    assert not read_settings([*at, "--live-restore=false"]).live_restore
    file.write_text('{"live-restore": false}')
    assert not read_settings(at).live_restore


def test_a_broken_file_changes_nothing(configured: tuple[Wharfd, Path]) -> None:
    daemon, file = configured
    file.write_text('{"labels": 3}')
    hang_up(daemon, "labels has the wrong type")
    assert daemon.docker("info", "-f", "{{json .Labels}}").stdout == '["a=1"]\n'


def test_sockets_passed_by_the_service_manager(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as passed, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        passed.bind(path)
        passed.listen()
        notify.bind(str(tmp_path / "n"))
        notify.settimeout(WAIT)
        places = ["--data-root", f"{tmp_path}/d", "--exec-root", f"{tmp_path}/e", "-p", f"{tmp_path}/p"]
        command = ["python3", "-c", PASS, str(passed.fileno()), str(ROOT / ".venv/bin/wharfd"), "-H", "fd://", *places]
        daemon = subprocess.Popen(
            ["unshare", "-n", *command],
            pass_fds=[passed.fileno()],
            env={**os.environ, "NOTIFY_SOCKET": f"{tmp_path}/n"},
        )
        try:
            assert notify.recv(100) == b"READY=1"
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
                client.sendall(b"GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
                assert client.recv(64).startswith(b"HTTP/1.1 200")
        finally:
            daemon.terminate()
            assert daemon.wait(30) == 0
        assert os.path.exists(path), "the socket is its maker's: the next start gets it again"


def test_validate(tmp_path: Path) -> None:
    file = tmp_path / "daemon.json"
    command = [str(ROOT / ".venv/bin/wharfd"), "--validate", "--config-file", str(file)]
    file.write_text('{"debug": true}')
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "configuration OK\n")
    file.write_text('{"nonsense": true}')
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "nonsense" in done.stderr
