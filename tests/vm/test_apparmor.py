"""AppArmor in a kernel that has it: the default profile is loaded, put on, denies, and can be taken off.

Every denial is asked for with all else out of the way (no filter, no read-only paths, the capability given), and shown
to work without the profile: what is denied is denied by the profile alone.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.guest import Guest
from wharf.kernel.lsm import apparmor

OPEN = ("--cap-add", "ALL", "--security-opt", "seccomp=unconfined", "--security-opt", "systempaths=unconfined")
OFF = ("--security-opt", "apparmor=unconfined")
OWN_PROFILE = """profile vm-own flags=(attach_disconnected,mediate_deleted) {
  network, capability, file, umount, signal,
  deny /forbidden rw,
}
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[Guest]:
    with Guest("/var/lib/wharf-apparmor") as guest:
        guest.load_busybox()
        yield guest


def current(engine: Guest, *flags: str) -> str:
    """The label of a container's process, by its own /proc."""
    return engine.wharf("run", "--rm", *flags, "busybox", "cat", "/proc/self/attr/current").stdout.strip(" \n\0")


def test_the_profile_is_in_the_kernel(engine: Guest) -> None:
    assert "wharf-default (enforce)" in Path("/sys/kernel/security/apparmor/profiles").read_text().splitlines()
    assert apparmor.is_loaded("wharf-default")
    assert "name=apparmor" in engine.wharf("info", "--format", "{{json .SecurityOptions}}").stdout


def test_a_container_and_its_execs_run_under_it(engine: Guest) -> None:
    engine.wharf("run", "-d", "--name", "labelled", "busybox", "sleep", "1000")
    pid = engine.inspect("labelled")["State"]["Pid"]
    assert Path(f"/proc/{pid}/attr/current").read_text().strip() == "wharf-default (enforce)"
    assert engine.inspect("labelled")["AppArmorProfile"] == "wharf-default"
    inside = engine.wharf("exec", "labelled", "cat", "/proc/self/attr/current").stdout.strip()
    assert inside == "wharf-default (enforce)"
    engine.wharf("rm", "-f", "labelled")


@pytest.mark.parametrize(
    ("flags", "label"),
    [
        ((), "wharf-default (enforce)"),
        (("--security-opt", "no-new-privileges"), "wharf-default (enforce)"),
        (("--user", "1000"), "wharf-default (enforce)"),
        (("--security-opt", "apparmor=wharf-default"), "wharf-default (enforce)"),
        (("--security-opt", "apparmor:wharf-default"), "wharf-default (enforce)"),
        (OFF, "unconfined"),
        (("--privileged",), "unconfined"),
        (("--privileged", "--security-opt", "apparmor=wharf-default"), "wharf-default (enforce)"),
    ],
)
def test_labels(engine: Guest, flags: tuple[str, ...], label: str) -> None:
    assert current(engine, *flags) == label


@pytest.mark.parametrize(
    "script",
    [
        "mount -t tmpfs none /mnt",
        "mount --bind /etc /mnt",
        "cat /proc/sys/kernel/core_pattern >/tmp/x && cat /tmp/x >/proc/sys/kernel/core_pattern",
        "cat /proc/sys/kernel/modprobe >/tmp/x && cat /tmp/x >/proc/sys/kernel/modprobe",
        "cat /proc/sys/vm/swappiness >/tmp/x && cat /tmp/x >/proc/sys/vm/swappiness",
        "cat /proc/sys/net/ipv4/ip_forward >/tmp/x && cat /tmp/x >/proc/sys/net/ipv4/ip_forward",
        ": >>/proc/sysrq-trigger",
        "head -c1 /proc/kcore",
        "ls /sys/kernel/security/apparmor/",
    ],
)
def test_what_it_denies(engine: Guest, script: str) -> None:
    # /sys and what is below it are made writable and visible: only the profile is between.
    words = ("busybox", "sh", "-c", f"mkdir -p /mnt /tmp; {script}")
    volumes = ("-v", "/sys/kernel/security:/sys/kernel/security")
    denied = engine.wharf("run", "--rm", *OPEN, *volumes, *words, check=False)
    assert denied.returncode != 0 and "ermission denied" in denied.stderr, denied
    engine.wharf("run", "--rm", *OPEN, *volumes, *OFF, *words)


def test_what_it_leaves(engine: Guest) -> None:
    script = (
        "echo x >/file && cat /proc/sys/kernel/shmmax >/n && cat /n >/proc/sys/kernel/shmmax && "
        "sleep 100 & sleep 0.1; kill $! && ps >/dev/null && echo 0 >/proc/self/oom_score_adj && echo done"
    )
    out = engine.wharf("run", "--rm", *OPEN, "busybox", "sh", "-c", script)
    assert out.stdout == "done\n"


def test_a_profile_of_ones_own(engine: Guest) -> None:
    subprocess.run(["apparmor_parser", "--replace"], input=OWN_PROFILE.encode(), check=True)
    script = "cat /proc/self/attr/current; touch /allowed; touch /forbidden"
    out = engine.wharf("run", "--rm", "--security-opt", "apparmor=vm-own", "busybox", "sh", "-c", script, check=False)
    assert out.stdout == "vm-own (enforce)\n" and "/forbidden: Permission denied" in out.stderr


def test_a_profile_that_is_not_there(engine: Guest) -> None:
    out = engine.wharf("run", "--rm", "--security-opt", "apparmor=nowhere", "busybox", "true", check=False)
    assert out.returncode == 127 and "unable to apply apparmor profile" in out.stderr


def test_a_daemon_loads_it_again_where_it_was_taken_out(engine: Guest) -> None:
    subprocess.run(["apparmor_parser", "--remove"], input=apparmor.default_profile().encode(), check=True)
    assert not apparmor.is_loaded("wharf-default")
    with Guest("/var/lib/wharf-apparmor2", "--bip", "10.98.0.1/24"):
        assert apparmor.is_loaded("wharf-default")
