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
        for name in ("unless", "failing"):  # 137 is a failure
            until(lambda name=name: engine.inspect(name)["State"]["Running"])  # type: ignore[misc]
        assert engine.inspect("failing")["RestartCount"] == 1
        assert engine.inspect("failing")["State"]["Health"]["Status"] in ("starting", "healthy")
        assert engine.inspect("by-hand")["State"]["Status"] == "exited"
        assert engine.cgroup("always").is_dir()
        pattern = "system.slice/wharf-*.scope" if SYSTEMD else "wharf-*/*"
        assert sorted(path for path in CGROUPS.glob(pattern) if path.is_dir()) == sorted(
            engine.cgroup(name) for name in ("always", "unless", "failing")
        )
        engine.wharf("start", "plain")  # its port and its address are free
        assert engine.inspect("plain")["State"]["Running"]
