"""User-defined networks from end to end: the docker command line, wharfd, real packets between containers."""

import ipaddress
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.wharfd import Wharfd

SERVE = "echo hi >/index.html; exec httpd -f -p 80 -h /"
SLEEP = ["busybox", "sleep", "1000"]


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    if os.geteuid():
        pytest.skip("needs root")
    with Wharfd() as started:
        started.load_busybox()
        yield started


@pytest.fixture
def docker(daemon: Wharfd) -> Iterator[Callable[..., str]]:
    """`docker …` on an engine without containers and networks; gives standard output."""

    def run(*words: str) -> str:
        return daemon.docker(*words).stdout.strip()

    yield run
    names = run("ps", "-aq").split()
    if names:
        run("rm", "-f", *names)
    networks = run("network", "ls", "-q", "--filter", "type=custom").split()
    if networks:
        run("network", "rm", *networks)


def refused(daemon: Wharfd, *words: str) -> str:
    done = daemon.docker(*words, check=False)
    assert done.returncode != 0, f"docker {' '.join(words)} was accepted"
    return done.stderr


def inspect(docker: Callable[..., str], name: str) -> dict[str, Any]:
    return dict(json.loads(docker("inspect", name))[0])


def fetch(docker: Callable[..., str], client: str, url: str, seconds: int = 5) -> str:
    """The page as one container gets it from another, once that one serves; raises AssertionError."""
    script = f"for i in $(seq {seconds * 10}); do timeout 1 wget -q -O - {url} && exit 0; sleep 0.1; done; exit 1"
    return docker("exec", client, "sh", "-c", script)


def unreachable(daemon: Wharfd, client: str, url: str) -> None:
    done = daemon.docker("exec", client, "timeout", "1", "wget", "-q", "-O", "-", url, check=False)
    assert done.returncode != 0 and not done.stdout, f"{client} reaches {url}"


def links(daemon: Wharfd, kind: str = "") -> dict[str, dict[str, Any]]:
    """Interfaces in the daemon's own namespace, by name."""
    words = ["ip", "-d", "-j", "link", "show", *(["type", kind] if kind else [])]
    found = subprocess.run([*daemon.enter, *words], capture_output=True, text=True, check=True).stdout
    return {item["ifname"]: item for item in json.loads(found or "[]") if item}


def test_containers_of_a_network_speak_and_others_do_not(daemon: Wharfd, docker: Callable[..., str]) -> None:
    docker("network", "create", "--subnet", "10.61.0.0/24", "front")
    docker("network", "create", "--subnet", "10.62.0.0/24", "back")
    docker("run", "-d", "--name", "web", "--network", "front", "busybox", "sh", "-c", SERVE)
    docker("run", "-d", "--name", "near", "--network", "front", *SLEEP)
    docker("run", "-d", "--name", "far", "--network", "back", *SLEEP)
    assert fetch(docker, "near", "http://10.61.0.2/") == "hi"
    unreachable(daemon, "far", "http://10.61.0.2/")
    docker("network", "connect", "front", "far")
    assert fetch(docker, "far", "http://10.61.0.2/") == "hi"
    docker("network", "disconnect", "front", "far")
    unreachable(daemon, "far", "http://10.61.0.2/")


def test_ipv6_alone_and_beside_ipv4(daemon: Wharfd, docker: Callable[..., str]) -> None:
    docker("network", "create", "--ipv6", "--subnet", "10.63.0.0/24", "--subnet", "fd00:63::/64", "dual")
    docker("network", "create", "--ipv4=false", "--ipv6", "six")
    docker("run", "-d", "--name", "web", "--network", "dual", "busybox", "sh", "-c", SERVE)
    docker("run", "-d", "--name", "near", "--network", "dual", *SLEEP)
    assert fetch(docker, "near", "http://[fd00:63::2]/") == "hi"
    assert fetch(docker, "near", "http://10.63.0.2/") == "hi"
    docker("run", "-d", "--name", "only", "--network", "six", "busybox", "sh", "-c", SERVE)
    docker("run", "-d", "--name", "beside", "--network", "six", *SLEEP)
    settings = inspect(docker, "only")["NetworkSettings"]["Networks"]["six"]
    assert settings["IPAddress"] == "" and settings["GlobalIPv6Address"].startswith("fd")
    assert fetch(docker, "beside", f"http://[{settings['GlobalIPv6Address']}]/") == "hi"
    assert docker("exec", "beside", "ip", "-4", "addr", "show", "eth0") == ""
    unreachable(daemon, "near", f"http://[{settings['GlobalIPv6Address']}]/")


