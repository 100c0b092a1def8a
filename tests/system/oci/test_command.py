"""The command's own flags and errors, in the forms that podman, containerd and people read."""

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.system.oci.lab import COMMAND, OciLab
from wharf.kernel.probe import probe


def test_errors_go_to_the_log_as_json_and_to_standard_error(oci: OciLab) -> None:
    log = oci.directory / "error.log"
    bundle = oci.bundle(lambda config: config["process"].update(args=["nosuch"]))
    error = oci.fails("create", "-b", str(bundle), oci.name(), log=log)
    record = json.loads(log.read_text())
    text = (
        "wharf-runtime create failed: unable to start container process: error during container init: "
        'exec: "nosuch": executable file not found in $PATH'
    )
    assert (record["level"], record["msg"]) == ("error", text)
    assert time.strptime(record["time"], "%Y-%m-%dT%H:%M:%SZ")
    assert error == text + "\n"


def test_errors_are_lines_of_text_without_a_log(oci: OciLab) -> None:
    assert 'level=error msg="container does not exist"' in oci.fails("state", "nobody")
    assert 'level=error msg="invalid container ID format"' in oci.fails("state", "a/b")
    assert '"state\\" requires exactly 1 argument(s)' in oci.fails("state")
    assert "container id cannot be empty" in oci.fails("state", "")
    assert "flag provided but not defined: -fun" in oci.fails("start", "--fun", "x")
    assert oci.call("fun").returncode == 3


def test_the_life_of_a_container_step_by_step(oci: OciLab) -> None:
    name = oci.created("exec sleep 300")
    state = oci.state(name)
    assert (state["status"], state["id"]) == ("created", name)
    assert state["bundle"] == os.path.dirname(state["rootfs"])
    assert Path(f"/proc/{state['pid']}").exists()
    assert "container with given ID already exists" in oci.fails("create", "-b", state["bundle"], name)
    assert "unable to" not in oci.ok("start", name)
    assert oci.state(name)["status"] == "running"
    assert "cannot start an already running container" in oci.fails("start", name)
    assert "that is not stopped: running" in oci.fails("delete", name)
    oci.ok("pause", name)
    assert oci.state(name)["status"] == "paused"
    assert "cannot exec in a paused container" in oci.fails("exec", name, "true")
    assert "not running or created" in oci.fails("pause", name)
    oci.ok("resume", name)
    assert "container not paused" in oci.fails("resume", name)
    oci.ok("kill", name, "SIGKILL")
    oci.ended(name)
    assert oci.state(name)["status"] == "stopped"
    assert oci.state(name)["pid"] == 0
    assert "container not running" in oci.fails("kill", name)
    assert "cannot start a container that has stopped" in oci.fails("start", name)
    assert "cannot exec in a stopped container" in oci.fails("exec", name, "true")
    oci.ok("delete", name)
    assert "container does not exist" in oci.fails("delete", name)
    oci.ok("delete", "--force", name)
    assert not oci.cgroups(name)


def test_config_json_counts_as_it_was_at_create(oci: OciLab) -> None:
    name, bundle = oci.name(), oci.bundle(script="echo first > /said")
    oci.ok("create", "-b", str(bundle), name)
    text = (bundle / "config.json").read_text()
    (bundle / "config.json").write_text(text.replace("echo first", "echo later"))
    oci.ok("start", name)
    oci.ended(name)
    assert (bundle / "rootfs/said").read_text() == "first\n"
    oci.ok("delete", name)


@pytest.mark.parametrize("verb", ["create", "start", "kill", "delete"])
def test_an_id_is_needed(oci: OciLab, verb: str) -> None:
    assert "argument(s)" in oci.fails(verb)
    assert "container id cannot be empty" in oci.fails(verb, "")


def test_a_created_container_can_be_deleted_and_killed(oci: OciLab) -> None:
    name = oci.created("true")
    pid = oci.state(name)["pid"]
    oci.ok("delete", name)
    assert not oci.cgroups(name)
    assert not _runs(pid)


