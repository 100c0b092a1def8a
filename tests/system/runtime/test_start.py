"""A container's first process: what it is given, what is kept from it, and how its failures read."""

import os
import select
import signal
import time
from pathlib import Path

import pytest

from tests.system.runtime.conftest import Lab, finish, make_spec, read_all, unframe
from wharf.runtime.requests import StartFailed
from wharf.runtime.waiting import CREATE_PREFIX
from wharf.spec.mount import Mount


def test_exit_codes_and_both_streams(lab: Lab) -> None:
    waiting = lab.prepare(["sh", "-c", "echo out; echo err >&2; exit 3"])
    stream = waiting.attach(stdin=False, stdout=True, stderr=True)
    running = waiting.go()
    assert unframe(read_all(stream)) == ("out\n", "err\n")
    record = running.wait(10)
    assert record is not None and (record.code, record.signal, record.oom) == (3, 0, False)
    assert sorted(lab.log_lines(running)) == ["err\n", "out\n"]
    assert lab.supervisor.exit_record(running.name) == record


def test_a_signal_counts_128_more(lab: Lab) -> None:
    running = lab.start(["sleep", "100"])
    running.signal(signal.SIGKILL)
    record = running.wait(10)
    assert record is not None and (record.code, record.signal) == (137, 9)


def test_capabilities_filter_and_masks_are_dockers(lab: Lab) -> None:
    out = lab.shell("grep -E '^(Cap|Seccomp:|NoNewPrivs)' /proc/self/status; ls /sys/firmware; wc -c < /proc/keys")
    assert "CapBnd:\t00000000a80425fb" in out and "CapEff:\t00000000a80425fb" in out
    assert "CapInh:\t0000000000000000" in out and "CapAmb:\t0000000000000000" in out
    assert "Seccomp:\t2" in out and out.endswith("\n0\n")


def test_namespaces_are_new(lab: Lab) -> None:
    out = lab.shell(
        "for n in mnt net uts pid ipc; do readlink /proc/self/ns/$n; done; hostname; echo $$; cat /proc/net/dev"
    )
    for name in ("mnt", "net", "uts", "pid", "ipc"):
        assert os.readlink(f"/proc/self/ns/{name}") not in out
    assert "\nbox\n1\n" in out and "lo:" in out and "eth" not in out


def test_only_its_own_descriptors(lab: Lab) -> None:
    assert lab.shell("for fd in /proc/self/fd/*; do [ -e $fd ] && echo ${fd##*/}; done; true").split() == [
        "0",
        "1",
        "2",
    ]


def test_proc_sys_is_read_only_and_devices_are_denied(lab: Lab) -> None:
    out = lab.shell(
        "echo x > /proc/sys/kernel/hostname; mknod /tmp/d b 1 0; head -c1 /tmp/d; mount -t tmpfs x /tmp; true"
    )
    assert "Read-only file system" in out and out.count("Operation not permitted") >= 1
    assert "ermission denied" in out


def test_users_are_looked_up_in_the_image(lab: Lab) -> None:
    out = lab.shell("id; echo $HOME; pwd; grep CapEff /proc/self/status", request={"user": "www-data"}, cwd="/new/dir")
    assert "uid=33(www-data) gid=33(www-data)" in out and "\n/var/www\n/new/dir\n" in out
    assert "CapEff:\t0000000000000000" in out


def test_groups_are_added(lab: Lab) -> None:
    assert "groups=0(root),100(users),4711" in lab.shell("id", request={"groups": ("users", "4711", "root")})


@pytest.mark.parametrize(
    ("args", "words", "code"),
    [
        (["nope"], 'exec: "nope": executable file not found in $PATH', 127),
        (["/nope"], 'exec: "/nope": stat /nope: no such file or directory', 127),
        (["/etc"], 'exec: "/etc": is a directory: permission denied', 126),
        (["/etc/passwd"], 'exec: "/etc/passwd": permission denied', 126),
    ],
)
def test_what_cannot_be_executed_fails_with_dockers_words(lab: Lab, args: list[str], words: str, code: int) -> None:
    with pytest.raises(StartFailed) as caught:
        lab.run(args)
    assert caught.value.message == CREATE_PREFIX + words
    assert caught.value.exit_code == code
    assert lab.supervisor.live() == []


def test_an_unknown_user_has_no_prefix(lab: Lab) -> None:
    with pytest.raises(StartFailed, match=r"^unable to find user bob: no matching entries in passwd file$"):
        lab.run(["true"], request={"user": "bob"})


def test_an_abort_leaves_nothing(lab: Lab) -> None:
    waiting = lab.prepare(["true"])
    pid = waiting.pid
    waiting.abort()
    assert lab.supervisor.live() == [] and not os.path.exists(f"/proc/{pid}")


