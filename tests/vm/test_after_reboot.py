"""The second life: what ran is known to have ended, what shall always run runs, nothing stale is in the way."""

from pathlib import Path

from tests.vm.guest import CGROUPS, SYSTEMD, Guest, until


def test_the_state_is_true_after_a_reboot() -> None:
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text()
    assert Path("/persist/boot_id").read_text() not in ("", boot_id)
    with Guest("/persist/wharf-reboot") as engine:
        plain = engine.inspect("plain")["State"]
        assert (plain["Status"], plain["ExitCode"], plain["Pid"]) == ("exited", 137, 0)
        done = engine.inspect("done")["State"]
        assert (done["Status"], done["ExitCode"]) == ("exited", 3)
        assert engine.wharf("logs", "done").stdout == "kept\n"
        until(lambda: engine.inspect("always")["State"]["Running"])
        assert engine.cgroup("always").is_dir()
        pattern = "system.slice/wharf-*.scope" if SYSTEMD else "wharf-*/*"
        assert [path for path in CGROUPS.glob(pattern) if path.is_dir()] == [engine.cgroup("always")]
        engine.wharf("start", "plain")  # its port and its address are free
        assert engine.inspect("plain")["State"]["Running"]