def test_signals_by_number_and_name(oci: OciLab) -> None:
    trap = "trap 'echo got >> /tmp/got' USR1 HUP; echo ready > /tmp/ready; while :; do sleep 1 & wait $!; done"
    name = oci.started(trap)
    bundle = Path(oci.state(name)["bundle"])
    _until(lambda: (bundle / "rootfs/tmp/ready").exists())
    for count, word in enumerate(("USR1", "SIGUSR1", "10", "hup"), 1):
        oci.ok("kill", name, word)
        got = bundle / "rootfs/tmp/got"
        _until(lambda: got.exists() and len(got.read_text().split()) == count)  # noqa: B023
    assert "unknown signal" in oci.fails("kill", name, "NOSUCH")
    oci.ok("kill", "--all", name, "KILL")
    oci.ended(name)
    oci.ok("delete", name)


def _until(condition: "object", limit: float = 10.0) -> None:
    deadline = time.monotonic() + limit
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_list_as_table_json_and_names(oci: OciLab) -> None:
    first, second = oci.created("true"), oci.started()
    names = oci.ok("list", "--quiet").split()
    assert {first, second} <= set(names)
    views = {view["id"]: view for view in json.loads(oci.ok("list", "--format", "json"))}
    assert (views[first]["status"], views[second]["status"]) == ("created", "running")
    assert set(views[first]) >= {"ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "owner"}
    table = oci.ok("list").splitlines()
    assert table[0].split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert any(line.split()[:3] == [second, str(views[second]["pid"]), "running"] for line in table)
    assert "invalid format option" in oci.fails("list", "--format", "xml")
    for name in (first, second):
        oci.ok("delete", "--force", name)


@pytest.fixture(scope="module")
def running(oci: OciLab) -> str:
    return oci.started()


def test_exec_takes_the_flags_of_runc(oci: OciLab, running: str) -> None:
    script = (
        "id -u; id -g; pwd; echo $A; echo $PATH | cut -c1-4; grep -E '^(Groups|NoNewPrivs|CapBnd)' /proc/self/status"
    )
    flags = "--user 33:100 --additional-gids 5 --cwd /etc --env A=1 -e B=2 --cap CAP_SYS_TIME --no-new-privs"
    out = oci.ok("exec", *flags.split(), running, "sh", "-c", script).split()
    assert out[:5] == ["33", "100", "/etc", "1", "/usr"]
    facts = dict(zip(out[5::2], out[6::2], strict=False))
    assert facts["Groups:"] == "5" and facts["NoNewPrivs:"] == "1"
    assert int(facts["CapBnd:"], 16) >> 25 & 1


def test_exec_gives_the_programs_status_and_255_when_it_cannot_run(oci: OciLab, running: str) -> None:
    assert oci.call("exec", running, "sh", "-c", "exit 42").returncode == 42
    assert oci.call("exec", running, "sh", "-c", "kill -9 $$").returncode == 137
    missing = oci.call("exec", running, "nosuch")
    assert missing.returncode == 255
    assert "exec failed: unable to start container process: exec:" in missing.stderr


def test_exec_of_a_process_file_detached_with_a_pid_file(oci: OciLab, running: str) -> None:
    file, pid_file = oci.directory / "process.json", oci.directory / "exec.pid"
    file.write_text(
        json.dumps({"args": ["sleep", "299"], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 5, "gid": 6}})
    )
    oci.ok("exec", "--process", str(file), "--detach", "--pid-file", str(pid_file), running)
    pid = int(pid_file.read_text())
    status = Path(f"/proc/{pid}/status").read_text()
    assert "Uid:\t5\t5\t5\t5" in status
    assert os.readlink(f"/proc/{pid}/ns/pid") == os.readlink(f"/proc/{oci.state(running)['pid']}/ns/pid")
    assert pid in json.loads(oci.ok("ps", "--format", "json", running))
    assert "sleep 299" in oci.ok("ps", running)
    assert Path(f"/proc/{pid}/cgroup").read_text().count(running)
    os.kill(pid, signal.SIGKILL)