def test_ula_subnets_of_one_engine_share_their_prefix(docker: Callable[..., str]) -> None:
    docker("network", "create", "--ipv6", "one")
    docker("network", "create", "--ipv6", "two")
    subnets = [docker("network", "inspect", name, "-f", "{{(index .IPAM.Config 1).Subnet}}") for name in ("one", "two")]
    prefixes = {ipaddress.IPv6Network(subnet).supernet(new_prefix=48) for subnet in subnets}
    assert len(set(subnets)) == 2 and len(prefixes) == 1, subnets
    assert all(subnet.startswith("fd") and subnet.endswith("::/64") for subnet in subnets)


def test_default_pools_skip_the_routes_that_the_host_has_at_that_moment(
    daemon: Wharfd, docker: Callable[..., str]
) -> None:
    docker("network", "create", "before")
    first = docker("network", "inspect", "before", "-f", "{{(index .IPAM.Config 0).Subnet}}")
    docker("network", "rm", "before")
    subprocess.run([*daemon.enter, "ip", "route", "add", first, "dev", "lo"], check=True)
    try:
        docker("network", "create", "after")
        second = docker("network", "inspect", "after", "-f", "{{(index .IPAM.Config 0).Subnet}}")
    finally:
        subprocess.run([*daemon.enter, "ip", "route", "del", first, "dev", "lo"], check=True)
    assert second != first


def test_the_highest_priority_leads_out_and_follows_changes(docker: Callable[..., str]) -> None:
    for number in (1, 2, 3):
        docker("network", "create", "--subnet", f"10.7{number}.0.0/24", f"net{number}")
    docker("run", "-d", "--name", "box", "--network", "net1", "--network", "name=net2,gw-priority=5", *SLEEP)

    def gateway() -> str:
        return docker("exec", "box", "sh", "-c", "ip route show default").split()[2]

    assert gateway() == "10.72.0.1"
    docker("network", "connect", "--gw-priority", "9", "net3", "box")
    assert gateway() == "10.73.0.1"
    docker("network", "disconnect", "net3", "box")
    assert gateway() == "10.72.0.1"
    docker("network", "disconnect", "net2", "box")
    assert gateway() == "10.71.0.1"
    docker("restart", "-t", "0", "box")
    assert gateway() == "10.71.0.1"
    docker("network", "disconnect", "net1", "box")
    assert docker("exec", "box", "ls", "/sys/class/net") == "lo"


def test_published_ports_follow_the_endpoint_that_leads_out(daemon: Wharfd, docker: Callable[..., str]) -> None:
    docker("network", "create", "--subnet", "10.74.0.0/24", "old")
    docker("network", "create", "--subnet", "10.75.0.0/24", "new")
    docker("run", "-d", "--name", "web", "--network", "old", "-p", "8080:80", "busybox", "sh", "-c", SERVE)

    def page(address: str) -> str:
        script = f"for i in $(seq 50); do wget -q -T 1 -O - http://{address}:8080/ && exit 0; sleep 0.1; done; exit 1"
        done = subprocess.run([*daemon.enter, "busybox", "sh", "-c", script.replace(" -T 1", "")], capture_output=True)
        return done.stdout.decode().strip()

    assert page("127.0.0.1") == "hi"
    docker("network", "connect", "--gw-priority", "1", "new", "web")
    assert page("127.0.0.1") == "hi" and page("[::1]") == "hi"
    docker("network", "disconnect", "new", "web")
    assert page("127.0.0.1") == "hi" and page("[::1]") == "hi"
    docker("network", "connect", "new", "web")
    docker("network", "disconnect", "old", "web")
    assert page("127.0.0.1") == "hi" and page("[::1]") == "hi"
    assert inspect(docker, "web")["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"] == "8080"


