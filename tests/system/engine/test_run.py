"""Containers through the stock docker command line: codes, streams, mounts, policies."""

import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.wharfd import Wharfd, docker_client
from tests.system.api.raw import Client

pytestmark = pytest.mark.xdist_group("engine-run")
DEADLINE = 20.0


def run(daemon: Wharfd, *arguments: str, feed: str | None = None) -> subprocess.CompletedProcess[str]:
    return daemon.docker("run", "--rm", *arguments, check=False, feed=feed)


def wait_for(daemon: Wharfd, name: str, template: str, wanted: str) -> None:
    """Until inspect shows it; there is no event for what is awaited here."""
    deadline = time.monotonic() + DEADLINE
    while (seen := daemon.docker("inspect", "-f", template, name).stdout.strip()) != wanted:
        assert time.monotonic() < deadline, f"{name}: {template} is {seen!r}, not {wanted!r}"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -9 $$"], 0),  # the kernel spares a namespace's first process its own signals
        (["nosuch"], 127),
        (["/etc/passwd"], 126),
        (["/etc"], 126),
    ],
)
def test_exit_codes(daemon: Wharfd, command: list[str], code: int) -> None:
    assert run(daemon, "--network", "none", "busybox", *command).returncode == code


@pytest.mark.parametrize("network", ["none", "bridge", "host"])
def test_both_streams_arrive_whole(daemon: Wharfd, network: str) -> None:
    done = run(daemon, "--network", network, "busybox", "sh", "-c", "seq 2000; seq 2000 >&2")
    lines = "".join(f"{number}\n" for number in range(1, 2001))
    assert (done.stdout, done.stderr) == (lines, lines)


def test_stdin_is_half_closed(daemon: Wharfd) -> None:
    text = "line\n" * 20000
    assert run(
        daemon, "-i", "--network", "none", "busybox", "sh", "-c", "sort | uniq -c", feed=text
    ).stdout.split() == [
        "20000",
        "line",
    ]


def test_a_failed_start_leaves_nothing(daemon: Wharfd) -> None:
    run(daemon, "--name", "gone", "busybox", "nosuch")
    assert "gone" not in daemon.docker("ps", "-a", "--format", "{{.Names}}").stdout


def test_a_taken_port_leaves_the_state_created(daemon: Wharfd) -> None:
    daemon.docker("run", "-d", "--name", "first", "-p", "18080:80", "busybox", "sleep", "100")
    second = daemon.docker("run", "-d", "--name", "second", "-p", "18080:80", "busybox", "true", check=False)
    assert second.returncode == 125
    assert "port is already allocated" in second.stderr
    assert daemon.docker("inspect", "-f", "{{.State.Status}}", "second").stdout.strip() == "created"
    daemon.docker("rm", "-f", "first", "second")


def test_anonymous_volumes_go_with_an_auto_removed_container(daemon: Wharfd) -> None:
    before = daemon.docker("volume", "ls", "-q").stdout
    run(daemon, "-v", "/data", "busybox", "touch", "/data/x")
    assert daemon.docker("volume", "ls", "-q").stdout == before


def test_a_named_volume_keeps_its_data(daemon: Wharfd) -> None:
    run(daemon, "-v", "kept:/d", "busybox", "sh", "-c", "echo 1 > /d/f")
    assert run(daemon, "-v", "kept:/d:ro", "busybox", "cat", "/d/f").stdout == "1\n"
    refused = run(daemon, "-v", "kept:/d:ro", "busybox", "touch", "/d/g")
    assert refused.returncode == 1
    daemon.docker("volume", "rm", "kept")


def test_a_new_volume_gets_what_the_image_has(daemon: Wharfd) -> None:
    assert "passwd" in run(daemon, "-v", "copied:/etc", "busybox", "ls", "/etc").stdout
    daemon.docker("volume", "rm", "copied")


def test_a_missing_bind_source_is_made(daemon: Wharfd) -> None:
    source = f"{daemon.root}/made/here"
    run(daemon, "-v", f"{source}:/d", "busybox", "touch", "/d/x")
    assert Path(source, "x").exists()


def test_files_of_etc(daemon: Wharfd) -> None:
    out = run(daemon, "-h", "web", "--add-host", "db:1.2.3.4", "busybox", "cat", "/etc/hostname", "/etc/hosts").stdout
    assert out.startswith("web\n127.0.0.1\tlocalhost\n")
    assert "1.2.3.4\tdb\n" in out
    assert out.rstrip().endswith("\tweb")


def test_another_containers_network(daemon: Wharfd) -> None:
    daemon.docker("run", "-d", "--name", "holder", "busybox", "sleep", "100")
    address = daemon.docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "holder").stdout.strip()
    shown = run(daemon, "--network", "container:holder", "busybox", "sh", "-c", "hostname; ip addr show eth0").stdout
    assert address in shown
    assert shown.split()[0] == daemon.docker("inspect", "-f", "{{.Config.Hostname}}", "holder").stdout.strip()
    daemon.docker("rm", "-f", "holder")