def test_exec_with_a_terminal(oci: OciLab, running: str) -> None:
    assert oci.ok("exec", "-t", running, "sh", "-c", "tty; echo done").split() == ["/dev/pts/0", "done"]


def test_preserved_descriptors_reach_the_program_and_no_others(oci: OciLab) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"from outside\n")
    os.close(writer)
    script = "head -1 <&3; ls /proc/self/fd | tr '\\n' ' '"
    code = "import os,sys; os.dup2(int(sys.argv[1]), 3); os.dup2(0, 4); os.execv(sys.argv[2], sys.argv[2:])"
    words = ["--root", str(oci.root), "run", "--preserve-fds", "1", "-b", str(oci.bundle(script=script)), oci.name()]
    done = subprocess.run(
        ["/usr/bin/python3", "-c", code, str(reader), COMMAND, *words],
        pass_fds=[reader], capture_output=True, text=True, check=False, timeout=30, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(reader)
    assert done.stdout.split("\n")[0] == "from outside", done.stderr
    assert done.stdout.split("\n")[1].split() == ["0", "1", "2", "3", "4"]  # 4 is the directory that ls reads
    error = oci.fails("create", "--preserve-fds", "9", "-b", str(oci.bundle()), oci.name())
    assert "please check that preserved-fd" in error


def test_run_gives_the_programs_status_and_leaves_nothing(oci: OciLab) -> None:
    name = oci.name()
    assert oci.call("run", "-b", str(oci.bundle(script="exit 9")), name).returncode == 9
    assert "container does not exist" in oci.fails("state", name)
    assert not oci.cgroups(name)


def test_run_forwards_signals(oci: OciLab) -> None:
    bundle = oci.bundle(script="trap 'exit 21' TERM; echo up; while :; do sleep 1 & wait $!; done")
    command = [COMMAND, "--root", str(oci.root), "run", "-b", str(bundle), oci.name()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.terminate()
        assert process.wait(20) == 21


def test_a_container_dies_with_a_create_that_is_killed(oci: OciLab) -> None:
    name = oci.name()
    sleeping = {"path": "/bin/sleep", "args": ["sleep", "300"]}
    bundle = oci.bundle(lambda config: config.update(hooks={"createRuntime": [sleeping]}), script="true")
    command = [COMMAND, "--root", str(oci.root), "create", "-b", str(bundle), name]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        _until(lambda: "sleep" in _children(process.pid).values())
        names = {comm: pid for pid, comm in _children(process.pid).items()}
    finally:
        process.kill()
        process.wait()
    first = next(pid for comm, pid in names.items() if comm != "sleep")
    _until(lambda: not _runs(first))
    os.kill(names["sleep"], signal.SIGKILL)
    oci.ok("delete", "--force", name)
    assert not oci.cgroups(name)


def _children(pid: int) -> dict[int, str]:
    numbers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(word): Path(f"/proc/{word}/comm").read_text().strip() for word in numbers}


def _runs(pid: int) -> bool:
    """Whether a process is there and no zombie (which this machine's init may leave for a second)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_flags_that_are_not_there_are_refused_clearly(oci: OciLab) -> None:
    bundle = str(oci.bundle())
    assert "--no-pivot is not supported" in oci.fails("create", "--no-pivot", "-b", bundle, oci.name())
    if not probe().systemd_scopes:
        words = ("--systemd-cgroup", "create", "-b", bundle, oci.name())
        assert "systemd support for managing cgroups is not available" in oci.fails(*words)
    assert "not supported" in oci.fails("checkpoint", "x")
    terminal = oci.bundle(lambda config: config["process"].update(terminal=True))
    assert "without setting console socket" in oci.fails("create", "-b", str(terminal), oci.name())
    assert "cannot use console socket" in oci.fails("create", "--console-socket", "/x", "-b", bundle, oci.name())


def test_what_is_given_beside_a_verb_is_not_passed_over(oci: OciLab) -> None:
    """Words that nobody reads, and global flags without a meaning here."""
    assert "requires exactly 1 argument(s)" in oci.fails("delete", "a", "b")
    assert "requires a maximum of 2 argument(s)" in oci.fails("kill", "a", "TERM", "b")
    for words, text in (
        (("--log-format", "xml"), "invalid log-format: xml"),
        (("--rootless", "true"), "--rootless=true is not supported"),
        (("--criu", "/usr/sbin/criu"), "checkpoint and restore are not supported"),
        (("--root", "/"), "should not be set to /"),
    ):
        assert text in oci.fails(*words, "list")
    assert "--l3-cache-schema: intelRdt is not supported" in oci.fails("update", "--l3-cache-schema", "L3:0=f", "a")
    assert r"time: missing unit in duration \"5\"" in oci.fails("events", "--interval", "5", "a")


def test_flags_behind_the_id_count_and_debug_tells_the_steps(oci: OciLab) -> None:
    name, log = oci.name(), oci.directory / "debug.log"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(oci.directory / "pidfd"))
    listener.listen(1)
    bundle = oci.bundle(script="exec sleep 300")
    flags = ("--bundle", str(bundle), "-d", "--pidfd-socket", str(oci.directory / "pidfd"))
    oci.ok("--debug", "run", name, *flags, log=log)
    assert oci.state(name)["status"] == "running"
    pid = oci.state(name)["pid"]
    assert _sent_pidfd(listener) == (b"standard", pid)
    assert [record["level"] for record in map(json.loads, log.read_text().splitlines())] == ["debug"] * 3
    assert f"first process {pid} waits for start" in log.read_text()
    oci.ok("delete", name, "--force")
    assert not oci.cgroups(name)


def _sent_pidfd(listener: socket.socket) -> tuple[bytes, int]:
    """What came over the socket, and the process that its descriptor is of."""
    listener.settimeout(10)
    with listener, listener.accept()[0] as connection:
        text, fds, _, _ = socket.recv_fds(connection, 100, 1)
    lines = Path(f"/proc/self/fdinfo/{fds[0]}").read_text().splitlines()
    os.close(fds[0])
    return text, int(next(line for line in lines if line.startswith("Pid:")).split()[1])


def test_exec_into_a_cgroup_below_the_containers(oci: OciLab, running: str) -> None:
    below = [Path(directory, "below") for directory in oci.cgroups(running)]
    for directory in below:
        directory.mkdir(exist_ok=True)
    names = [name for name in probe().cgroup_mounts if name in ("memory", "pids")]
    flag = f"{','.join(names)}:below" if names else "below"
    out = oci.ok("exec", "--cgroup", flag, running, "sh", "-c", "cat /proc/self/cgroup")
    inside = [line.split(":")[1] for line in out.splitlines() if line.endswith("/below")]
    assert sorted(inside) == sorted(names or [""]), out
    assert "is not below the container's cgroup" in oci.fails("exec", "--cgroup", f"{flag}/../..", running, "true")
    assert "no such file or directory" in oci.fails("exec", "--cgroup", f"{flag}/none", running, "true")


def test_features_and_events_are_json(oci: OciLab, running: str) -> None:
    features = json.loads(oci.ok("features"))
    assert len(features["hooks"]) == 6
    assert {"bind", "rro"} <= set(features["mountOptions"])
    assert features["linux"]["seccomp"]["supportedFlags"]
    event = json.loads(oci.ok("events", "--stats", running))
    assert (event["type"], event["id"]) == ("stats", running)
    assert event["data"]["pids"]["current"] >= 1 and event["data"]["memory"]["usage"]["usage"] > 0


def test_spec_writes_a_configuration_that_runs(oci: OciLab) -> None:
    bundle = oci.bundle()
    assert "exists. Remove it first" in oci.fails("spec", "-b", str(bundle))
    (bundle / "config.json").unlink()
    oci.ok("spec", "-b", str(bundle))
    config = json.loads((bundle / "config.json").read_text())
    config["process"]["args"] = ["sh", "-c", "tty; exit 12"]
    (bundle / "config.json").write_text(json.dumps(config))
    done = oci.call("run", "-b", str(bundle), oci.name())
    assert (done.returncode, done.stdout.strip()) == (12, "/dev/pts/0"), done.stderr