def test_networks_and_endpoints_survive_a_kill_and_a_restart(daemon: Wharfd, docker: Callable[..., str]) -> None:
    made = docker("network", "create", "--subnet", "10.64.0.0/24", "--label", "a=b", "kept")
    docker("network", "create", "--subnet", "10.65.0.0/24", "also")
    docker("run", "-d", "--name", "web", "--network", "kept", "busybox", "sh", "-c", SERVE)
    docker("run", "-d", "--name", "near", "--network", "kept", "--network", "also", *SLEEP)
    before = inspect(docker, "near")["NetworkSettings"]["Networks"]
    daemon.kill()
    daemon.start()
    assert docker("network", "inspect", "kept", "-f", '{{.Id}} {{index .Labels "a"}}') == f"{made} b"
    assert inspect(docker, "near")["NetworkSettings"]["Networks"] == before
    assert fetch(docker, "near", "http://10.64.0.2/") == "hi"
    docker("run", "-d", "--name", "third", "--network", "kept", *SLEEP)
    assert inspect(docker, "third")["NetworkSettings"]["Networks"]["kept"]["IPAddress"] == "10.64.0.4"
    docker("network", "disconnect", "also", "near")
    assert docker("exec", "near", "ls", "/sys/class/net").split() == ["eth1", "lo"]


def test_an_internal_network_leads_nowhere(daemon: Wharfd, docker: Callable[..., str]) -> None:
    docker("network", "create", "--internal", "--subnet", "10.66.0.0/24", "inner")
    docker("run", "-d", "--name", "web", "--network", "inner", "busybox", "sh", "-c", SERVE)
    docker("run", "-d", "--name", "near", "--network", "inner", *SLEEP)
    docker("run", "-d", "--name", "far", *SLEEP)
    assert fetch(docker, "near", "http://10.66.0.2/") == "hi"
    assert "default" not in docker("exec", "near", "ip", "route")
    unreachable(daemon, "far", "http://10.66.0.2/")


def test_containers_without_icc_do_not_see_one_another(daemon: Wharfd, docker: Callable[..., str]) -> None:
    option = "com.docker.network.bridge.enable_icc=false"
    docker("network", "create", "-o", option, "--ipv6", "--subnet", "10.67.0.0/24", "--subnet", "fd00:67::/64", "apart")
    docker("run", "-d", "--name", "web", "--network", "apart", "-p", "8081:80", "busybox", "sh", "-c", SERVE)
    docker("run", "-d", "--name", "near", "--network", "apart", *SLEEP)
    fetch_from_host = [*daemon.enter, "busybox", "sh", "-c"]
    script = "for i in $(seq 50); do wget -q -O - http://10.67.0.2/ && exit 0; sleep 0.1; done; exit 1"
    assert subprocess.run([*fetch_from_host, script], capture_output=True, text=True).stdout.strip() == "hi"
    unreachable(daemon, "near", "http://10.67.0.2/")
    unreachable(daemon, "near", "http://[fd00:67::2]/")


def test_interfaces_carry_what_was_asked_for(docker: Callable[..., str]) -> None:
    docker(
        "network", "create", "--subnet", "10.68.0.0/24", "-o", "com.docker.network.driver.mtu=1400",
        "-o", "com.docker.network.container_iface_prefix=lan", "shaped",
    )  # fmt: skip
    docker(
        "run", "-d", "--name", "box", "--ip", "10.68.0.50", "--mac-address", "02:00:00:00:00:68",
        "--link-local-ip", "169.254.3.3", "--network", "shaped", *SLEEP,
    )  # fmt: skip
    shown = docker("exec", "box", "ip", "addr", "show", "lan0")
    for text in ("mtu 1400", "02:00:00:00:00:68", "10.68.0.50/24", "169.254.3.3/16"):
        assert text in shown, shown
    docker("restart", "-t", "0", "box")
    assert docker("exec", "box", "ip", "addr", "show", "lan0").count("inet ") == 2


def test_a_bridge_of_the_administrators_is_used_and_left(daemon: Wharfd, docker: Callable[..., str]) -> None:
    ip = [*daemon.enter, "ip"]
    subprocess.run([*ip, "link", "add", "mybr", "type", "bridge"], check=True)
    try:
        docker(
            "network", "create", "-o", "com.docker.network.bridge.name=mybr",
            "-o", "com.docker.network.bridge.inhibit_ipv4=true", "--subnet", "10.69.0.0/24", "theirs",
        )  # fmt: skip
        docker("run", "-d", "--name", "box", "--network", "theirs", *SLEEP)
        assert any(link.get("master") == "mybr" for link in links(daemon, "veth").values())
        docker("rm", "-f", "box")
        docker("network", "rm", "theirs")
        assert "mybr" in links(daemon)
    finally:
        subprocess.run([*ip, "link", "del", "mybr"], check=True)


