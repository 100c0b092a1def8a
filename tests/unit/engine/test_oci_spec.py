"""Records as runtime specifications: Docker's defaults, and what each option changes."""

from typing import Any

import pytest

from wharf.engine.config import EngineConfig
from wharf.engine.defaults import MASKED_PATHS, fill_host_config
from wharf.engine.oci_resources import parse_device_rule, resources_of
from wharf.engine.oci_spec import Found, build_spec, replace_env, tmpfs_options
from wharf.engine.security import DEFAULT_CAPABILITIES, Security
from wharf.errors import Invalid
from wharf.spec.container import ContainerConfig, ContainerRecord, HostConfig, MountPoint, MountRequest
from wharf.spec.host import CgroupWorld, Host

FILES = {"/etc/hosts": "/c/hosts", "/etc/hostname": "/c/hostname", "/etc/resolv.conf": "/c/resolv.conf"}


def record(config: ContainerConfig | None = None, host: HostConfig | None = None) -> ContainerRecord:
    host = host or HostConfig(network_mode="bridge", ipc_mode="private", cgroupns_mode="host", shm_size=1 << 20)
    config = config or ContainerConfig(hostname="h")
    return ContainerRecord("f" * 64, "name", "", "sha256:", config, host, path="sh", args=["-c", "true"])


def spec(made: ContainerRecord, **found: Any) -> dict[str, Any]:
    return build_spec(made, Found(DEFAULT_CAPABILITIES, found.pop("security", Security()), files=FILES, **found))


def mounts(made: ContainerRecord, **found: Any) -> dict[str, dict[str, Any]]:
    return {item["destination"]: item for item in spec(made, **found)["mounts"]}


def kinds(made: ContainerRecord) -> list[str]:
    return [item["type"] for item in spec(made)["linux"]["namespaces"]]


def test_default_namespaces() -> None:
    assert kinds(record()) == ["mount", "network", "uts", "pid", "ipc"]


def test_host_namespaces_are_left_out() -> None:
    host = HostConfig(network_mode="host", uts_mode="host", pid_mode="host", ipc_mode="host", cgroupns_mode="private")
    assert kinds(record(host=host)) == ["mount", "cgroup"]


def test_default_mounts_and_files() -> None:
    found = mounts(record())
    assert list(found) == [
        "/proc", "/dev", "/sys", "/dev/pts", "/dev/mqueue", "/dev/shm", "/etc/hosts", "/etc/hostname",
        "/etc/resolv.conf", "/sys/fs/cgroup",
    ]  # fmt: skip
    assert "ro" in found["/sys"]["options"]
    assert "size=1048576" in found["/dev/shm"]["options"]


def test_parents_are_mounted_first() -> None:
    made = record()
    for target in ("/a/b/c", "/a"):
        made.mounts.append(MountPoint("bind", "", "/tmp", target))
        made.mount_requests.append(MountRequest("bind", "/tmp", target))
    order = list(mounts(made))
    assert order.index("/a") < order.index("/a/b/c")


def test_a_users_mount_replaces_a_default() -> None:
    made = record()
    made.mounts.append(MountPoint("bind", "", "/tmp", "/dev"))
    made.mount_requests.append(MountRequest("bind", "/tmp", "/dev"))
    found = mounts(made)
    assert found["/dev"]["type"] == "bind"
    assert not [target for target in found if target.startswith("/dev/")]


def test_privileged_takes_the_masks_off() -> None:
    host = HostConfig(network_mode="bridge", privileged=True)
    linux = spec(record(host=host), security=Security(confined=False))["linux"]
    assert linux["maskedPaths"] == linux["readonlyPaths"] == []
    assert linux["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert "ro" not in mounts(record(host=host))["/sys"]["options"]


def test_empty_lists_of_paths_mean_none() -> None:
    host = HostConfig(network_mode="bridge", masked_paths=[], readonly_paths=[])
    linux = spec(record(host=host))["linux"]
    assert linux["maskedPaths"] == linux["readonlyPaths"] == []


def test_masked_are_the_users_paths_alone_or_those_of_this_machine_too() -> None:
    config, host = EngineConfig("/x", "/y"), Host("6.12", "x86_64", "b", frozenset(), 40, True, CgroupWorld.V2, {})
    given, silent = HostConfig(masked_paths=["/proc/keys"]), HostConfig()
    for item in (given, silent):
        fill_host_config(item, config, host, ["/sys/thermal"])
    assert spec(record(host=given))["linux"]["maskedPaths"] == ["/proc/keys"]
    assert silent.masked_paths == spec(record(host=silent))["linux"]["maskedPaths"] == [*MASKED_PATHS, "/sys/thermal"]


def test_read_only_root_spares_what_must_be_written() -> None:
    host = HostConfig(network_mode="bridge", readonly_rootfs=True, shm_size=1)
    found = mounts(record(host=host))
    assert "ro" not in found["/dev/shm"]["options"]
    assert "ro" in found["/etc/hosts"]["options"]


def test_environment_in_dockers_order() -> None:
    config = ContainerConfig(hostname="h", tty=True, env=["A=1", "PATH=/bin", "TERM"])
    assert spec(record(config))["process"]["env"] == ["PATH=/bin", "HOSTNAME=h", "A=1"]


def test_a_later_variable_keeps_the_earlier_place() -> None:
    assert replace_env(["A=1", "B=2"], ["C=3", "A=4", "B"]) == ["A=4", "C=3"]


def test_sysctls_belong_to_an_own_network() -> None:
    assert "net.ipv4.ping_group_range" in spec(record())["linux"]["sysctl"]
    joined = HostConfig(network_mode="container:x")
    assert spec(record(host=joined), joined=frozenset({"network"}))["linux"]["sysctl"] == {}


def test_limits() -> None:
    host = HostConfig(memory=1 << 30, memory_swap=2 << 30, nano_cpus=1_500_000_000, pids_limit=7)
    found = resources_of(host)
    assert found["memory"] == {"limit": 1 << 30, "swap": 2 << 30}
    assert found["cpu"] == {"period": 100_000, "quota": 150_000}
    assert found["pids"] == {"limit": 7}


def test_devices_are_denied_first_and_fuse_last() -> None:
    rules = resources_of(HostConfig())["devices"]
    fuse = {"allow": False, "access": "rwm", "type": "c", "major": 10, "minor": 229}
    assert rules[0] == {"allow": False, "access": "rwm"}
    assert [rule for rule in rules[1:] if not rule["allow"]] == [fuse]
    assert [rule["access"] for rule in rules[rules.index(fuse) + 1 :]] == ["m", "m"]  # any node may be made


@pytest.mark.parametrize("text", ["", "c 1:3", "x 1:3 r", "c 1 r", "c 1:3 q", "c a:3 r", "c 1:3:4 r"])
def test_bad_device_rules(text: str) -> None:
    with pytest.raises(Invalid, match="invalid device cgroup rule format"):
        parse_device_rule(text)


def test_a_later_tmpfs_word_wins() -> None:
    assert tmpfs_options(["exec", "size=1m"]) == ["nosuid", "nodev", "rprivate", "exec", "size=1m"]


def test_init_goes_before_the_program() -> None:
    host = HostConfig(network_mode="bridge", init=True)
    made = spec(record(host=host), init_program="/usr/bin/tini-static")
    assert made["process"]["args"] == ["/sbin/docker-init", "--", "sh", "-c", "true"]
    assert "/sbin/docker-init" in mounts(record(host=host))
