"""`--use-api-socket` and `use_api_socket`: the engine's own socket and the user's credentials within a container."""

import json
import os
from pathlib import Path

from tests.support.wharfd import Wharfd
from tests.system.cli.conftest import Run

LOGIN = {"example.test:5000": {"auth": "YWxpY2U6c2VjcmV0"}}
LOOK = (
    'stat -c "%F %i" /var/run/docker.sock; stat -c "%a %u" $DOCKER_CONFIG/config.json; cat $DOCKER_CONFIG/config.json'
)


def _config(directory: Path) -> str:
    (directory / "config.json").write_text(json.dumps({"auths": LOGIN, "detachKeys": "ctrl-a"}))
    return str(directory)


def _socket_line(daemon: Wharfd) -> str:
    return f"socket {os.stat(daemon.environment['DOCKER_HOST'].removeprefix('unix://')).st_ino}"


def test_run_gives_the_socket_and_the_credentials(daemon: Wharfd, wharf: Run, tmp_path: Path) -> None:
    done = wharf("--config", _config(tmp_path), "run", "--rm", "--use-api-socket", "busybox", "sh", "-c", LOOK)
    socket, modes, text = done.stdout.splitlines()
    assert (socket, modes) == (_socket_line(daemon), "600 0")
    assert json.loads(text) == {"auths": LOGIN}, "credentials, and nothing else of the user's"


def test_a_container_with_its_own_configuration_gets_no_credentials(wharf: Run, tmp_path: Path) -> None:
    words = ("-e", "DOCKER_CONFIG=/etc/mine", "busybox", "sh", "-c", "echo $DOCKER_CONFIG; ls /run/secrets")
    done = wharf("--config", _config(tmp_path), "run", "--rm", "--use-api-socket", *words)
    assert (done.stdout, done.returncode) == ("/etc/mine\n", 1)


def test_without_credentials_there_is_the_socket_alone(daemon: Wharfd, wharf: Run, tmp_path: Path) -> None:
    look = 'stat -c "%F %i" /var/run/docker.sock; echo "<$DOCKER_CONFIG>"'
    done = wharf("--config", str(tmp_path), "run", "--rm", "--use-api-socket", "busybox", "sh", "-c", look)
    assert done.stdout == f"{_socket_line(daemon)}\n<>\n"


def test_a_helper_that_fails_leaves_no_container(wharf: Run, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"credHelpers": {"example.test": "none-there"}}))
    done = wharf("--config", str(tmp_path), "create", "--name", "half", "--use-api-socket", "busybox")
    assert done.returncode != 0 and "docker-credential-none-there" in done.stderr
    assert wharf("container", "inspect", "half").returncode == 1


def test_compose_gives_both_to_a_service(daemon: Wharfd, wharf: Run, tmp_path: Path) -> None:
    command = ["sh", "-c", LOOK.replace("$", "$$")]
    service = {"image": "busybox", "command": command, "use_api_socket": True}
    (tmp_path / "compose.yaml").write_text(json.dumps({"name": "socketed", "services": {"one": service}}))
    try:
        done = wharf(
            "--config", _config(tmp_path), "compose", "up", "--no-log-prefix", "--abort-on-container-exit",
            cwd=str(tmp_path),
        )  # fmt: skip
        assert _socket_line(daemon) in done.stdout
        assert json.dumps({"auths": LOGIN}) in done.stdout
    finally:
        wharf("compose", "down", "-t", "0", cwd=str(tmp_path))