def test_refusals_leave_nothing(daemon: Wharfd, docker: Callable[..., str]) -> None:
    docker("network", "create", "--subnet", "10.80.0.0/24", "taken")
    before = set(links(daemon))
    for words, said in (
        (("--subnet", "10.80.0.128/25"), "overlaps"),
        (("--subnet", "10.81.0.0/24", "-o", "com.docker.network.bridge.name=lo"), "no bridge"),
        (("--subnet", "10.81.0.0/24", "-o", "com.docker.network.bridge.name=a/b"), "invalid bridge name"),
        (("--subnet", "10.81.0.0/24", "-o", "com.docker.network.driver.mtu=9"), "invalid MTU"),
        (("-d", "macvlan", "-o", "parent=lo", "--subnet", "10.81.0.0/24"), "loopback"),
        (("-d", "ipvlan", "--subnet", "10.81.0.0/24"), "no ipvlan interfaces"),
        (("-d", "macvlan", "--subnet", "10.81.0.0/24"), "no dummy interfaces"),
    ):
        text = refused(daemon, "network", "create", *words, "bad")
        assert said in text, text
    assert set(links(daemon)) == before
    assert docker("network", "ls", "-q", "--filter", "name=bad") == ""


def test_macvlan_on_an_interface_of_the_host(daemon: Wharfd, docker: Callable[..., str]) -> None:
    ip = [*daemon.enter, "ip"]
    subprocess.run([*ip, "link", "add", "trunk0", "type", "veth", "peer", "name", "trunk1"], check=True)
    subprocess.run([*ip, "link", "set", "trunk0", "up"], check=True)
    subprocess.run([*ip, "link", "set", "trunk1", "up"], check=True)
    try:
        docker(
            "network", "create", "-d", "macvlan", "-o", "parent=trunk0", "--subnet", "10.82.0.0/24",
            "--gateway", "10.82.0.254", "wire",
        )  # fmt: skip
        docker("run", "-d", "--name", "web", "--network", "wire", "busybox", "sh", "-c", SERVE)
        docker("run", "-d", "--name", "near", *SLEEP)
        docker("network", "connect", "--ip", "10.82.0.77", "wire", "near")
        assert "10.82.0.77/24" in docker("exec", "near", "ip", "addr", "show", "eth1")
        assert fetch(docker, "near", "http://10.82.0.1/") == "hi"
        assert docker("exec", "web", "sh", "-c", "ip route show default").startswith("default via 10.82.0.254")
        docker("network", "disconnect", "wire", "near")
        assert docker("exec", "near", "ls", "/sys/class/net").split() == ["eth0", "lo"]
        assert "already using parent" in refused(
            daemon, "network", "create", "-d", "macvlan", "-o", "parent=trunk0", "--subnet", "10.83.0.0/24", "second"
        )
        docker("rm", "-f", "web", "near")
        docker("network", "rm", "wire")
    finally:
        subprocess.run([*ip, "link", "del", "trunk0"], check=True)


def test_a_full_network_says_so_and_a_freed_address_comes_back(daemon: Wharfd, docker: Callable[..., str]) -> None:
    docker("network", "create", "--subnet", "10.84.0.0/30", "tiny")
    docker("run", "-d", "--name", "first", "--network", "tiny", *SLEEP)
    assert "no available IPv4 addresses" in refused(daemon, "run", "--name", "second", "--network", "tiny", *SLEEP)
    assert inspect(docker, "second")["State"]["Status"] == "created"
    docker("rm", "-f", "first")
    docker("start", "second")
    assert inspect(docker, "second")["NetworkSettings"]["Networks"]["tiny"]["IPAddress"] == "10.84.0.2"


def test_two_containers_never_get_one_address(daemon: Wharfd, docker: Callable[..., str]) -> None:
    docker("network", "create", "--subnet", "10.85.0.0/24", "shared")
    docker("run", "-d", "--name", "one", "--network", "shared", "--ip", "10.85.0.9", *SLEEP)
    text = refused(daemon, "run", "-d", "--name", "two", "--network", "shared", "--ip", "10.85.0.9", *SLEEP)
    assert "Address already in use" in text
    daemon.kill()
    daemon.start()
    assert "Address already in use" in refused(daemon, "start", "two")
    docker("rm", "-f", "one")
    docker("start", "two")
