"""Users, lifecycle, messages, mount words, environment: the runtime's pure parts."""

import os
import socket
from pathlib import Path

import pytest

from wharf.errors import Conflict, Internal, NotModified
from wharf.kernel import mounts as mnt
from wharf.kernel.probe import cgroup_mounts
from wharf.kernel.seccomp_compiler import selected
from wharf.runtime import messages
from wharf.runtime.credentials import InitFailed, environment, find_program
from wharf.runtime.lifecycle import State, Verb, refusal, require
from wharf.runtime.mount_options import Options
from wharf.runtime.users import UnknownUser, resolve
from wharf.runtime.waiting import exit_code_of
from wharf.spec.host import CgroupWorld


@pytest.fixture
def image(tmp_path: Path) -> tuple[str, str]:
    (tmp_path / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nalice:x:1000:100::/home/alice:/bin/sh\n# no\n\n")
    (tmp_path / "group").write_text("root:x:0:\nusers:x:100:\nwheel:x:10:bob,alice\nempty\n")
    return str(tmp_path / "passwd"), str(tmp_path / "group")


@pytest.mark.parametrize(
    ("wanted", "extra", "uid", "gid", "groups", "home"),
    [
        ("", [], 0, 0, [0], "/root"),
        ("alice", [], 1000, 100, [10, 100], "/home/alice"),
        ("1000", [], 1000, 100, [10, 100], "/home/alice"),
        ("alice:root", [], 1000, 0, [0], "/home/alice"),
        ("alice:7", ["wheel", "44"], 1000, 7, [7, 10, 44], "/home/alice"),
        ("4711", [], 4711, 0, [0], "/"),
        ("4711:users", [], 4711, 100, [100], "/"),
    ],
)
def test_users_resolve(
    image: tuple[str, str], wanted: str, extra: list[str], uid: int, gid: int, groups: list[int], home: str
) -> None:
    who = resolve(wanted, extra, *image)
    assert (who.uid, who.gid, who.groups, who.home) == (uid, gid, groups, home)


@pytest.mark.parametrize(
    ("wanted", "extra", "words"),
    [
        ("bob", [], "unable to find user bob: no matching entries in passwd file"),
        ("alice:staff", [], "unable to find group staff: no matching entries in group file"),
        ("alice", ["staff"], "unable to find group staff: no matching entries in group file"),
        ("4294967296", [], "uids and gids must be in range 0-2147483647"),
    ],
)
def test_unknown_users_are_refused_with_dockers_words(
    image: tuple[str, str], wanted: str, extra: list[str], words: str
) -> None:
    with pytest.raises(UnknownUser, match=words):
        resolve(wanted, extra, *image)


def test_a_pipe_in_the_place_of_passwd_does_not_hold_up_a_start(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "passwd")
    assert resolve("12", [], str(tmp_path / "passwd"), str(tmp_path / "no")).uid == 12


def test_a_missing_passwd_file_still_takes_numbers(tmp_path: Path) -> None:
    who = resolve("12:13", [], str(tmp_path / "no"), str(tmp_path / "no"))
    assert (who.uid, who.gid, who.home) == (12, 13, "/")


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("verb", Verb)
def test_every_state_has_an_answer_for_every_verb(verb: Verb, state: State) -> None:
    error = refusal(verb, state, "abc", "/name")
    assert error is None or isinstance(error, Conflict | NotModified | Internal)


def test_refusals_have_dockers_words() -> None:
    with pytest.raises(Conflict, match="container abc is not running"):
        require(Verb.EXEC, State.EXITED, "abc", "/n")
    with pytest.raises(Conflict, match='cannot remove container "/n": container is running: stop the container before'):
        require(Verb.REMOVE, State.RUNNING, "abc", "/n")
    require(Verb.START, State.EXITED, "abc", "/n")


def test_messages_carry_descriptors_and_large_bodies() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, socket.socket() as passed:
        for size in (10, messages.INLINE_LIMIT * 3):
            messages.send(ours, {"op": "x", "body": "y" * size}, [passed.fileno()])
            message, fds = messages.receive(theirs)
            assert len(message["body"]) == size and len(fds) == 1
            assert not os.get_inheritable(fds[0])
            messages.close_all(fds)


def test_a_message_of_an_unknown_version_is_refused() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.send(b"\x63\x00\x00\x00\x02\x00\x00\x00{}")
        with pytest.raises(ValueError, match="version 99"):
            messages.receive(theirs)
        ours.close()
        with pytest.raises(messages.Closed):
            messages.receive(theirs)


def test_mount_words_are_sorted_out() -> None:
    options = Options(["rbind", "ro", "nosuid", "suid", "rprivate", "size=1k", "mode=755"])
    assert options.flags == mnt.MS_BIND | mnt.MS_REC | mnt.MS_RDONLY
    assert options.cleared & mnt.MS_NOSUID
    assert options.propagation == [mnt.MS_PRIVATE | mnt.MS_REC]
    assert options.data == "size=1k,mode=755" and options.recursive is None
    assert Options(["rro", "rnoexec", "rrw"]).recursive == (mnt.MOUNT_ATTR_NOEXEC, mnt.MOUNT_ATTR_RDONLY)
    assert Options(["rnoatime", "rstrictatime"]).recursive == (mnt.MOUNT_ATTR_STRICTATIME, mnt.MOUNT_ATTR_ATIME)


def test_the_environment_keeps_its_order_and_gets_a_home() -> None:
    env = environment(["B=1", "A=2", "B=3", "junk", "=x"], "/root")
    assert list(env.items()) == [("B", "3"), ("A", "2"), ("HOME", "/root")]
    assert environment(["HOME=/x"], "/root") == {"HOME": "/x"}


def test_programs_are_found_as_go_finds_them(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    (tmp_path / "tool").chmod(0o755)
    (tmp_path / "data").write_text("x")
    assert find_program("tool", f"/nonexistent:{tmp_path}") == f"{tmp_path}/tool"
    for name, words in (
        ("nope", 'exec: "nope": executable file not found in $PATH'),
        ("data", 'exec: "data": executable file not found in $PATH'),
        (f"{tmp_path}/no", f'exec: "{tmp_path}/no": stat {tmp_path}/no: no such file or directory'),
        (str(tmp_path), f'exec: "{tmp_path}": is a directory: permission denied'),
    ):
        with pytest.raises(InitFailed) as caught:
            find_program(name, str(tmp_path))
        assert caught.value.text == words


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('exec: "x": executable file not found in $PATH', 127),
        ('exec: "/x": stat /x: no such file or directory', 127),
        ('exec: "/etc": is a directory', 126),
        ('exec: "/etc/passwd": permission denied', 126),
        ("something else", 128),
    ],
)
def test_exit_codes_are_read_off_the_message(text: str, code: int) -> None:
    assert exit_code_of(text) == code


