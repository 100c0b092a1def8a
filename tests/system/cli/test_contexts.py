"""Contexts, TLS and ssh: how `wharf` finds a daemon, with docker's command line over the same store as the witness."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.registry import ROOT
from tests.support.wharfd import Wharfd, docker_client

WHARF = str(ROOT / ".venv/bin/wharf")


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    with Wharfd(own_network=True) as running:
        running.load_busybox()
        yield running


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment without a daemon's name and with a configuration of its own."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DOCKER_")}
    return {**environment, "DOCKER_CONFIG": str(tmp_path / "client")}


def run(command: list[str], environment: dict[str, str], feed: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, env=environment, input=feed, capture_output=True, check=False, timeout=120)


def wharf(environment: dict[str, str], *arguments: str) -> str:
    out = run([WHARF, *arguments], environment)
    assert out.returncode == 0, out.stderr.decode()
    return out.stdout.decode()


def docker(environment: dict[str, str], *arguments: str) -> str:
    out = run([docker_client(), *arguments], environment)
    assert out.returncode == 0, out.stderr.decode()
    return out.stdout.decode()


def test_docker_reads_what_wharf_writes(daemon: Wharfd, home: dict[str, str]) -> None:
    wharf(home, "context", "create", "ours", "--description", "the one here", "--docker", f"host={daemon.host}")
    assert "the one here" in docker(home, "context", "ls")
    assert docker(home, "context", "inspect", "ours", "-f", "{{.Endpoints.docker.Host}}").strip() == daemon.host
    assert "busybox" in docker(home, "--context", "ours", "images")
    wharf(home, "context", "use", "ours")
    assert docker(home, "context", "show").strip() == "ours" == wharf(home, "context", "show").strip()
    assert "busybox" in wharf(home, "images")
    assert run([WHARF, "context", "rm", "ours"], home).returncode == 1
    wharf(home, "context", "rm", "-f", "ours")
    assert docker(home, "context", "ls", "-q").split() == ["default"]


def test_wharf_reads_what_docker_writes(daemon: Wharfd, home: dict[str, str], tmp_path: Path) -> None:
    docker(home, "context", "create", "theirs", "--description", "made by docker", "--docker", f"host={daemon.host}")
    assert "busybox" in wharf(home, "--context", "theirs", "images")
    for form in ("{{.Name}} {{.Description}} {{.DockerEndpoint}} {{.Current}}",):
        assert (
            wharf(home, "context", "ls", "--format", form).split("\n")[1]
            == (docker(home, "context", "ls", "--format", form).split("\n")[1])
        )
    ours, theirs = (json.loads(tool(home, "context", "inspect", "theirs")) for tool in (wharf, docker))
    assert ours == theirs
    docker(home, "context", "export", "theirs", str(tmp_path / "a.tar"))
    wharf(home, "context", "import", "copied", str(tmp_path / "a.tar"))
    wharf(home, "context", "export", "copied", str(tmp_path / "b.tar"))
    docker(home, "context", "import", "back", str(tmp_path / "b.tar"))
    assert docker(home, "context", "inspect", "back", "-f", "{{.Endpoints.docker.Host}}").strip() == daemon.host
    wharf(home, "context", "update", "back", "--description", "changed", "--docker", "host=tcp://10.0.0.1:2375")
    assert "tcp://10.0.0.1:2375" in docker(home, "context", "ls")


@pytest.mark.parametrize("name", ["default", "", "a b", "../x", "-x"])
def test_a_name_that_cannot_be(home: dict[str, str], name: str) -> None:
    assert run([WHARF, "context", "create", "--docker", "host=tcp://x:1", "--", name], home).returncode == 1
    assert not list(Path(home["DOCKER_CONFIG"]).rglob("meta.json"))


def test_dial_stdio_carries_the_api(daemon: Wharfd, home: dict[str, str]) -> None:
    request = b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    out = run([WHARF, "-H", daemon.host, "system", "dial-stdio"], home, request)
    assert out.returncode == 0 and out.stdout.startswith(b"HTTP/1.1 200") and out.stdout.endswith(b"OK")


@pytest.fixture
def by_ssh(daemon: Wharfd, home: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """An environment whose ssh runs the command here: what it is asked for is in `asked`."""
    program = tmp_path / "bin/ssh"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nfor last; do :; done\n'
        f'PATH={ROOT}/.venv/bin:$PATH DOCKER_HOST={daemon.host} exec sh -c "$last"\n'
    )
    program.chmod(0o755)
    return {**home, "PATH": f"{program.parent}:{home['PATH']}", "DOCKER_HOST": "ssh://root@server:2222"}


def test_ssh(by_ssh: dict[str, str], tmp_path: Path) -> None:
    assert "busybox" in wharf(by_ssh, "images")
    command = [WHARF, "run", "-i", "--rm", "--network", "none", "busybox", "cat"]
    data = os.urandom(300_000)
    assert run(command, by_ssh, data).stdout == data
    asked = (tmp_path / "asked").read_text()
    assert "-l root -p 2222 -- server " in asked and "system dial-stdio" in asked


@pytest.mark.parametrize("host", ["ssh://-oProxyCommand=x", "ssh://", "ssh://a:secret@b", "ssh://-l@b"])
def test_an_ssh_host_is_no_option(by_ssh: dict[str, str], tmp_path: Path, host: str) -> None:
    out = run([WHARF, "-H", host, "ps"], by_ssh)
    assert out.returncode == 1 and b"unable to parse docker host" in out.stderr
    assert not (tmp_path / "asked").exists()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, certificates of a client (cert.pem, key.pem) and of 127.0.0.1 (server.pem), and another CA (other.pem)."""
    place = tmp_path_factory.mktemp("tls")
    (place / "server.ext").write_text("subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n")
    (place / "client.ext").write_text("extendedKeyUsage=clientAuth\n")
    new = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    sign = "openssl x509 -req -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2"
    key = "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    for command in (
        f"{new} -subj /CN=ca -keyout ca-key.pem -out ca.pem",
        f"{new} -subj /CN=other -keyout other-key.pem -out other.pem",
        f"{key} -subj /CN=server -keyout server-key.pem -out server.csr",
        f"{sign} -in server.csr -out server.pem -extfile server.ext",
        f"{key} -subj /CN=client -keyout key.pem -out client.csr",
        f"{sign} -in client.csr -out cert.pem -extfile client.ext",
    ):
        subprocess.run(command.split(), cwd=place, check=True, capture_output=True)
    return place


