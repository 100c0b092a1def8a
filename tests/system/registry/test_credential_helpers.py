"""Credential helpers and stores of docker's config.json: either tool uses what the other had a helper keep."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.registry import Registry
from tests.support.wharfd import ROOT, Wharfd, docker_client

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
HELPER = """#!/bin/sh
# A keychain of one file a server (the protocol of docker-credential-helpers).
place="$(dirname "$0")/kept"; mkdir -p "$place"
name() { echo "$1" | tr -c 'a-zA-Z0-9.\\n' _; }
case $1 in
get) read -r server
    cat "$place/$(name "$server")" 2>/dev/null || { echo credentials not found in native keychain; exit 1; } ;;
store) text=$(cat); server=$(echo "$text" | sed 's/.*"ServerURL": *"\\([^"]*\\)".*/\\1/')
    echo "$text" > "$place/$(name "$server")" ;;
erase) read -r server; rm -f "$place/$(name "$server")" ;;
list) echo '{}' ;;
esac
"""


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    with Wharfd() as running:
        running.load_busybox()
        yield running


@pytest.fixture(scope="module")
def registry(daemon: Wharfd) -> Iterator[Registry]:
    made = Registry("--auth", "token", enter=daemon.enter)
    made.run("user", "add", "alice", "--admin", feed="secret\n")
    with made as running:
        yield running


@pytest.mark.parametrize("where", ["credsStore", "credHelpers"])
@pytest.mark.parametrize(("first", "second"), [("docker", "wharf"), ("wharf", "docker")])
def test_one_logs_in_the_other_pushes_and_pulls(
    daemon: Wharfd, registry: Registry, tmp_path: Path, where: str, first: str, second: str
) -> None:
    helper = tmp_path / "docker-credential-shelf"
    helper.write_text(HELPER)
    helper.chmod(0o755)
    config = tmp_path / "config.json"
    config.write_text(json.dumps({where: "shelf" if where == "credsStore" else {registry.host: "shelf"}}))
    path = f"{tmp_path}:{os.environ['PATH']}"
    environment = {**daemon.environment, "DOCKER_CONFIG": str(tmp_path), "PATH": path}
    target = f"{registry.host}/{first}/{where.lower()}:1"

    def run(tool: str, *words: str, feed: str = "", status: int = 0) -> str:
        program = docker_client() if tool == "docker" else str(ROOT / ".venv/bin/wharf")
        out = subprocess.run(
            [program, *words], env=environment, input=feed, capture_output=True, text=True, timeout=60, check=False
        )
        assert out.returncode == status, out.stderr
        return out.stdout + out.stderr

    run(first, "login", "-u", "alice", "--password-stdin", registry.host, feed="secret\n")
    kept = json.loads((tmp_path / "kept" / registry.host.replace(":", "_")).read_text())
    assert kept["Username"] == "<token>" and kept["Secret"] not in ("", "secret")  # our registry gives one
    assert (
        kept["Secret"] not in config.read_text()
        and "secret" not in config.read_text()
        and "YWxpY2U6c2VjcmV0" not in config.read_text()
    )
    daemon.docker("tag", "busybox", target)
    run(second, "push", target)
    daemon.docker("rmi", target)
    run(first, "pull", target)
    run(second, "logout", registry.host)
    assert not (tmp_path / "kept" / registry.host.replace(":", "_")).exists()
    daemon.docker("rmi", target)
    assert "denied" in run(first, "pull", target, status=1)
