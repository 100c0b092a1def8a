"""What config.json says is what the container has: one test for each thing that Linux can show (musts.tsv)."""

import json
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.oci.edits import linux, namespace, process, top, without
from tests.system.oci.lab import Config, Edit, OciLab
from wharf.kernel.probe import probe
from wharf.runtime.oci.errors import CommandFailed
from wharf.spec.host import CgroupWorld

V1 = probe().cgroup_world is CgroupWorld.V1


@pytest.fixture(scope="module")
def holder() -> Iterator[int]:
    """A process with namespaces of its own."""
    process = subprocess.Popen(["unshare", "-n", "-i", "-u", "sleep", "300"])
    try:
        while os.readlink(f"/proc/{process.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            assert process.poll() is None
        while b"sleep" not in Path(f"/proc/{process.pid}/comm").read_bytes():
            assert process.poll() is None
        yield process.pid
    finally:
        process.kill()
        process.wait()


# -- config.md


def test_a_version_that_is_none_or_another_is_refused(oci: OciLab) -> None:
    assert "is no semantic version" in oci.refused(top(ociVersion="one"))
    assert "is not supported" in oci.refused(top(ociVersion="2.0.0"))


def test_unknown_properties_and_annotations_are_ignored(oci: OciLab) -> None:
    edits = (top(someday={"a": 1}, annotations={"org.example.unknown": "x"}), linux(someday=True))
    assert oci.run("echo fine", *edits) == "fine\n"


def test_the_root_path_is_relative_to_the_bundle_and_must_exist(oci: OciLab) -> None:
    assert "invalid rootfs" in oci.refused(top(root={"path": "nowhere"}))
    assert "invalid rootfs" in oci.refused(top(root={"path": "config.json"}))
    assert "root.path must not be empty" in oci.refused(top(root={}))
    other = oci.bundle() / "rootfs"
    (other / "mark").write_text("absolute\n")
    assert oci.run("cat /mark", top(root={"path": str(other)})) == "absolute\n"


def test_a_read_only_root_is_read_only(oci: OciLab) -> None:
    assert "Read-only" in oci.run("touch /x 2>&1; true", lambda config: config["root"].update(readonly=True))
    assert oci.run("touch /x && echo written") == "written\n"


def test_process_args_env_cwd_and_umask(oci: OciLab) -> None:
    edit = process(env=["PATH=/bin", "A=1", "A=2", "B="], cwd="/etc", user={"uid": 0, "gid": 0, "umask": 0o27})
    assert oci.run("pwd; echo $A-$B-; umask", edit) == "/etc\n2--\n0027\n"


def test_a_process_without_args_or_with_a_relative_cwd_is_refused(oci: OciLab) -> None:
    assert "args must not be empty" in oci.refused(process(args=[]))
    assert "Cwd must be an absolute path" in oci.refused(process(cwd="tmp"))
    assert "process property must not be empty" in oci.refused(top(process=None))


def test_user_and_additional_groups(oci: OciLab) -> None:
    edit = process(user={"uid": 33, "gid": 100, "additionalGids": [5, 777]})
    assert oci.run("grep -E '^(Uid|Gid|Groups)' /proc/self/status", edit).split() == [
        "Uid:", *["33"] * 4, "Gid:", *["100"] * 4, "Groups:", "5", "777",
    ]  # fmt: skip


def test_rlimits_are_set_and_double_or_unknown_ones_refused(oci: OciLab) -> None:
    limits = [{"type": "RLIMIT_NOFILE", "soft": 111, "hard": 222}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]
    assert oci.run("ulimit -Sn; ulimit -Hn; ulimit -c", process(rlimits=limits)) == "111\n222\n0\n"
    assert "two entries" in oci.refused(process(rlimits=[limits[0], limits[0]]))
    assert "invalid rlimit type" in oci.refused(process(rlimits=[{"type": "RLIMIT_X", "soft": 1, "hard": 1}]))


def test_all_five_capability_sets(oci: OciLab) -> None:
    chown, kill, bind = "CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"
    sets = {"bounding": [chown, kill, bind], "permitted": [kill, bind], "effective": [bind]}
    sets |= {"inheritable": [bind], "ambient": [bind]}
    edit = process(capabilities=sets, user={"uid": 33, "gid": 33}, noNewPrivileges=False)
    found = dict(line.split() for line in oci.run("grep ^Cap /proc/self/status", edit).splitlines())
    assert int(found["CapBnd:"], 16) == 1 << 0 | 1 << 5 | 1 << 10
    for name in ("CapInh:", "CapPrm:", "CapEff:", "CapAmb:"):
        assert int(found[name], 16) == 1 << 10, name


def test_no_capabilities_means_none(oci: OciLab) -> None:
    def edit(config: Config) -> None:
        del config["process"]["capabilities"]

    found = dict(line.split() for line in oci.run("grep ^Cap /proc/self/status", edit).splitlines())
    assert {int(value, 16) for value in found.values()} == {0}


def test_no_new_privileges_and_oom_score(oci: OciLab) -> None:
    script = "grep NoNewPrivs /proc/self/status; cat /proc/self/oom_score_adj"
    assert oci.run(script, process(noNewPrivileges=False, oomScoreAdj=321)) == "NoNewPrivs:\t0\n321\n"
    unset = process(noNewPrivileges=True, consoleSize={"height": 1, "width": 1})  # a size without a terminal is nothing
    assert oci.run(script, unset) == f"NoNewPrivs:\t1\n{Path('/proc/self/oom_score_adj').read_text()}"


def test_scheduler_and_io_priority(oci: OciLab) -> None:
    edit = process(
        scheduler={"policy": "SCHED_BATCH", "nice": 7}, ioPriority={"class": "IOPRIO_CLASS_IDLE", "priority": 0}
    )
    out = oci.run("ionice -p 1; grep -E '^policy' /proc/1/sched; cut -d' ' -f19 /proc/1/stat", edit)
    assert out.startswith("idle") and out.endswith("\n7\n")
    assert "it is not known" in oci.refused(process(scheduler={"policy": "SCHED_NONE"}))


def test_hostname_and_domainname(oci: OciLab) -> None:
    out = oci.run("hostname; cat /proc/sys/kernel/domainname", top(hostname="some-host", domainname="some.domain"))
    assert out == "some-host\nsome.domain\n"


def test_a_hostname_without_a_namespace_for_it_is_refused(oci: OciLab) -> None:
    edits = (without("uts"), top(hostname="x"))
    assert "without a private UTS namespace" in oci.refused(*edits)


# -- config-linux.md: namespaces


def _namespaces(oci: OciLab, *edits: Edit) -> dict[str, str]:
    script = "for n in mnt pid net ipc uts cgroup user time; do echo $n $(readlink /proc/self/ns/$n); done"
    return dict(line.split() for line in oci.run(script, *edits).splitlines())


def test_namespaces_are_new_or_the_runtimes(oci: OciLab) -> None:
    own = {name: os.readlink(f"/proc/self/ns/{name}") for name in ("mnt", "pid", "net", "ipc", "uts", "cgroup", "user")}
    found = _namespaces(oci, namespace("cgroup"))
    assert [name for name in own if found[name] == own[name]] == ["user"]
    found = _namespaces(oci, without("network"), without("ipc"), without("uts"), without("pid"))
    assert [name for name in own if found[name] != own[name]] == ["mnt"]


@pytest.mark.parametrize(("kind", "name"), [("network", "net"), ("ipc", "ipc"), ("uts", "uts")])
def test_a_namespace_with_a_path_is_joined(oci: OciLab, holder: int, kind: str, name: str) -> None:
    found = _namespaces(oci, namespace(kind, f"/proc/{holder}/ns/{name}"))
    assert found[name] == os.readlink(f"/proc/{holder}/ns/{name}")


def test_the_pid_namespace_of_another_container_is_joined(oci: OciLab) -> None:
    name = oci.started()
    path = f"/proc/{oci.state(name)['pid']}/ns/pid"
    out = oci.run("cat /proc/1/cmdline | tr '\\0' ' '; echo $$", namespace("pid", path))
    assert out.startswith("sleep 300 ")
    assert int(out.split()[-1]) != 1
    oci.ok("delete", "--force", name)


def test_a_path_of_another_kind_or_a_relative_one_is_refused(oci: OciLab, holder: int) -> None:
    wrong = oci.refused(namespace("network", f"/proc/{holder}/ns/uts"))
    assert "unable to join namespace network: invalid argument" in wrong
    assert "is not absolute" in oci.refused(namespace("network", "proc/self/ns/net"))
    assert "no such file or directory" in oci.refused(namespace("network", "/proc/self/ns/none"))


def test_double_and_unknown_namespaces_are_refused(oci: OciLab) -> None:
    def twice(config: Config) -> None:
        config["linux"]["namespaces"].append({"type": "pid"})

    assert "duplicated ns" in oci.refused(twice)
    assert "does not exist" in oci.refused(namespace("fun"))
    assert "would mount over the host" in oci.refused(without("mount"))


def test_a_user_namespace_has_its_maps(oci: OciLab) -> None:
    maps = [{"containerID": 0, "hostID": 100000, "size": 1000}]
    bundle = oci.bundle(
        namespace("user"),
        linux(uidMappings=maps, gidMappings=maps),
        script="cat /proc/self/uid_map /proc/self/gid_map; id -u",
    )
    for path, _, names in os.walk(bundle / "rootfs"):
        os.chmod(path, 0o755)
        for name in names:
            assert os.lstat(os.path.join(path, name)).st_uid == 0
    for path in (oci.directory, bundle, oci.directory / "state"):
        os.chmod(path, 0o755)
    out = oci.ok("run", "-b", str(bundle), oci.name())
    assert out.split() == ["0", "100000", "1000"] * 2 + ["0"]


def test_maps_without_a_user_namespace_and_one_without_maps_are_refused(oci: OciLab) -> None:
    assert "user namespace isn't enabled" in oci.refused(
        linux(uidMappings=[{"containerID": 0, "hostID": 0, "size": 1}])
    )
    assert "needs uidMappings" in oci.refused(namespace("user"))


def test_a_time_namespace_has_its_offsets(oci: OciLab) -> None:
    offsets = {"monotonic": {"secs": 1000}, "boottime": {"secs": 5_000_000, "nanosecs": 0}}
    out = oci.run("cut -d. -f1 /proc/uptime", namespace("time"), linux(timeOffsets=offsets))
    assert int(out) > 5_000_000
    assert "no time namespace" in oci.refused(linux(timeOffsets=offsets))


# -- config-linux.md: cgroups and resources


def test_the_cgroup_is_where_cgroupspath_says_and_goes_with_the_container(oci: OciLab) -> None:
    path = f"{oci.name()}"
    name = oci.started("exec sleep 300", linux(cgroupsPath=f"/{path}"))
    pid = oci.state(name)["pid"]
    assert oci.cgroups(path)
    lines = [line.rpartition(":")[2] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    assert f"/{path}" in lines
    oci.ok("delete", "--force", name)
    assert not oci.cgroups(path)


def test_the_same_path_is_the_same_place_and_what_was_there_before_stays(oci: OciLab) -> None:
    path = oci.name()
    mounts = {name: root for name, root in probe().cgroup_mounts.items() if name} if V1 else probe().cgroup_mounts
    kept = Path(min(mounts.values()), path)
    kept.mkdir()
    try:
        for _ in range(2):
            name = oci.started("exec sleep 300", linux(cgroupsPath=f"/{path}"))
            assert str(oci.state(name)["pid"]) in (kept / "cgroup.procs").read_text().split()
            oci.ok("delete", "--force", name)
            assert [str(kept)] == oci.cgroups(path)
    finally:
        kept.rmdir()


@pytest.mark.parametrize("path", ["/", "..", "/../..", "//", "a/.."])
def test_the_root_of_the_hierarchy_is_no_cgroup_of_a_container(path: str) -> None:
    """Read off the function that decides, before anything is made: an error here would end every process there is."""
    from wharf.runtime.oci import cgroups

    with pytest.raises(CommandFailed, match="holds the whole host"):
        cgroups.place("x", {"linux": {"cgroupsPath": path}}, False, probe())


def test_a_cgroup_with_processes_is_refused(oci: OciLab) -> None:
    name = oci.started()
    error = oci.fails("create", "-b", str(oci.bundle(linux(cgroupsPath=f"/{name}"), script="true")), oci.name())
    assert "cgroup is not empty" in error
    assert oci.state(name)["status"] == "running"
    oci.ok("delete", "--force", name)


@pytest.mark.skipif(not V1, reason="files of cgroup v1; those of v2: tests/vm/test_oci_runtime.py")
def test_resources_are_limits_of_the_cgroup(oci: OciLab) -> None:
    resources = {
        "memory": {"limit": 64 << 20, "reservation": 32 << 20},
        "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0"},
        "pids": {"limit": 77},
    }
    name = oci.started("exec sleep 300", linux(resources=resources))
    files = {
        "memory/{}/memory.limit_in_bytes": str(64 << 20), "memory/{}/memory.soft_limit_in_bytes": str(32 << 20),
        "cpu/{}/cpu.shares": "512", "cpu/{}/cpu.cfs_quota_us": "50000", "cpuset/{}/cpuset.cpus": "0",
        "pids/{}/pids.max": "77",
    }  # fmt: skip
    for pattern, value in files.items():
        controller = pattern.partition("/")[0]
        path = probe().cgroup_mounts[controller] + "/" + pattern.partition("/")[2].format(name)
        assert Path(path).read_text().strip() == value, path
    oci.ok("update", "--pids-limit", "55", "--memory", str(48 << 20), "--memory-reservation", "0", name)
    assert Path(probe().cgroup_mounts["pids"], name, "pids.max").read_text().strip() == "55"
    oci.ok("delete", "--force", name)


def test_a_limit_that_the_kernel_refuses_leaves_no_container(oci: OciLab) -> None:
    error = oci.refused(linux(resources={"cpu": {"cpus": "4000"}}))
    assert "unable to apply cgroup configuration: failed to write" in error


# -- config-linux.md: the rest


def test_sysctls_of_own_namespaces_are_set_and_others_refused(oci: OciLab) -> None:
    edit = linux(sysctl={"net.ipv4.ip_forward": "1", "kernel.msgmax": "4096"})
    assert oci.run("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax", edit) == "1\n4096\n"
    assert "is not in a separate kernel namespace" in oci.refused(linux(sysctl={"vm.swappiness": "1"}))
    assert "not allowed in host network namespace" in oci.refused(without("network"), edit)


def _seccomp(*rules: dict[str, Any], **more: Any) -> Edit:
    return linux(seccomp={"defaultAction": "SCMP_ACT_ALLOW", "syscalls": list(rules), **more})


def test_a_seccomp_filter_with_its_errno_and_flags(oci: OciLab) -> None:
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}
    for flags in ([], ["SECCOMP_FILTER_FLAG_LOG"], ["SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"]):
        for privileges in (True, False):
            edits = (_seccomp(rule, flags=flags), process(noNewPrivileges=privileges))
            out = oci.run("mkdir /x 2>&1; grep Seccomp: /proc/self/status", *edits)
            assert out == "mkdir: can't create directory '/x': No space left on device\nSeccomp:\t2\n"


