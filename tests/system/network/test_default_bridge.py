"""The default bridge as an administrator asks for it, IPv6 included, and what containers get that ask for nothing."""

import json
import os
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from tests.support.wharfd import Wharfd

SERVE = "echo hi >/index.html; httpd -p 80 -h /; exec sleep 1000"
ASKED = (
    "--bip", "10.66.0.1/24", "--fixed-cidr", "10.66.0.128/25", "--mtu", "1400",
    "--ipv6", "--fixed-cidr-v6", "fd00:77::/64",
    "--dns", "192.0.2.53", "--dns-search", "example.test", "--dns-opt", "ndots:3",
    "--default-network-opt", "bridge=com.docker.network.driver.mtu=1300",
)  # fmt: skip
FETCH = """
import socket, sys, time
for _ in range(100):
    try:
        server = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
        break
    except OSError:
        time.sleep(0.05)
server.sendall(b"GET /index.html HTTP/1.0\\r\\n\\r\\n")
print(server.makefile().read())
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    with Wharfd(*ASKED) as started:
        started.load_busybox()
        yield started


def shown(daemon: Wharfd, *what: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(daemon.docker(*what).stdout)[0]
    return parsed


def sh(daemon: Wharfd, script: str, *flags: str) -> str:
    return daemon.docker("run", "--rm", *flags, "busybox", "sh", "-c", script).stdout


def fetch(daemon: Wharfd, address: str, port: int) -> str:
    command = [*daemon.enter, "/usr/bin/python3", "-c", FETCH, address, str(port)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_network_says_what_was_asked(daemon: Wharfd):
    bridge = shown(daemon, "network", "inspect", "bridge")
    assert bridge["EnableIPv6"] and bridge["Options"]["com.docker.network.driver.mtu"] == "1400"
    four, six = bridge["IPAM"]["Config"]
    assert four == {"Subnet": "10.66.0.0/24", "IPRange": "10.66.0.128/25", "Gateway": "10.66.0.1"}
    assert six["Subnet"] == "fd00:77::/64" and six["Gateway"] == "fd00:77::1"


def test_containers_reach_one_another_and_are_reached_by_both_families(daemon: Wharfd):
    daemon.docker("run", "-d", "--name", "web", "-p", "8080:80", "busybox", "sh", "-c", SERVE)
    try:
        settings = shown(daemon, "inspect", "web")["NetworkSettings"]["Networks"]["bridge"]
        four, six = settings["IPAddress"], settings["GlobalIPv6Address"]
        assert ip_address(four) in ip_network("10.66.0.128/25") and ip_address(six) in ip_network("fd00:77::/64")
        assert settings["IPv6Gateway"] == "fd00:77::1"
        for address, port in (
            (four, 80),
            (six, 80),
            ("127.0.0.1", 8080),
            ("::1", 8080),
            ("10.66.0.1", 8080),
            ("fd00:77::1", 8080),
        ):
            assert "hi" in fetch(daemon, address, port), address
        assert sh(daemon, f"wget -qO- http://{four}/index.html") == "hi\n"
        mtu_and_page = sh(daemon, f"cat /sys/class/net/eth0/mtu; wget -qO- 'http://[{six}]/index.html'")
        assert mtu_and_page.split() == ["1400", "hi"]
        daemon.kill()
        daemon.start()
        assert "hi" in fetch(daemon, six, 80) and "hi" in fetch(daemon, "fd00:77::1", 8080)
    finally:
        daemon.docker("rm", "-f", "web")


def test_name_servers_of_containers_that_ask_for_none(daemon: Wharfd):
    plain = sh(daemon, "cat /etc/resolv.conf")
    assert "nameserver 192.0.2.53\nsearch example.test\noptions ndots:3\n" in plain
    own = sh(daemon, "cat /etc/resolv.conf", "--dns", "192.0.2.9", "--dns-search", "x.test", "--dns-option", "ndots:1")
    assert "nameserver 192.0.2.9\nsearch x.test\noptions ndots:1\n" in own
    daemon.docker("create", "--name", "asked", "busybox")
    assert not shown(daemon, "inspect", "asked")["HostConfig"]["Dns"]  # the record keeps what was asked for
    daemon.docker("rm", "asked")
    daemon.docker("network", "create", "named")
    named = sh(daemon, "cat /etc/resolv.conf", "--network", "named")
    assert "nameserver 127.0.0.11" in named and "ExtServers: [192.0.2.53]" in named and "search example.test" in named
    daemon.docker("network", "rm", "named")


def test_new_networks_have_the_default_options(daemon: Wharfd):
    daemon.docker("network", "create", "small")
    daemon.docker("network", "create", "-o", "com.docker.network.driver.mtu=1350", "own")
    try:
        assert shown(daemon, "network", "inspect", "small")["Options"] == {"com.docker.network.driver.mtu": "1300"}
        for name, mtu in (("small", "1300"), ("own", "1350")):
            assert sh(daemon, "cat /sys/class/net/eth0/mtu", "--network", name).strip() == mtu
    finally:
        daemon.docker("network", "rm", "small", "own")


def test_another_gateway_no_masquerade_and_an_ipv6_subnet_that_stays():
    flags = ("--ipv6", "--ip-masq=false", "--bip", "10.67.0.1/24", "--default-gateway", "10.67.0.254")
    with Wharfd(*flags) as daemon:
        daemon.load_busybox()
        bridge = shown(daemon, "network", "inspect", "bridge")
        four, six = bridge["IPAM"]["Config"]
        assert (four["Gateway"], four["AuxiliaryAddresses"]) == ("10.67.0.1", {"DefaultGatewayIPv4": "10.67.0.254"})
        assert bridge["Options"]["com.docker.network.bridge.enable_ip_masquerade"] == "false"
        assert "default via 10.67.0.254" in sh(daemon, "ip route")
        assert ip_network(six["Subnet"]).subnet_of(ip_network("fd00::/8")) and ip_network(six["Subnet"]).prefixlen == 64
        assert f"default via {six['Gateway']}" in sh(daemon, "ip -6 route")
        rules = subprocess.run([*daemon.enter, "nft", "list", "ruleset"], capture_output=True, text=True).stdout
        assert "10.67.0.0/24 : jump nat4-" in rules and 'oifname != "wharf' not in rules
        daemon.stop()
        daemon.start()
        assert shown(daemon, "network", "inspect", "bridge")["IPAM"]["Config"] == [four, six]


def test_what_does_not_fit_is_said_at_the_start():
    with pytest.raises(
        AssertionError, match=r"fixed-cidr 10\.1\.0\.0/24 is not within the default bridge's subnet 10\.66\.0\.0"
    ):
        with Wharfd("--bip", "10.66.0.1/24", "--fixed-cidr", "10.1.0.0/24"):
            pass