@pytest.fixture(scope="module")
def tls_daemon(certificates: Path) -> Iterator[Wharfd]:
    flags = [f"--tlscacert={certificates}/ca.pem", f"--tlscert={certificates}/server.pem"]
    with Wharfd(
        "-H", "tcp://127.0.0.1:2376", "--tlsverify", *flags, f"--tlskey={certificates}/server-key.pem"
    ) as running:
        running.load_busybox()
        yield running


def test_tls(tls_daemon: Wharfd, certificates: Path, home: dict[str, str]) -> None:
    by_tls = {
        **home,
        "DOCKER_HOST": "tcp://127.0.0.1:2376",
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": str(certificates),
    }
    inside = [*tls_daemon.enter, WHARF]
    out = run([*inside, "images"], by_tls)
    assert b"busybox" in out.stdout, out.stderr.decode()
    told = run([*inside, "run", "--rm", "--network", "none", "busybox", "seq", "200000"], by_tls)
    assert told.stdout.split()[-1] == b"200000", told.stderr.decode()
    for tool in (WHARF, docker_client()):
        later = [*tls_daemon.enter, tool, "run", "-i", "--rm", "--network", "none", "busybox"]
        out = run([*later, "sh", "-c", "cat; sleep 0.3; echo later"], by_tls, b"x\n")
        assert (out.returncode, out.stdout) == (0, b"x\nlater\n"), f"output after the end of stdin: {out}"
    files = [f"--tls{name}={certificates}/{file}" for name, file in (("cert", "cert.pem"), ("key", "key.pem"))]
    host = ["-H", "tcp://127.0.0.1:2376", "--tlsverify", *files]
    assert run([*inside, *host, f"--tlscacert={certificates}/ca.pem", "ps"], home).returncode == 0
    wrong = run([*inside, *host, f"--tlscacert={certificates}/other.pem", "ps"], home)
    assert wrong.returncode == 1 and b"certificate verify failed" in wrong.stderr
    nobody = run([*inside, "-H", "tcp://127.0.0.1:2376", "--tls", "ps"], home)
    assert nobody.returncode == 1, "a client without a certificate came in"
    assert b"the daemon closed the connection without an answer" in nobody.stderr
    end_point = (
        f"host=tcp://127.0.0.1:2376,ca={certificates}/ca.pem,cert={certificates}/cert.pem,key={certificates}/key.pem"
    )
    wharf(home, "context", "create", "secure", "--docker", end_point)
    assert b"busybox" in run([*inside, "--context", "secure", "images"], home).stdout
    assert b"busybox" in run([*tls_daemon.enter, docker_client(), "--context", "secure", "images"], home).stdout