def test_a_terminal_has_its_size_and_echo(lab: Lab) -> None:
    waiting = lab.prepare(
        ["sh", "-c", "tty; stty size; ls -l /dev/console; read x; stty size; echo got $x"],
        terminal=True,
        consoleSize={"height": 20, "width": 70},
        request={"open_stdin": True},
    )
    stream = waiting.attach(stdin=True, stdout=True, stderr=True)
    running = waiting.go()
    seen = b""
    while b"console" not in seen:
        seen += stream.recv(4096)
    running.resize(31, 99)
    stream.sendall(b"word\n")
    record, rest = finish(running, stream, framed=False)
    text = seen.decode() + rest
    assert text.startswith("/dev/pts/0\r\n20 70\r\n") and "31 99\r\ngot word\r\n" in text
    assert record.code == 0


def test_stdin_ends_by_half_closing_and_late_output_arrives(lab: Lab) -> None:
    waiting = lab.prepare(["sh", "-c", "cat; echo late"], request={"open_stdin": True, "stdin_once": True})
    stream = waiting.attach(stdin=True, stdout=True, stderr=True)
    running = waiting.go()
    text = "line\n" * 60000
    stream.settimeout(20)
    received = b""
    stream.setblocking(False)
    data = memoryview(text.encode())
    deadline = time.monotonic() + 20
    while data and time.monotonic() < deadline:
        try:
            data = data[stream.send(data) :]
        except BlockingIOError:
            try:
                received += stream.recv(1 << 16)
            except BlockingIOError:
                continue
    stream.setblocking(True)
    stream.shutdown(1)
    received += read_all(stream)
    assert unframe(received)[0] == text + "late\n"
    assert running.wait(10) is not None


def test_without_open_stdin_it_is_empty(lab: Lab) -> None:
    assert lab.shell("cat; readlink /proc/self/fd/0") == "/dev/null\n"


def test_a_slow_client_holds_the_container_and_loses_nothing(lab: Lab) -> None:
    waiting = lab.prepare(["sh", "-c", "i=0; while [ $i -lt 40 ]; do head -c 131072 /dev/zero; i=$((i+1)); done"])
    stream = waiting.attach(stdin=False, stdout=True, stderr=False)
    running = waiting.go()
    assert running.wait(0.5) is None
    out = unframe(read_all(stream))[0]
    assert len(out) == 40 * 131072
    assert running.wait(10) is not None


