"""What another OCI runtime is told: the cgroup by the driver's form, and no host name for the host."""

from typing import Any

import pytest

from wharf.runtime.foreign_spec import bundle_config, runtime_command


def spec() -> dict[str, Any]:
    namespaces = [{"type": "mount"}, {"type": "uts"}]
    return {"hostname": "a", "domainname": "b", "mounts": [], "linux": {"namespaces": namespaces}}


@pytest.mark.parametrize(
    ("cgroup", "told"),
    [
        ("/wharf/abc", "/wharf/abc"),
        ("/system.slice/wharf-abc.scope", "system.slice:wharf:abc"),
        ("/system.slice/wharf-i1-abc.scope", "system.slice:wharf-i1:abc"),
        ("/a.slice/a-b.slice/wharf-abc.scope", "a-b.slice:wharf:abc"),
        ("/wharf-abc.scope", "-.slice:wharf:abc"),
    ],
)
def test_the_cgroup_in_the_form_of_its_driver(cgroup: str, told: str) -> None:
    assert bundle_config(spec(), cgroup, None)["linux"]["cgroupsPath"] == told
    flags = ["--systemd-cgroup"] if ":" in told else []
    assert runtime_command(("/bin/runtime", "--x"), cgroup) == ["/bin/runtime", "--x", *flags]
    assert runtime_command((), cgroup) == []


def test_the_host_is_not_named() -> None:
    config = bundle_config(spec(), "", None)
    assert (config["hostname"], config["domainname"]) == ("a", "b") and "cgroupsPath" not in config["linux"]
    shared = spec()
    shared["linux"]["namespaces"] = [{"type": "mount"}]
    assert not {"hostname", "domainname"} & set(bundle_config(shared, "", None))


def test_limits_without_end_are_the_kernels_number() -> None:
    limits = [{"type": "RLIMIT_NOFILE", "soft": 7, "hard": -1}]
    config = bundle_config({**spec(), "process": {"rlimits": limits}}, "", None)
    assert config["process"]["rlimits"] == [{"type": "RLIMIT_NOFILE", "soft": 7, "hard": (1 << 64) - 1}]
    assert limits[0]["hard"] == -1
