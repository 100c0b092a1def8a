"""More processes in a running container."""

import os
from collections.abc import Iterator

import pytest

from tests.system.runtime.conftest import Lab, process, read_all, unframe
from wharf.runtime.requests import ExecRequest, StartFailed
from wharf.runtime.running import Running
from wharf.runtime.waiting import EXEC_PREFIX


@pytest.fixture(scope="module")
def box(lab: Lab) -> Iterator[Running]:
    running = lab.start(["sleep", "1000"])
    yield running
    running.kill_all()
    running.wait(10)


def test_it_sees_the_container(lab: Lab, box: Running) -> None:
    record, out = lab.exec(box, ["sh", "-c", "ps; hostname; cat /proc/self/cgroup; exit 9"])
    assert record.code == 9 and "sleep 1000" in out and "\nbox\n" in out
    assert box.name in out


def test_it_is_held_as_the_container_is(lab: Lab, box: Running) -> None:
    _, out = lab.exec(box, ["sh", "-c", "grep -E 'Cap|Seccomp:' /proc/self/status; mount -t tmpfs x /tmp"])
    assert "CapBnd:\t00000000a80425fb" in out and "Seccomp:\t2" in out and "ermission denied" in out


def test_only_its_own_descriptors(lab: Lab, box: Running) -> None:
    _, out = lab.exec(box, ["sh", "-c", "for fd in /proc/self/fd/*; do [ -e $fd ] && echo ${fd##*/}; done; true"])
    assert out.split() == ["0", "1", "2"]


def test_users_and_directories(lab: Lab, box: Running) -> None:
    _, out = lab.exec(box, ["sh", "-c", "id -u; pwd; echo $HOME"], user="www-data", cwd="/tmp")
    assert out == "33\n/tmp\n/var/www\n"


@pytest.mark.parametrize(
    ("args", "more", "words", "code"),
    [
        (["nope"], {}, 'exec: "nope": executable file not found in $PATH', 127),
        (["/etc/passwd"], {}, 'exec: "/etc/passwd": permission denied', 126),
        (["true"], {"cwd": "/no"}, 'chdir to cwd ("/no") set in config.json failed: no such file or directory', 127),
    ],
)
def test_failures_have_dockers_words(
    lab: Lab, box: Running, args: list[str], more: dict[str, str], words: str, code: int
) -> None:
    with pytest.raises(StartFailed) as caught:
        lab.exec(box, args, **more)
    assert (caught.value.message, caught.value.exit_code) == (EXEC_PREFIX + words, code)


def test_a_terminal(lab: Lab, box: Running) -> None:
    _, out = lab.exec(box, ["sh", "-c", "tty; stty size"], terminal=True, consoleSize={"height": 5, "width": 6})
    assert out == "/dev/pts/0\r\n5 6\r\n"


def test_stdin_is_closed_by_half_closing(lab: Lab, box: Running) -> None:
    request = ExecRequest(box.name, "e" * 64, process(["wc", "-c"]), user="", open_stdin=True, seccomp=lab.filter())
    waiting = lab.supervisor.exec(request, box)
    stream = waiting.attach(stdin=True, stdout=True, stderr=True)
    running = waiting.go()
    stream.sendall(b"x" * 5000)
    stream.shutdown(1)
    assert unframe(read_all(stream))[0] == "5000\n"
    assert running.wait(10) is not None


def test_a_child_that_keeps_the_pipe_does_not_hold_up_the_end(lab: Lab, box: Running) -> None:
    record, out = lab.exec(box, ["sh", "-c", "sleep 500 & echo done"])
    assert (record.code, out) == (0, "done\n")


def test_it_cannot_be_traced_while_it_enters(lab: Lab, box: Running) -> None:
    request = ExecRequest(box.name, "f" * 64, process(["true"]), user="", seccomp=lab.filter())
    waiting = lab.supervisor.exec(request, box)
    try:
        assert os.stat(f"/proc/{waiting.pid}/mem").st_uid == 0
        assert os.readlink(f"/proc/{waiting.pid}/exe").startswith("/memfd:wharf-python")
    finally:
        waiting.abort()


def test_many_at_once_end_with_the_container(lab: Lab) -> None:
    running = lab.start(["sleep", "1000"])
    execs = []
    for number in range(8):
        request = ExecRequest(running.name, f"{number:064x}", process(["sleep", "1000"]), user="", seccomp=lab.filter())
        execs.append(lab.supervisor.exec(request, running).go())
    running.signal(9)
    for entry in [running, *execs]:
        record = entry.wait(10)
        assert record is not None and record.code == 137