def test_a_read_only_root_and_binds(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").write_text("data")
    spec = make_spec(
        ["sh", "-c", "cat /mnt/ro/file; echo x > /mnt/ro/new; echo y > /mnt/rw/new; touch /root/x; cat /one"]
    )
    spec["root"]["readonly"] = True
    source = str(tmp_path / "in")
    spec["mounts"] += [
        {"destination": "/mnt/ro", "type": "bind", "source": source, "options": ["rbind", "ro", "rprivate"]},
        {"destination": "/mnt/rw", "type": "bind", "source": source, "options": ["rbind", "rprivate"]},
        {"destination": "/one", "type": "bind", "source": source + "/file", "options": ["rbind", "rro", "rprivate"]},
    ]
    waiting = lab.supervisor.prepare(lab.request(spec))
    stream = waiting.attach(stdin=False, stdout=True, stderr=True)
    _, out = finish(waiting.go(), stream)
    assert out.startswith("datadata") and out.count("Read-only file system") == 2
    assert (tmp_path / "in" / "new").read_text() == "y\n"


def test_mount_targets_do_not_leave_the_root(lab: Lab, tmp_path: Path) -> None:
    (lab.rootfs / "escape").symlink_to("../../../../../../../../tmp/wharf-escape")
    spec = make_spec(["sh", "-c", "ls /tmp"])
    spec["mounts"].append(
        {"destination": "/escape/deep", "type": "bind", "source": str(tmp_path), "options": ["rbind", "rprivate"]}
    )
    try:
        waiting = lab.supervisor.prepare(lab.request(spec))
        stream = waiting.attach(stdin=False, stdout=True, stderr=True)
        _, out = finish(waiting.go(), stream)
        assert out == "wharf-escape\n"
        assert not os.path.exists("/tmp/wharf-escape")
    finally:
        (lab.rootfs / "escape").unlink()


def test_a_missing_bind_source_says_so(lab: Lab) -> None:
    spec = make_spec(["true"])
    spec["mounts"].append({"destination": "/x", "type": "bind", "source": "/no/such", "options": ["rbind"]})
    with pytest.raises(StartFailed, match=r'error mounting "/no/such" to rootfs at "/x": .*no such file or directory'):
        lab.supervisor.prepare(lab.request(spec)).go()


def test_privileged_has_every_capability_and_host_devices(lab: Lab) -> None:
    names = [f"CAP_{name}" for name in ("SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE")]
    out = lab.shell(
        "grep CapEff /proc/self/status; mount -t tmpfs x /tmp && echo mounted",
        capabilities={"bounding": names, "permitted": names, "effective": names},
        request={"seccomp": b""},
    )
    assert "CapEff:\t0000000000281000" in out and out.endswith("mounted\n")


def test_no_new_privileges_and_limits(lab: Lab) -> None:
    limit = [{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 99}]
    out = lab.shell(
        "grep NoNewPrivs /proc/self/status; ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj",
        noNewPrivileges=True,
        rlimits=limit,
        oomScoreAdj=123,
    )
    assert out.split() == ["NoNewPrivs:", "1", "77", "99", "123"]


def test_a_limit_above_the_hosts_is_refused_clearly(lab: Lab) -> None:
    if 24 in lab.host.capabilities:
        pytest.skip("this host may raise limits")
    with pytest.raises(StartFailed, match="error setting rlimit type 7: operation not permitted"):
        lab.run(["true"], rlimits=[{"type": "RLIMIT_NOFILE", "soft": 1 << 30, "hard": 1 << 30}])


def test_memory_limit_kills_and_is_recorded(lab: Lab) -> None:
    limits = {"memory": {"limit": 16 << 20, "swap": 16 << 20}}
    record, _ = lab.run(["sh", "-c", "x=a; while true; do x=$x$x; done"], resources=limits)
    assert (record.code, record.oom) == (137, True)


def test_cpu_and_pids_limits_are_written(lab: Lab) -> None:
    limits = {"cpu": {"shares": 512, "quota": 50000, "period": 100000}, "pids": {"limit": 33}}
    out = lab.shell(
        "cd /sys/fs/cgroup; cat cpu/cpu.shares cpu/cpu.cfs_quota_us pids/pids.max 2>/dev/null || cat cpu.max pids.max",
        resources=limits,
    )
    assert out.split() in (["512", "50000", "33"], ["50000", "100000", "33"])


def test_a_network_namespace_and_its_socket_come_out(lab: Lab) -> None:
    waiting = lab.prepare(["true"])
    assert waiting.netns_fd is not None and waiting.rtnl is not None
    assert os.readlink(f"/proc/self/fd/{waiting.netns_fd}") != os.readlink("/proc/self/ns/net")
    waiting.go().wait(10)
    assert waiting.netns_fd is None


def test_a_network_namespace_is_joined(lab: Lab) -> None:
    first = lab.start(["sleep", "100"])
    fd = first.namespace("network")
    try:
        out = lab.shell("readlink /proc/self/ns/net", request={"namespaces": {"network": fd}})
        assert out.strip() == os.readlink(f"/proc/{first.pid}/ns/net")
    finally:
        os.close(fd)
        first.kill_all()
        first.wait(10)


def test_a_pid_namespace_is_joined_and_a_host_one_is_killed_at_the_end(lab: Lab) -> None:
    first = lab.start(["sleep", "100"])
    fd = first.namespace("pid")
    try:
        assert "sleep 100" in lab.shell("ps", request={"namespaces": {"pid": fd}})
    finally:
        os.close(fd)
        first.kill_all()
        first.wait(10)
    spec = make_spec(["sh", "-c", "sleep 1000 & echo $!"])
    spec["linux"]["namespaces"] = [item for item in spec["linux"]["namespaces"] if item["type"] != "pid"]
    waiting = lab.supervisor.prepare(lab.request(spec))
    stream = waiting.attach(stdin=False, stdout=True, stderr=True)
    _, out = finish(waiting.go(), stream)
    assert not os.path.exists(f"/proc/{int(out)}")


def test_pause_stops_and_resume_goes_on(lab: Lab) -> None:
    running = lab.start(["sh", "-c", "while true; do :; done"])
    running.pause()
    assert running.paused()
    before = running.stats()["cpu_total_ns"]
    time.sleep(0.1)
    assert running.stats()["cpu_total_ns"] == before
    running.resume()
    assert not running.paused()
    running.pause()
    running.kill_all()
    record = running.wait(10)
    assert record is not None and record.code == 137


def test_a_bind_root(lab: Lab) -> None:
    spec = make_spec(["sh", "-c", "ls -d /bin; touch /x"])
    rootfs = Mount("bind", source=str(lab.rootfs), options=("rbind", "ro"))
    waiting = lab.supervisor.prepare(lab.request(spec, rootfs=rootfs))
    stream = waiting.attach(stdin=False, stdout=True, stderr=True)
    _, out = finish(waiting.go(), stream)
    assert out == "/bin\ntouch: /x: Read-only file system\n"


def test_ten_megabytes_of_lines_are_logged_whole(lab: Lab) -> None:
    running = lab.start(["sh", "-c", "yes 0123456789012345678901234567890123456789 | head -n 250000"])
    assert running.wait(30) is not None
    assert len(lab.log_lines(running)) == 250000


def test_the_doorbell_rings_and_ends(lab: Lab) -> None:
    waiting = lab.prepare(["sh", "-c", "echo one"])
    bell = waiting.doorbell()
    running = waiting.go()
    os.set_blocking(bell, True)
    seen = b""
    while piece := os.read(bell, 10):
        seen += piece
    os.close(bell)
    assert seen and lab.log_lines(running) == ["one\n"]


def test_a_doorbell_rings_for_what_was_written_before_it(lab: Lab) -> None:
    """Or who read the log a moment too early would wait for the next line."""
    running = lab.start(["sh", "-c", "echo one; exec sleep 1000"])
    deadline = time.monotonic() + 20
    while not lab.log_lines(running):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    bell = running.doorbell()
    rung = select.select([bell], [], [], 20)[0]
    os.close(bell)
    running.kill_all()
    running.wait(10)
    assert rung == [bell]
