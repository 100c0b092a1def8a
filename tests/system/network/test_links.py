"""`--link`, and names of containers that really run, through the end and the next start of the daemon."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.wharfd import Wharfd

SLEEP = ("busybox", "sleep", "1000")


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    if os.geteuid():
        pytest.skip("needs root")
    with Wharfd("--live-restore=false") as started:
        started.load_busybox()
        yield started


@pytest.fixture
def docker(daemon: Wharfd) -> Iterator[Callable[..., str]]:
    def run(*words: str) -> str:
        return daemon.docker(*words).stdout.strip()

    yield run
    if names := run("ps", "-aq").split():
        run("rm", "-f", *names)
    if networks := run("network", "ls", "-q", "--filter", "type=custom").split():
        run("network", "rm", *networks)


def address(docker: Callable[..., str], name: str) -> str:
    return docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name)


def hosts_address(docker: Callable[..., str], name: str, alias: str) -> str:
    lines = docker("exec", name, "cat", "/etc/hosts").splitlines()
    return next(line.split("\t")[0] for line in lines if line.split("\t")[1].split(" ")[0] == alias)


def look_up(docker: Callable[..., str], name: str, asked: str) -> list[str]:
    """The addresses that a container's resolver gives, by busybox's nslookup."""
    shown = docker("exec", name, "nslookup", "-type=a", asked).splitlines()
    return [line.split()[1] for line in shown[2:] if line.startswith("Address")]


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def test_a_link_follows_its_container_and_survives_the_daemon(daemon, docker):
    docker("run", "-d", "--name", "db", "--expose", "5432", "-e", "A=1", *SLEEP)
    docker("run", "-d", "--name", "app", "--link", "db:store", *SLEEP)
    assert hosts_address(docker, "app", "store") == address(docker, "db")
    assert f"STORE_PORT=tcp://{address(docker, 'db')}:5432" in docker("exec", "app", "env").splitlines()
    before = address(docker, "db")
    docker("stop", "-t", "0", "db")
    docker("run", "-d", "--name", "other", *SLEEP)
    docker("start", "db")
    assert address(docker, "db") != before and hosts_address(docker, "app", "store") == address(docker, "db")
    daemon.kill()
    daemon.start()
    assert docker("inspect", "-f", "{{.Name}}", "app/store") == "/db"
    assert docker("inspect", "-f", "{{json .HostConfig.Links}}", "app") == '["/db:/app/store"]'
    docker("restart", "-t", "0", "db")
    assert hosts_address(docker, "app", "store") == address(docker, "db")
    assert "STORE_ENV_A=1" in docker("exec", "app", "env")


def test_containers_start_with_the_daemon_after_those_that_they_need(daemon, docker):
    """By name and by creation the needy come first."""
    always = ("--restart", "always")
    docker("run", "-d", "--name", "z-store", *always, *SLEEP)
    docker("run", "-d", "--name", "b-app", *always, "--link", "z-store", *SLEEP)
    docker("run", "-d", "--name", "a-shares", *always, "--network", "container:b-app", *SLEEP)
    daemon.stop()
    daemon.start()
    until(lambda: len(docker("ps", "-q").split()) == 3)
    assert hosts_address(docker, "b-app", "z-store") == address(docker, "z-store")
    assert not [line for line in daemon.log().splitlines() if "does not start" in line]


def test_a_link_that_is_removed_is_forgotten(daemon, docker):
    docker("run", "-d", "--name", "db", *SLEEP)
    docker("run", "-d", "--name", "app", "--link", "db:store", *SLEEP)
    docker("rm", "--link", "app/store")
    assert daemon.docker("inspect", "app/store", check=False).returncode
    docker("rm", "-f", "db")
    docker("restart", "-t", "0", "app")


def test_names_go_with_their_container(daemon, docker):
    docker("run", "-d", "--name", "db", *SLEEP)
    docker("run", "-d", "--name", "app", "--link", "db:store", *SLEEP)
    docker("rm", "-f", "app")
    assert daemon.docker("inspect", "app/store", check=False).returncode
    docker("run", "-d", "--name", "app", "--link", "db:store", *SLEEP)
    docker("rename", "app", "front")
    assert docker("inspect", "-f", "{{.Name}}", "front/store") == "/db"
    assert daemon.docker("inspect", "app/store", check=False).returncode


def test_names_of_a_network_through_the_daemons_end_and_netds(daemon, docker):
    docker("network", "create", "front")
    docker("run", "-d", "--name", "web", "--network", "front", "--network-alias", "www", "--dns", "10.9.9.9", *SLEEP)
    docker("run", "-d", "--name", "api", "--network", "front", "--link", "web:upstream", "--dns", "10.9.9.9", *SLEEP)
    wanted = [address(docker, "web")]

    def answers() -> bool:
        names = ("web", "www", "web.front", "upstream")
        return all(look_up(docker, "api", name) == wanted for name in names)

    assert answers()
    daemon.kill()
    daemon.start()
    assert answers()
    netd = _netd(daemon)
    os.kill(netd, 9)
    until(lambda: _netd(daemon) not in (0, netd))
    until(lambda: daemon.docker("exec", "api", "nslookup", "-type=a", "web", check=False).returncode == 0)
    assert answers()


def _netd(daemon: Wharfd) -> int:
    """The pid of the daemon's netd, whose standard output is the log beside its socket; 0 when there is none."""
    log = os.path.realpath(f"{daemon.root}/exec/netd.log")
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                if os.readlink(f"/proc/{name}/fd/1") == log:
                    return int(name)
            except OSError:
                continue
    return 0


@pytest.fixture(scope="module")
def closed() -> Iterator[Wharfd]:
    with Wharfd("--icc=false") as started:
        started.load_busybox()
        yield started


def test_without_icc_a_link_lets_its_container_in_and_nobody_else(closed):
    """Before and after the daemon's and the other container's next start."""
    serve = ("busybox", "sh", "-c", "echo hi >/index.html; exec httpd -f -p 80 -h /")
    closed.docker("run", "-d", "--name", "db", "--expose", "80", *serve)
    closed.docker("run", "-d", "--name", "app", "--link", "db:store", *SLEEP)
    closed.docker("run", "-d", "--name", "other", *SLEEP)

    def check() -> None:
        url = _url(closed)
        script = f"for i in $(seq 50); do timeout 1 wget -q -O - {url} && exit; sleep 0.1; done; exit 1"
        assert closed.docker("exec", "app", "sh", "-c", script).stdout == "hi\n"
        done = closed.docker("exec", "other", "timeout", "1", "wget", "-q", "-O", "-", url, check=False)
        assert done.returncode and not done.stdout

    check()
    closed.docker("restart", "-t", "0", "db")
    check()
    closed.kill()
    closed.start()
    check()
    closed.docker("rm", "-f", "app")
    shown = closed.docker("network", "inspect", "-f", "{{json .Options}}", "bridge").stdout
    assert '"com.docker.network.bridge.enable_icc":"false"' in shown
    listed = subprocess.run(
        [*closed.enter, "nft", "list", "ruleset"], capture_output=True, text=True, check=True
    ).stdout
    linked = listed.partition("set linked {")[2].partition("}")[0]
    assert "elements" not in linked


def _url(daemon: Wharfd) -> str:
    place = daemon.docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "db").stdout.strip()
    return f"http://{place}/"
