"""Cgroup drivers: names of scopes and slices, properties of systemd, the wire form of D-Bus."""

import dataclasses
import os
import socket
import threading
from pathlib import Path

import pytest

from wharf.daemonconfig import read_settings
from wharf.engine.cgroup_driver import check_parent, container_cgroup, with_driver
from wharf.errors import Invalid
from wharf.kernel import dbus
from wharf.kernel.cgroup.place import empty_top, v2_top
from wharf.kernel.cgroup.v2 import CgroupV2
from wharf.runtime.scopes import mask_of, properties_of, slice_path
from wharf.spec.host import CgroupWorld, Host

V2 = Host("6.12", "x86_64", "b", frozenset(), 40, CgroupWorld.V2, {"": "/sys/fs/cgroup"}, systemd_scopes=True)
SYSTEMD = dataclasses.replace(V2, cgroup_driver="systemd")


@pytest.mark.parametrize(
    ("host", "instance", "parent", "path"),
    [
        (V2, "", "", "/wharf/abc"),
        (V2, "i1", "", "/wharf-i1/abc"),
        (V2, "i1", "/mine/", "/mine/abc"),
        (SYSTEMD, "", "", "/system.slice/wharf-abc.scope"),
        (SYSTEMD, "i1", "", "/system.slice/wharf-i1-abc.scope"),
        (SYSTEMD, "", "a-b-c.slice", "/a.slice/a-b.slice/a-b-c.slice/wharf-abc.scope"),
        (SYSTEMD, "", "-.slice", "/wharf-abc.scope"),
    ],
)
def test_where_a_container_is(host: Host, instance: str, parent: str, path: str) -> None:
    assert container_cgroup(host, instance, "abc", parent) == path


@pytest.mark.parametrize("parent", ["mine", "/x.slice", "a--b.slice", ".slice", "-a.slice", "a/b.slice"])
def test_a_parent_that_is_no_slice_is_refused(parent: str) -> None:
    with pytest.raises(Invalid, match="should be a valid slice named as"):
        check_parent(SYSTEMD, parent)
    check_parent(V2, parent)


def test_slices_that_are_fine() -> None:
    for name in ("", "a.slice", "a-b.slice", "-.slice"):
        check_parent(SYSTEMD, name)
    assert slice_path("a.slice") == "/a.slice"


def test_the_driver_that_is_asked_for() -> None:
    assert with_driver(SYSTEMD, "cgroupfs").cgroup_driver == "cgroupfs"
    assert with_driver(SYSTEMD, "").cgroup_driver == "systemd"
    with pytest.raises(Invalid, match="needs systemd as init"):
        with_driver(dataclasses.replace(V2, systemd_scopes=False), "systemd")


def test_exec_opts(tmp_path: Path) -> None:
    file = tmp_path / "daemon.json"
    file.write_text('{"exec-opts": ["native.cgroupdriver=systemd"]}')
    assert read_settings(["--config-file", str(file)]).exec_opts == ["native.cgroupdriver=systemd"]
    file.write_text("{}")
    with pytest.raises(Invalid, match="option toys not supported"):
        read_settings(["--config-file", str(file), "--exec-opt", "native.cgroupdriver=toys"])
    assert read_settings(["--config-file", str(file), "--exec-opt", "a.b=c"]).warnings == ["exec-opt a.b is not used"]


def test_limits_as_properties() -> None:
    resources = {
        "memory": {"limit": 64 << 20, "swap": 96 << 20, "reservation": 32 << 20},
        "cpu": {"shares": 1024, "quota": 33_333, "period": 100_000, "cpus": "0-2,8"},
        "pids": {"limit": 7},
        "blockIO": {"weight": 500},
    }
    assert dict(properties_of(resources)) == {
        "MemoryMax": ("t", 64 << 20),
        "MemoryLow": ("t", 32 << 20),
        "MemorySwapMax": ("t", 32 << 20),
        "CPUWeight": ("t", 39),
        "CPUQuotaPerSecUSec": ("t", 340_000),
        "CPUQuotaPeriodUSec": ("t", 100_000),
        "AllowedCPUs": ("ay", [0b111, 1]),
        "TasksMax": ("t", 7),
        "IOWeight": ("t", 4950),
    }
    assert properties_of({}) == []
    unlimited = dict(properties_of({"memory": {"limit": -1, "swap": -1}, "pids": {"limit": -1}}))
    assert set(unlimited.values()) == {("t", (1 << 64) - 1)}
    assert mask_of("9") == [0, 2]


def test_dbus_values_survive_the_wire() -> None:
    signature = "ssa(sv)a(sa(sv))ayx(bo)"
    body = [
        "unit",
        "fail",
        [("PIDs", ("au", [7])), ("B", ("b", 1))],
        [("x", [("y", ("s", "z"))])],
        [1, 2],
        -5,
        (1, "/o"),
    ]
    out = bytearray()
    for kind, value in zip(dbus.split(signature), body, strict=True):
        dbus.pack(out, kind, value)
    at, back = 0, []
    for kind in dbus.split(signature):
        value, at = dbus.unpack(bytes(out), at, kind)
        back.append(value)
    assert back == body and at == len(out)
    assert dbus.split("sa(sv)aau") == ["s", "a(sv)", "aau"]