def test_the_default_errno_of_a_seccomp_filter(oci: OciLab) -> None:
    from wharf.runtime import filters

    profile = json.loads((Path(filters.__file__).parent / "seccomp-default.json").read_text())
    names = [name for rule in profile["syscalls"] for name in rule["names"] if name not in ("mkdir", "mkdirat")]
    allow = {"names": sorted(set(names)), "action": "SCMP_ACT_ALLOW"}
    edit = linux(seccomp={"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 30, "syscalls": [allow]})
    assert "Read-only file system" in oci.run("mkdir /x 2>&1; true", edit)


def test_seccomp_words_that_are_not_known_are_refused(oci: OciLab) -> None:
    rule = {"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}
    assert "SCMP_ACT_NOTIFY" in oci.refused(_seccomp(rule))
    assert "flags not supported: FUN" in oci.refused(_seccomp(flags=["FUN"]))
    assert "is not known" in oci.refused(_seccomp({"names": ["mkdir"], "action": "SCMP_ACT_FUN"}))
    allow = {"names": ["mkdir"], "action": "SCMP_ACT_ALLOW", "errnoRet": 1}
    assert "which returns none" in oci.refused(_seccomp(allow))
    assert "must have names" in oci.refused(_seccomp({"names": [], "action": "SCMP_ACT_ERRNO"}))


def test_personality(oci: OciLab) -> None:
    assert oci.run("uname -m", linux(personality={"domain": "LINUX32"})).strip() in ("i686", "armv8l")
    assert "it is not known" in oci.refused(linux(personality={"domain": "AMIGA"}))


def test_what_this_host_or_runtime_has_not_is_refused_by_name(oci: OciLab) -> None:
    assert "intelRdt is not supported" in oci.refused(linux(intelRdt={"closID": "x"}))
    assert "cannot apply resources.blockIO.leafWeight" in oci.refused(linux(resources={"blockIO": {"leafWeight": 10}}))
    assert "rdma" in oci.refused(linux(resources={"rdma": {"nosuch0": {"hcaHandles": 1}}}))
    told = "a property is missing or has the wrong type: 'pageSize'"
    assert told in oci.refused(linux(resources={"hugepageLimits": [{}]}))
    if not probe().apparmor:
        assert "apparmor not supported" in oci.refused(process(apparmorProfile="some-profile"))
    if not probe().selinux:
        assert "selinux is disabled or not supported" in oci.refused(process(selinuxLabel="a:b:c"))


def test_a_terminal_has_its_size(oci: OciLab) -> None:
    edit = process(terminal=True, consoleSize={"height": 33, "width": 99})
    bundle = oci.bundle(edit, script="tty; test -c /dev/console && echo console; stty size")
    out = oci.ok("run", "-b", str(bundle), oci.name()).replace("\r", "")
    assert out.split("\n")[:3] == ["/dev/pts/0", "console", "33 99"]


def test_the_interpreter_of_the_host_is_out_of_reach(oci: OciLab) -> None:
    """What waits for `start` runs from a sealed copy: nobody in its namespaces gets at the host's file through it."""
    name = oci.created("true")
    pid = oci.state(name)["pid"]
    assert os.readlink(f"/proc/{pid}/exe").startswith("/memfd:")
    with pytest.raises(OSError):
        os.open(f"/proc/{pid}/exe", os.O_RDWR)
    assert not stat.S_ISREG(os.stat(f"/proc/{pid}/fd/0").st_mode)
    oci.ok("delete", name)
