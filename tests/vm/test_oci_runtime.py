"""wharf-runtime on pure cgroup v2: limits, device rules, scopes of systemd, AppArmor profiles."""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.oci.edits import linux, process
from tests.system.oci.lab import Config, OciLab
from tests.vm.guest import CGROUPS, SYSTEMD, disk_major, unit, until
from wharf.kernel.probe import probe
from wharf.runtime.oci.sealed import own_command

CALL_SECONDS = 240
"""An emulated machine on a busy one: each call starts an interpreter twice."""
RESOURCES = {
    "memory": {"limit": 64 << 20, "swap": 96 << 20, "reservation": 32 << 20},
    "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0"},
    "pids": {"limit": 77},
}
FILES = {
    "memory.max": str(64 << 20), "memory.swap.max": str(32 << 20), "memory.low": str(32 << 20), "cpu.weight": "20",
    "cpu.max": "50000 100000", "cpuset.cpus": "0", "pids.max": "77",
}  # fmt: skip
PROFILE = "profile vm-oci flags=(attach_disconnected) {\n  file, capability, signal,\n  deny /forbidden w,\n}\n"


@pytest.fixture(scope="module")
def oci() -> Iterator[OciLab]:
    lab = OciLab(Path(tempfile.mkdtemp(prefix="wharf-oci-")), own_command(), CALL_SECONDS)
    yield lab
    lab.close()


@pytest.fixture(scope="module")
def systemd_oci() -> Iterator[OciLab]:
    lab = OciLab(Path(tempfile.mkdtemp(prefix="wharf-oci-")), (*own_command(), "--systemd-cgroup"), CALL_SECONDS)
    yield lab
    lab.close()


def _found(cgroup: Path) -> dict[str, str]:
    return {name: (cgroup / name).read_text().strip() for name in FILES}


