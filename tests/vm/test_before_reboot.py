"""The first of two lives of a machine: it ends without warning, with containers running."""

import os

from tests.vm.guest import Guest


def test_containers_run_when_the_machine_goes_down() -> None:
    engine = Guest("/persist/wharf-reboot").__enter__()
    engine.load_busybox()
    engine.wharf("run", "-d", "--name", "plain", "-p", "18081:80", "busybox", "sleep", "1000")
    engine.wharf("run", "-d", "--name", "always", "--restart", "always", "busybox", "sleep", "1000")
    for name in ("unless", "by-hand"):
        engine.wharf("run", "-d", "--name", name, "--restart", "unless-stopped", "busybox", "sleep", "1000")
    engine.wharf("stop", "-t", "0", "by-hand")
    engine.wharf(
        "run",
        "-d",
        "--name",
        "failing",
        "--restart",
        "on-failure:2",
        "--health-cmd",
        "true",
        "busybox",
        "sleep",
        "1000",
    )
    ended = engine.wharf("run", "--name", "done", "busybox", "sh", "-c", "echo kept; exit 3", check=False)
    assert ended.returncode == 3
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as now, open("/persist/boot_id", "w") as kept:
        kept.write(now.read())
    os.sync()
    # No stop, no clean end: the lane takes the power away.
