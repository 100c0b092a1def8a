"""The distribution's docker of its stable suite (20.10 in bookworm), which speaks API 1.41, against wharfd."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.conformance.image import archive, find_busybox
from tests.support.registry import Registry
from tests.support.wharfd import ROOT, Wharfd


def test_an_old_command_line_negotiates_and_works(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("containers need root here")
    found = subprocess.run([str(ROOT / "tools/docker-old")], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        pytest.skip(f"NO OLD DOCKER: the distribution's package could not be had: {found.stderr[-200:]}")
    (tmp_path / "a.tar").write_bytes(archive(find_busybox()))
    (tmp_path / "Dockerfile").write_text("FROM box:1\nRUN echo built > /b\n")
    with Wharfd() as daemon, Registry(enter=daemon.enter) as registry:

        def docker(*words: str) -> str:
            environment = {**daemon.environment, "DOCKER_BUILDKIT": "0"}
            done = subprocess.run(
                [found.stdout.strip(), *words],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{words}: {done.stderr}"
            return done.stdout.strip()

        client, _, server = docker("version", "--format", "{{.Client.APIVersion}} {{.Server.APIVersion}}").partition(
            " "
        )
        assert tuple(map(int, client.split("."))) <= tuple(map(int, server.split(".")))
        assert "Loaded image: box:1" in docker("load", "-i", str(tmp_path / "a.tar"))
        assert docker("run", "--rm", "box:1", "echo", "hi") == "hi"
        docker("run", "-d", "--name", "old", "box:1", "sh", "-c", "echo up; sleep 100")
        assert docker("ps", "--format", "{{.Names}} {{.Status}}").startswith("old Up ")
        assert docker("exec", "old", "echo", "inside") == "inside"
        assert docker("logs", "old") == "up"
        name = f"{registry.host}/old/built"
        assert docker("build", "-q", "-t", name, str(tmp_path)).startswith("sha256:")
        assert docker("push", "-q", name).startswith(name)
        docker("rmi", name)
        assert docker("pull", "-q", name).startswith(name)
        assert docker("run", "--rm", name, "cat", "/b") == "built"