def test_limits_and_device_rules_of_v2(oci: OciLab) -> None:
    rule = {"allow": True, "type": "b", "major": disk_major(), "minor": 0, "access": "r"}
    edit = linux(resources={**RESOURCES, "devices": [{"allow": False, "access": "rwm"}, rule]})
    caps = ["CAP_MKNOD", "CAP_SYS_ADMIN"]

    def privileged(config: Config) -> None:
        config["process"]["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), caps)

    name = oci.started("exec sleep 300", edit, privileged)
    assert _found(CGROUPS / name) == FILES
    disk = disk_major()
    script = (
        f"mknod /d b {disk} 0 && head -c1 /d >/dev/null && echo read; echo x 2>&1 >/d; mknod /k c 1 11; head -c1 /k"
    )
    done = oci.call("exec", name, "sh", "-c", script)
    assert done.stdout.startswith("read\n") and (done.stdout + done.stderr).count("Operation not permitted") == 2, done
    oci.ok("update", "--memory", "48m", "--memory-swap", "-1", "--pids-limit", "55", name)
    changed = {"memory.max": str(48 << 20), "memory.swap.max": "max", "pids.max": "55"}
    assert _found(CGROUPS / name) == {**FILES, **changed}
    oci.ok("delete", "--force", name)
    assert not (CGROUPS / name).exists()


def test_a_path_that_ends_as_a_scope_is_a_path_without_systemds_driver(oci: OciLab) -> None:
    path = CGROUPS / f"{oci.prefix}.scope"
    name = oci.started("exec sleep 300", linux(cgroupsPath=f"/{path.name}", resources=RESOURCES))
    assert _found(path) == FILES
    oci.ok("delete", "--force", name)
    assert not path.exists()


@pytest.mark.skipif(SYSTEMD, reason="the init is systemd")
def test_the_driver_of_systemd_needs_systemd(systemd_oci: OciLab) -> None:
    assert "systemd support for managing cgroups is not available" in systemd_oci.refused()


@pytest.mark.skipif(not SYSTEMD, reason="the init is not systemd")
def test_a_scope_of_systemd_holds_the_container_and_goes_with_it(systemd_oci: OciLab) -> None:
    oci = systemd_oci
    device = {"path": "/dev/kmsg2", "type": "c", "major": 1, "minor": 11}
    path = linux(cgroupsPath="machine-vm.slice:libpod:one", resources=RESOURCES, devices=[device])
    name = oci.started("exec sleep 300", path)
    cgroup = CGROUPS / "machine.slice/machine-vm.slice/libpod-one.scope"
    pid = oci.state(name)["pid"]
    assert Path(f"/proc/{pid}/cgroup").read_text().strip() == f"0::/{cgroup.relative_to(CGROUPS)}"
    wanted = {"ActiveState": "active", "Slice": "machine-vm.slice", "MemoryMax": str(64 << 20), "TasksMax": "77"}
    for _ in range(2):
        assert unit(cgroup.name, *wanted) == wanted
        assert _found(cgroup) == FILES
        subprocess.run(["systemctl", "daemon-reload"], check=True)  # systemd writes its own idea of the limits again
    assert oci.ok("exec", name, "sh", "-c", "echo in $(cat /proc/self/cgroup | wc -l)") == "in 1\n"
    assert "Operation not permitted" in oci.call("exec", name, "head", "-c1", "/dev/kmsg2").stderr
    oci.ok("update", "--memory", "48m", name)
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    assert (cgroup / "memory.max").read_text().strip() == str(48 << 20)
    other = oci.fails("create", "-b", str(oci.bundle(path, script="true")), oci.name())
    assert "cgroup is not empty" in other and oci.state(name)["status"] == "running"
    oci.ok("delete", "--force", name)
    assert not cgroup.exists() and unit(cgroup.name, "LoadState") == {"LoadState": "not-found"}
    # The same name again, to its own end this time; then one that fails behind its scope.
    assert oci.run("echo again", path) == "again\n"
    until(lambda: not cgroup.exists())
    wrong = oci.fails("create", "-b", str(oci.bundle(path, process(args=["nosuch"]))), oci.name())
    assert "executable file not found" in wrong
    assert not cgroup.exists() and unit(cgroup.name, "LoadState") == {"LoadState": "not-found"}


@pytest.mark.skipif(not SYSTEMD, reason="the init is not systemd")
def test_a_path_that_names_no_scope_is_refused(systemd_oci: OciLab) -> None:
    assert "expected cgroupsPath to be of format" in systemd_oci.refused(linux(cgroupsPath="/a/b"))


def test_a_profile_is_put_on_whatever_the_container_has_at_proc(oci: OciLab) -> None:
    if not probe().apparmor:
        pytest.skip("a kernel without AppArmor")
    subprocess.run(["apparmor_parser", "--replace"], input=PROFILE.encode(), check=True)

    def edit(config: Config) -> None:
        config["process"]["apparmorProfile"] = "vm-oci"
        config["mounts"] = [item for item in config["mounts"] if item["destination"] != "/proc"]
        config["linux"] |= {"maskedPaths": [], "readonlyPaths": []}

    bundle = oci.bundle(edit, script="echo x > /forbidden || echo denied; exec sleep 300")
    for place in ("proc/self/attr/apparmor", "proc/thread-self/attr/apparmor"):
        (bundle / "rootfs" / place).mkdir(parents=True)
        (bundle / "rootfs" / place / "exec").write_text("")
        (bundle / "rootfs" / place / "../exec").write_text("")
    name = oci.name()
    oci.ok("create", "-b", str(bundle), name)
    oci.ok("start", name)
    current = Path(f"/proc/{oci.state(name)['pid']}/attr/current").read_text().strip()
    assert current == "vm-oci (enforce)"
    assert not (bundle / "rootfs/forbidden").exists()
    assert (bundle / "rootfs/proc/self/attr/apparmor/exec").read_text() == ""
    oci.ok("exec", "-d", name, "sleep", "301")
    pids = json.loads(oci.ok("ps", "--format", "json", name))
    labels = {Path(f"/proc/{pid}/attr/current").read_text().strip() for pid in pids}
    assert labels == {"vm-oci (enforce)"}
    oci.ok("delete", "--force", name)