def test_a_call_its_signals_and_its_error(tmp_path: Path) -> None:
    """Against a peer that answers as systemd does."""
    path = str(tmp_path / "bus")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)

    def serve() -> None:
        peer, _ = listener.accept()
        with peer:
            assert peer.recv(100).startswith(b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode())
            peer.sendall(b"OK 0123\r\n")
            rest = peer.recv(4096)
            while len(rest) < 8:
                rest += peer.recv(4096)
            assert rest.startswith(b"BEGIN\r\n")
            if rest == b"BEGIN\r\n":
                peer.recv(4096)
            removed = dbus.message(4, 9, [(3, ("s", "JobRemoved"))], "uoss", [1, "/job/1", "x.scope", "done"])
            reply = dbus.message(2, 10, [(5, ("u", 1))], "o", ["/job/1"])
            peer.sendall(removed[:11])
            peer.sendall(removed[11:] + reply)
            peer.recv(4096)
            peer.sendall(dbus.message(3, 11, [(5, ("u", 2)), (4, ("s", "a.UnitExists"))], "s", ["there already"]))

    thread = threading.Thread(target=serve)
    thread.start()
    with dbus.Bus(path, 5.0) as bus:
        assert bus.call("d", "/p", "i.StartTransientUnit", "s", "x.scope") == ["/job/1"]
        assert bus.signal() == ("JobRemoved", [1, "/job/1", "x.scope", "done"])
        with pytest.raises(dbus.BusError, match="there already") as caught:
            bus.call("d", "/p", "i.Again")
        assert caught.value.name == "a.UnitExists"
        with pytest.raises(OSError):
            bus.signal()
    thread.join()
    listener.close()


def _tree(top: Path, *names: str, **contents: str) -> Path:
    top.mkdir(parents=True, exist_ok=True)
    for name in names:
        (top / name).write_text("")
    for name, text in contents.items():
        (top / name.replace("_", ".", 1)).write_text(text)
    return top


def test_the_place_is_the_root_when_it_may_be_written_else_the_delegated_subtree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "cg"
    own = root / "system.slice/x.service"
    writable = {str(own), f"{own}/cgroup.procs", f"{own}/cgroup.subtree_control"}
    monkeypatch.setattr("os.access", lambda path, _mode: str(path) in writable)
    assert v2_top(str(root), "/system.slice/x.service") == str(own)
    assert v2_top(str(root), "/system.slice/x.service/wharfd") == str(own)
    assert v2_top(str(root), "/elsewhere") == str(root)
    assert v2_top(str(root), "/../outside") == str(root)
    writable |= {str(root), f"{root}/cgroup.procs", f"{root}/cgroup.subtree_control"}
    assert v2_top(str(root), "/system.slice/x.service") == str(root)


def test_a_delegated_top_is_emptied_into_a_leaf_and_the_true_root_is_not(tmp_path: Path) -> None:
    top = _tree(tmp_path / "top", cgroup_procs="17\n", cgroup_subtree_control="")
    empty_top(str(top))
    assert not (top / "wharfd").exists()
    (top / "cgroup.type").write_text("domain\n")
    _tree(top / "wharfd", "cgroup.procs")
    empty_top(str(top))
    assert (top / "wharfd/cgroup.procs").read_text() == "17"


def test_limits_are_written_in_units_of_v2(tmp_path: Path) -> None:
    names = "memory.max memory.swap.max memory.low cpu.weight cpuset.cpus pids.max io.weight io.max hugetlb.2MB.max"
    cgroup = _tree(tmp_path / "c", *names.split(), "memory.high", cpu_max="500 200000")
    CgroupV2(str(tmp_path), "/c").limit(
        {
            "memory": {"limit": 100, "swap": 150, "reservation": 50},
            "cpu": {"shares": 2, "quota": -1, "cpus": "0"},
            "pids": {"limit": 0},
            "blockIO": {"weight": 10, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1024}]},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 4}],
            "unified": {"memory.high": "90"},
        }
    )
    written = {file.name: file.read_text() for file in cgroup.iterdir()}
    assert written == {
        "memory.max": "100", "memory.swap.max": "50", "memory.low": "50", "memory.high": "90", "cpu.weight": "1",
        "cpuset.cpus": "0", "cpu.max": "max 200000", "pids.max": "max", "io.weight": "1",
        "io.max": "8:0 rbps=1024", "hugetlb.2MB.max": "4",
    }  # fmt: skip
    with pytest.raises(OSError):
        CgroupV2(str(tmp_path), "/c").limit({"unified": {"../c/pids.max": "1"}})


def test_usage_is_read_in_bytes_and_nanoseconds(tmp_path: Path) -> None:
    _tree(
        tmp_path / "c", memory_max="max\n", memory_current="4096\n", cpu_stat="usage_usec 7\nuser_usec 4\n",
        io_stat="8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n253:1 \n", memory_events="oom 1\noom_kill 2\n",
    )  # fmt: skip
    cgroup = CgroupV2(str(tmp_path), "/c")
    stats = cgroup.stats()
    assert (stats["cpu_total_ns"], stats["cpu_user_ns"], stats["memory_usage"]) == (7000, 4000, 4096)
    assert stats["io_bytes"] == [
        {"major": 8, "minor": 0, "op": "read", "value": 1},
        {"major": 8, "minor": 0, "op": "write", "value": 2},
    ]
    assert cgroup.oom_kills() == 2