def test_on_failure_restarts_as_often_as_it_says(daemon: Wharfd) -> None:
    daemon.docker("run", "-d", "--name", "again", "--restart", "on-failure:2", "busybox", "sh", "-c", "echo x; exit 3")
    wait_for(daemon, "again", "{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}}", "exited 2 3")
    assert daemon.docker("logs", "again").stdout == "x\n" * 3
    daemon.docker("rm", "again")


def test_a_restarting_container_can_be_stopped(daemon: Wharfd) -> None:
    daemon.docker("run", "-d", "--name", "loops", "--restart", "always", "busybox", "false")
    daemon.docker("stop", "-t", "0", "loops")
    count = daemon.docker("inspect", "-f", "{{.State.Status}} {{.RestartCount}}", "loops").stdout
    assert count.startswith("exited")
    daemon.docker("rm", "loops")


def test_stop_asks_first(daemon: Wharfd) -> None:
    script = 'trap "echo asked; exit 5" TERM; echo ready; while true; do sleep 0.05; done'
    daemon.docker("run", "-d", "--name", "asks", "busybox", "sh", "-c", script)
    follow_until(daemon, "asks", "ready")
    daemon.docker("stop", "-t", "10", "asks")
    assert daemon.docker("inspect", "-f", "{{.State.ExitCode}}", "asks").stdout.strip() == "5"
    assert daemon.docker("logs", "asks").stdout == "ready\nasked\n"
    daemon.docker("rm", "asks")


