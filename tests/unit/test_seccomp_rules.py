"""The default seccomp profile as it is chosen for one container: by bounding set, architecture and kernel."""

import json
from pathlib import Path
from typing import Any

import pytest

import wharf.runtime
from wharf.kernel.seccomp_compiler import oci_rules

PROFILE: dict[str, Any] = json.loads((Path(wharf.runtime.__path__[0]) / "seccomp-default.json").read_text())
ALLOW, EPERM, ENOSYS = "SCMP_ACT_ALLOW", 1, 38


def rules(*capabilities: str, machine: str = "x86_64", kernel: str = "6.1.0") -> dict[str, Any]:
    return oci_rules(PROFILE, frozenset(capabilities), machine, kernel)


def allowed(chosen: dict[str, Any]) -> set[str]:
    """Calls that are allowed whatever their arguments."""
    found = (rule for rule in chosen["syscalls"] if rule["action"] == ALLOW and not rule.get("args"))
    return {name for rule in found for name in rule["names"]}


def test_what_is_not_named_is_not_permitted() -> None:
    chosen = rules()
    assert (chosen["defaultAction"], chosen["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", EPERM)
    assert not allowed(chosen) & {"mount", "setns", "bpf", "reboot", "init_module", "open_by_handle_at", "keyctl"}


@pytest.mark.parametrize(
    ("capability", "calls"),
    [
        ("CAP_SYS_ADMIN", {"bpf", "clone", "clone3", "fsopen", "mount", "setns", "unshare", "quotactl"}),
        ("CAP_DAC_READ_SEARCH", {"open_by_handle_at"}),
        ("CAP_SYS_BOOT", {"reboot"}),
        ("CAP_SYS_CHROOT", {"chroot"}),
        ("CAP_SYS_MODULE", {"init_module", "delete_module", "finit_module"}),
        ("CAP_SYS_PACCT", {"acct"}),
        ("CAP_SYS_RAWIO", {"iopl", "ioperm"}),
        ("CAP_SYS_TIME", {"settimeofday", "clock_settime"}),
        ("CAP_SYS_TTY_CONFIG", {"vhangup"}),
        ("CAP_SYS_NICE", {"mbind", "set_mempolicy"}),
        ("CAP_SYSLOG", {"syslog"}),
        ("CAP_BPF", {"bpf"}),
        ("CAP_PERFMON", {"perf_event_open"}),
    ],
)
def test_a_capability_of_the_bounding_set_opens_its_calls(capability: str, calls: set[str]) -> None:
    assert not allowed(rules()) & calls
    assert calls <= allowed(rules(capability))


def test_clone_makes_no_namespace_and_clone3_is_not_there() -> None:
    chosen = rules()["syscalls"]
    (clone,) = (rule for rule in chosen if "clone" in rule["names"] and rule["action"] == ALLOW)
    (check,) = clone["args"]
    assert (check["index"], check["op"]) == (0, "SCMP_CMP_MASKED_EQ")
    assert (check["value"], check.get("valueTwo", 0)) == (0x7E020000, 0)
    assert [rule["errnoRet"] for rule in chosen if "clone3" in rule["names"]] == [ENOSYS]


def test_personalities() -> None:
    found = [rule["args"][0] for rule in rules()["syscalls"] if rule["names"] == ["personality"]]
    assert {check["value"] for check in found} == {0, 8, 0x20000, 0x20008, 0xFFFFFFFF}


def test_tracing_is_for_kernels_that_check_it() -> None:
    assert "ptrace" in allowed(rules(kernel="4.8.0")) and "ptrace" not in allowed(rules(kernel="4.7.0"))


@pytest.mark.parametrize(
    ("machine", "names"),
    [
        ("x86_64", {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"}),
        ("aarch64", {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"}),
    ],
)
def test_the_other_call_tables_of_a_machine_are_filtered_too(machine: str, names: set[str]) -> None:
    assert set(rules(machine=machine)["architectures"]) == names
