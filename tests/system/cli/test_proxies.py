"""`proxies` of docker's config.json: the same variables in containers and builds as docker's command line gives."""

import json
import subprocess
from pathlib import Path

from tests.support.wharfd import Wharfd
from tests.system.cli.conftest import Run

DEFAULT = {"httpProxy": "http://proxy:3128", "httpsProxy": "http://secure:3128", "noProxy": "localhost,.inner"}
OTHER = {"allProxy": "socks5://all:1080", "ftpProxy": "http://ftp:21"}


def _config(directory: Path, daemon: Wharfd, *, own: bool) -> str:
    proxies = {"default": DEFAULT, **({daemon.environment["DOCKER_HOST"]: OTHER} if own else {})}
    (directory / "config.json").write_text(json.dumps({"proxies": proxies}))
    return str(directory)


def _variables(text: str) -> list[str]:
    return sorted(line for line in text.splitlines() if "proxy" in line.partition("=")[0].lower())


def _both(daemon: Wharfd, wharf: Run, config: str, *words: str) -> tuple[list[str], list[str]]:
    ours = wharf("--config", config, *words)
    theirs = daemon.docker("--config", config, *words)
    assert ours.returncode == 0, ours.stderr
    return _variables(ours.stdout), _variables(theirs.stdout)


def test_containers_get_them(daemon: Wharfd, wharf: Run, tmp_path: Path) -> None:
    for own in (False, True):
        config = _config(tmp_path, daemon, own=own)
        ours, theirs = _both(daemon, wharf, config, "run", "--rm", "-e", "http_proxy=mine", "busybox", "env")
        assert ours == theirs and "http_proxy=mine" in ours and len(ours) == (5 if own else 6)


def test_containers_of_projects_get_them(daemon: Wharfd, wharf: Run, tmp_path: Path) -> None:
    config = _config(tmp_path, daemon, own=False)
    service = {"image": "busybox", "command": "env", "environment": {"http_proxy": "mine", "NO_PROXY": None}}
    (tmp_path / "compose.yaml").write_text(json.dumps({"name": "proxied", "services": {"one": service}}))
    told = wharf("--config", config, "compose", "-f", str(tmp_path / "compose.yaml"), "up", "--no-log-prefix")
    assert told.returncode == 0, told.stderr
    found = _variables(told.stdout)
    assert "http_proxy=mine" in found and "HTTPS_PROXY=http://secure:3128" in found and len(found) == 5
    assert wharf("compose", "-p", "proxied", "down").returncode == 0


def test_builds_get_them(daemon: Wharfd, wharf: Run, tmp_path: Path) -> None:
    config = _config(tmp_path, daemon, own=False)
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM busybox\nRUN env > /env\n")
    told = wharf("--config", config, "build", "-t", "proxied", "--build-arg", "NO_PROXY=mine", str(context))
    assert told.returncode == 0 and "consumed" not in told.stderr
    found = _variables(daemon.docker("run", "--rm", "proxied", "cat", "/env").stdout)
    assert "NO_PROXY=mine" in found and "https_proxy=http://secure:3128" in found and len(found) == 6
    assert not _variables(daemon.docker("inspect", "-f", '{{join .Config.Env "\\n"}}', "proxied").stdout)
    daemon.docker("rmi", "proxied")


def test_a_file_that_is_none_is_no_failure(wharf: Run, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"proxies": [1]}')
    done: subprocess.CompletedProcess[str] = wharf("--config", str(tmp_path), "run", "--rm", "busybox", "echo", "ran")
    assert done.stdout == "ran\n"