def follow_until(daemon: Wharfd, name: str, word: str) -> None:
    command = [docker_client(), "logs", "-f", name]
    with subprocess.Popen(command, env=daemon.environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            if word in line:
                break
        process.kill()


def test_logs_follow_to_the_end(daemon: Wharfd) -> None:
    script = "for i in 1 2 3 4 5; do echo $i; sleep 0.05; done; echo end >&2"
    daemon.docker("run", "-d", "--name", "talks", "busybox", "sh", "-c", script)
    done = daemon.docker("logs", "-f", "talks")
    assert (done.stdout, done.stderr) == ("1\n2\n3\n4\n5\n", "end\n")
    assert daemon.docker("logs", "--tail", "2", "talks").stdout == "5\n"
    stamped = daemon.docker("logs", "-t", "--tail", "1", "talks").stderr
    assert stamped.endswith("Z end\n")
    daemon.docker("rm", "talks")


def test_a_log_rotates_and_can_be_followed(daemon: Wharfd) -> None:
    options = ["--log-opt", "max-size=10k", "--log-opt", "max-file=3"]
    script = "seq 2000; until [ -e /go ]; do usleep 1000; done; i=2001; "
    script += "while [ $i -le 2400 ]; do echo $i; usleep 1000; i=$((i+1)); done"
    daemon.docker("run", "-d", "--name", "long", *options, "busybox", "sh", "-c", script)
    while daemon.docker("logs", "--tail", "1", "long").stdout != "2000\n":
        time.sleep(0.02)  # three files do not wait for who reads too slowly
    daemon.docker("exec", "-d", "long", "sh", "-c", "sleep 0.1; touch /go")
    seen = daemon.docker("logs", "-f", "long").stdout.split()
    assert seen[-1] == "2400"
    assert seen == [str(number) for number in range(int(seen[0]), 2401)]
    daemon.docker("rm", "long")


def test_attach_before_start_and_its_events(daemon: Wharfd) -> None:
    start = str(time.time())
    daemon.docker("run", "--rm", "--name", "told", "-v", "toldvol:/v", "busybox", "true")
    out = daemon.docker("events", "--since", start, "--until", str(time.time()), "--format", "{{json .}}").stdout
    names = [(event["Type"], event["Action"]) for event in map(json.loads, out.splitlines())]
    assert names == [
        ("volume", "create"), ("container", "create"), ("container", "attach"), ("volume", "mount"),
        ("network", "connect"), ("container", "start"), ("network", "disconnect"), ("volume", "unmount"),
        ("container", "die"), ("container", "destroy"),
    ]  # fmt: skip
    daemon.docker("volume", "rm", "toldvol")


def test_pause_freezes(daemon: Wharfd) -> None:
    daemon.docker("run", "-d", "--name", "ice", "busybox", "sleep", "100")
    daemon.docker("pause", "ice")
    assert daemon.docker("inspect", "-f", "{{.State.Status}}", "ice").stdout.strip() == "paused"
    refused = daemon.docker("exec", "ice", "true", check=False)
    assert "is paused, unpause the container before exec" in refused.stderr
    daemon.docker("unpause", "ice")
    daemon.docker("exec", "ice", "true")
    daemon.docker("rm", "-f", "ice")


def test_out_of_memory_is_told(daemon: Wharfd) -> None:
    eat = "head -c 200m /dev/zero | tail"
    daemon.docker("run", "--name", "eats", "-m", "16m", "busybox", "sh", "-c", eat, check=False)
    assert daemon.docker("inspect", "-f", "{{.State.OOMKilled}}", "eats").stdout.strip() == "true"
    daemon.docker("rm", "eats")


def test_exec_speaks_both_ways_and_tells_its_code(daemon: Wharfd) -> None:
    daemon.docker("run", "-d", "--name", "host", "-e", "A=1", "busybox", "sleep", "100")
    done = daemon.docker("exec", "-i", "-e", "B=2", "-w", "/etc", "host", "sh", "-c", "cat; echo $A $B $PWD; exit 9",
                         check=False, feed="in\n")  # fmt: skip
    assert (done.stdout, done.returncode) == ("in\n1 2 /etc\n", 9)
    assert daemon.docker("exec", "host", "nosuch", check=False).returncode == 127
    daemon.docker("rm", "-f", "host")


def test_a_second_daemon_may_not_have_the_same_data(daemon: Wharfd) -> None:
    command = [
        str(Path(__file__).parents[3] / ".venv/bin/wharfd"), "-H", f"unix://{daemon.root}/other",
        "--data-root", f"{daemon.root}/data", "--exec-root", f"{daemon.root}/exec2", "--pidfile", f"{daemon.root}/pid2",
    ]  # fmt: skip
    done = subprocess.run([*daemon.enter, *command], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "is in use by another daemon" in done.stderr


def test_twenty_at_once(daemon: Wharfd) -> None:
    command = [docker_client(), "run", "--rm", "busybox", "sh", "-c", "hostname; exit 4"]
    clients = [
        subprocess.Popen(command, env=daemon.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        for _ in range(20)
    ]
    names = {client.communicate()[0] for client in clients}
    assert len(names) == 20
    assert {client.returncode for client in clients} == {4}
    assert not daemon.docker("ps", "-aq").stdout
    assert not os.listdir(f"{daemon.root}/exec/monitors")


def test_a_pause_behind_a_kill_does_not_keep_it_from_dying(daemon: Wharfd) -> None:
    """A frozen process of cgroup v1 does not die; what was killed takes 50 ms to end, and the pause comes in those."""
    api = Client(daemon.socket)
    for number in range(8):
        api.create({"Cmd": ["sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; wait"]}, "killed")
        api.ask("POST", "/containers/killed/start")
        with ThreadPoolExecutor(1) as pool:
            kill = pool.submit(api.ask, "POST", "/containers/killed/kill")
            time.sleep(number * 0.0005)
            paused = api.ask("POST", "/containers/killed/pause").status
            assert kill.result().status == 204  # TimeoutError when it froze
        assert paused in (204, 409)
        assert api.ask("DELETE", "/containers/killed").status == 204


def test_a_signal_that_is_none_is_read_where_it_would_be_sent(daemon: Wharfd) -> None:
    """As Docker 28.5.2 answers: kill reads it before all else, stop and restart only when something runs."""
    api = Client(daemon.socket)
    api.create({"Cmd": ["sleep", "1000"]}, "hears")
    asked = {verb: api.ask("POST", f"/containers/hears/{verb}?signal=NOPE&t=0") for verb in ("kill", "stop", "restart")}
    assert [answer.status for answer in asked.values()] == [400, 304, 204]  # the last has started it
    asked = {verb: api.ask("POST", f"/containers/hears/{verb}?signal=NOPE&t=0") for verb in asked}
    assert {verb: (answer.status, answer.message) for verb, answer in asked.items()} == {
        "kill": (400, "cannot kill container: hears: invalid signal: NOPE"),
        "stop": (500, "cannot stop container: hears: invalid signal: NOPE"),
        "restart": (500, "Cannot restart container hears: invalid signal: NOPE"),
    }
    unknown = api.ask("POST", "/containers/nosuch/kill?signal=NOPE")
    assert (unknown.status, unknown.message) == (400, "cannot kill container: nosuch: invalid signal: NOPE")
    daemon.docker("rm", "-f", "hears")


def test_the_log_asked_for_right_behind_a_start_holds_the_first_word(daemon: Wharfd) -> None:
    """Programs read it once, without following, as if a start took as long as Docker's."""
    api = Client(daemon.socket)
    for wait, said in (("0.03", b"hello"), ("1000", b"")):
        api.create({"Cmd": ["sh", "-c", f"sleep {wait}; echo hello; sleep 1000"]}, "talks")
        api.ask("POST", "/containers/talks/start")
        asked = time.monotonic()
        assert said in api.ask("GET", "/containers/talks/logs?stdout=1").body
        assert time.monotonic() - asked < 5.0
        assert api.ask("GET", "/containers/talks/logs?stderr=1").body == b""
        daemon.docker("rm", "-f", "talks")
    api.create({"Cmd": ["true"]}, "silent")
    api.ask("POST", "/containers/silent/start")
    assert api.ask("GET", "/containers/silent/logs?stdout=1").body == b""
    daemon.docker("rm", "-f", "silent")