_LINE = "30 25 0:26 / {point} rw,relatime - {kind} {kind} {options}\n"


def test_a_hybrid_host_counts_as_v1() -> None:
    text = (
        _LINE.format(point="/sys/fs/cgroup/unified", kind="cgroup2", options="rw")
        + _LINE.format(point="/sys/fs/cgroup", kind="tmpfs", options="rw")
        + _LINE.format(point="/sys/fs/cgroup/systemd", kind="cgroup", options="rw,name=systemd")
    )
    assert cgroup_mounts(text)[0] is CgroupWorld.V2
    assert cgroup_mounts("")[0] is CgroupWorld.NONE


def test_a_pure_v2_host_has_one_mount() -> None:
    text = _LINE.format(point="/sys/fs/cgroup", kind="cgroup2", options="rw,nsdelegate")
    assert cgroup_mounts(text) == (CgroupWorld.V2, {"": "/sys/fs/cgroup"})


@pytest.mark.parametrize(
    ("rule", "chosen"),
    [
        ({}, True),
        ({"includes": {"caps": ["CAP_SYS_ADMIN"]}}, False),
        ({"includes": {"caps": ["CAP_CHOWN"]}}, True),
        ({"excludes": {"caps": ["CAP_CHOWN"]}}, False),
        ({"includes": {"arches": ["arm64"]}}, False),
        ({"includes": {"minKernel": "4.8"}}, True),
        ({"includes": {"minKernel": "6.20"}}, False),
        ({"excludes": {"arches": ["s390x"]}}, True),
    ],
)
def test_rules_of_a_profile_are_selected_by_capabilities_machine_and_kernel(
    rule: dict[str, object], chosen: bool
) -> None:
    assert selected(rule, frozenset({"CAP_CHOWN"}), "x86_64", "6.1.0-18-amd64") is chosen
