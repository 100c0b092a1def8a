"""Unused images go by themselves, by the daemon's settings; those of containers stay."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.busybox import docker_archive
from tests.support.wharfd import Wharfd

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def names(daemon: Wharfd) -> set[str]:
    return set(daemon.docker("images", "--format", "{{.Repository}}").stdout.split())


def test_what_is_unused_goes_and_settings_are_read_again(tmp_path: Path) -> None:
    settings = tmp_path / "daemon.json"
    settings.write_text(json.dumps({"image-gc": {"unused-for": "1h", "interval": "1s"}}))
    with Wharfd("--config-file", str(settings)) as daemon:
        for name in ("used", "idle"):
            archive = tmp_path / f"{name}.tar"
            archive.write_bytes(docker_archive(f"{name}:1", config={"Labels": {"name": name}}))
            daemon.docker("load", "-i", str(archive))
        daemon.docker("create", "--name", "user", "--network", "none", "used:1")
        events = subprocess.Popen(
            ["docker", "events", "--filter", "event=prune"], env=daemon.environment, stdout=subprocess.PIPE, text=True
        )
        try:
            assert events.stdout
            events.stdout.readline()  # a round has gone by
            assert names(daemon) == {"used", "idle"}
            settings.write_text(json.dumps({"image-gc": {"max-size": "1k", "interval": "1s"}}))
            assert daemon.process
            os.kill(daemon.process.pid, signal.SIGHUP)
            deadline = time.monotonic() + 30
            while names(daemon) != {"used"} and time.monotonic() < deadline:
                time.sleep(0.1)
            assert names(daemon) == {"used"}
        finally:
            events.kill()
            events.wait()
