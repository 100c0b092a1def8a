"""Published ports of networks of all kinds, with real packets: families, addresses, ranges, protocols, who relays."""

import errno
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.system.network.bridges import reaches, run
from tests.system.network.conftest import MemoryStore, Net
from tests.system.network.lab import Lab, ask_tcp, ask_udp, inside
from wharf.errors import Internal
from wharf.network.manager import EndpointRequest, NetworkConfig, SandboxTarget
from wharf.spec.network import Endpoint, Ipam, IpamConfig, NetworkRecord, Port, PortRequest

WEB = PortRequest(Port(80), None, 8080, 8080)
BRIDGE = "com.docker.network.bridge."


@dataclass
class Box:
    netns: int
    endpoint: Endpoint

    @property
    def shown(self) -> list[tuple[str, int]]:
        return [(port.host_ip, port.host_port) for port in self.endpoint.ports]


@pytest.fixture
def lab6(lab: Lab) -> Lab:
    """The lab with fd20::2 on the host and fd20::1 outside."""
    for netns, address in ((lab.host, "fd20::2/64"), (lab.outside, "fd20::1/64")):
        with inside(netns):
            run("ip", "-6", "addr", "add", address, "dev", "eth0", "nodad")
    return lab


@pytest.fixture
def monitor() -> Iterator[int]:
    process = subprocess.Popen(["sleep", "1000"])
    pidfd = os.pidfd_open(process.pid)
    yield pidfd
    process.kill()
    process.wait()
    os.close(pidfd)


@pytest.fixture
def net(lab6: Lab, make_net: Callable[..., Net]) -> Net:
    return make_net(netd=True)


def network(
    net: Net, number: int, v4: bool = True, v6: bool = True, internal: bool = False, **options: str
) -> NetworkRecord:
    configs = []
    if v4:
        configs.append(IpamConfig(subnet=f"10.40.{number}.0/24", gateway=f"10.40.{number}.1"))
    if v6:
        configs.append(IpamConfig(subnet=f"fd40:{number}::/64", gateway=f"fd40:{number}::1"))
    chosen = {BRIDGE + key: value for key, value in options.items()}
    wanted = NetworkRecord(f"net{number}", "", "", enable_ipv4=v4, enable_ipv6=v6, internal=internal, options=chosen)
    wanted.ipam = Ipam(config=configs)
    return net.manager.create(wanted)


def start(net: Net, name: str, *requests: PortRequest, monitor: int = -1) -> Box:
    """A container on a network that answers on TCP 80 and, by IPv4, UDP 53."""
    sandbox = net.lab.sandbox()
    endpoint = net.manager.allocate(name, EndpointRequest(f"s{sandbox.netns}"))
    published = net.manager.publish(endpoint, "box", requests)
    net.manager.connect([published], SandboxTarget(sandbox.netns, sandbox.route, monitor))
    endpoint = published.endpoint
    if endpoint.address:
        net.lab.serve_tcp(sandbox.netns, 80)
        net.lab.serve_udp(sandbox.netns, 53)
    if endpoint.address6:
        net.lab.serve_tcp(sandbox.netns, 80, str(endpoint.address6.ip))
    return Box(sandbox.netns, endpoint)


def test_a_container_with_both_families_is_reached_by_each(net: Net, monitor: int):
    network(net, 1)
    box = start(net, "net1", WEB, monitor=monitor)
    assert box.shown == [("0.0.0.0", 8080), ("::", 8080)]
    host, outside = net.lab.host, net.lab.outside
    assert ask_tcp(outside, "192.0.2.2", 8080) == "192.0.2.1"
    assert ask_tcp(outside, "fd20::2", 8080) == "fd20::1"  # not relayed: the source is kept
    assert ask_tcp(host, "127.0.0.1", 8080) == "10.40.1.1"
    assert ask_tcp(host, "::1", 8080) == "fd40:1::1"  # relayed, to the IPv6 address
    assert ask_tcp(box.netns, "fd20::2", 8080) == ask_tcp(box.netns, "fd40:1::1", 8080) == "fd40:1::1"


def test_a_container_with_ipv6_alone_takes_no_ipv4_port(net: Net, monitor: int):
    network(net, 1, v4=False)
    box = start(net, "net1", WEB, PortRequest(Port(80), "127.0.0.1", 8081, 8081), monitor=monitor)
    assert box.shown == [("::", 8080)]
    assert ask_tcp(net.lab.outside, "fd20::2", 8080) == "fd20::1"
    assert ask_tcp(net.lab.host, "::1", 8080) == "fd40:1::1"
    with inside(net.lab.host):
        socket.create_server(("0.0.0.0", 8080)).close()


def test_a_container_with_ipv4_alone_is_relayed_to(net: Net, monitor: int):
    network(net, 1, v6=False)
    dns = PortRequest(Port(53, "udp"), None, 5353, 5353)
    start(net, "net1", WEB, dns, monitor=monitor)
    for address in ("::1", "fd20::2"):
        assert ask_tcp(net.lab.host, address, 8080) == ask_udp(net.lab.host, address, 5353) == "10.40.1.1"
    assert ask_tcp(net.lab.outside, "fd20::2", 8080) == "10.40.1.1"


def test_an_internal_network_gets_no_relayed_port(net: Net, monitor: int):
    """Not by its own bridge's address either. The same does arrive once the rule is gone, so the test can see."""
    network(net, 1, v6=False)
    start(net, "net1", WEB, monitor=monitor)
    shut_in = start(net, network(net, 2, internal=True).name)
    for address in ("fd40:2::1", "fd20::2"):
        assert not reaches(ask_tcp, shut_in.netns, address, 8080, 0.5)
    assert ask_tcp(start(net, network(net, 3).name).netns, "fd40:3::1", 8080) == "10.40.1.1"
    run("nft", "flush", "chain", "inet", "wharf", "input")
    assert ask_tcp(shut_in.netns, "fd40:2::1", 8080) == "10.40.1.1"


def test_addresses_of_the_host_have_ports_of_their_own(net: Net, monitor: int):
    network(net, 1)
    hosts = ("127.0.0.1", "127.0.0.2", "192.0.2.2", "::1", "fd20::2")
    boxes = {host: start(net, "net1", PortRequest(Port(80), host, 8080, 8080), monitor=monitor) for host in hosts}
    for host, box in boxes.items():
        assert box.shown == [(host, 8080)] and reaches(ask_tcp, net.lab.host, host, 8080)
    for other in ("127.0.0.3", "10.40.1.1"):
        assert not reaches(ask_tcp, net.lab.host, other, 8080, 0.5)
    assert ask_tcp(net.lab.outside, "192.0.2.2", 8080) == "192.0.2.1"
    assert ask_tcp(net.lab.outside, "fd20::2", 8080) == "fd20::1"


def test_exact_ports_are_taken_before_ranges_and_ranges_before_any(net: Net):
    low = int(run("cat", "/proc/sys/net/ipv4/ip_local_port_range").split()[0])
    asked = [
        PortRequest(Port(80), "0.0.0.0"),
        PortRequest(Port(81), "0.0.0.0", 8320, 8322),
        PortRequest(Port(82), "0.0.0.0", 8320, 8320),
        PortRequest(Port(83), "0.0.0.0", low, low),
    ]
    box = start(net, "bridge", *asked)
    assert [(port.port.number, port.host_port) for port in box.endpoint.ports] == [
        (80, low + 1), (81, 8321), (82, 8320), (83, low),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ([(80, None, 8080), (81, None, 8080)], "Bind for 0.0.0.0:8080 failed: port is already allocated"),
        ([(80, None, 8080), (80, None, 8080)], "failed to listen on TCP socket: address already in use"),
        ([(80, "127.0.0.1", 8080), (80, None, 8080)], "failed to listen on TCP socket: address already in use"),
        ([(80, "127.0.0.1", 8080), (81, None, 8080)], "Bind for 127.0.0.1:8080 failed: port is already allocated"),
        ([(80, None, 8080), (81, "::1", 8080)], r"Bind for \[::\]:8080 failed: port is already allocated"),
    ],
)
def test_a_port_that_is_asked_for_twice(net: Net, asked: list[tuple[int, str | None, int]], words: str):
    endpoint = net.manager.allocate("bridge", EndpointRequest("s"))
    requests = [PortRequest(Port(inner), host, number, number) for inner, host, number in asked]
    with pytest.raises(Internal, match=words):
        net.manager.publish(endpoint, "box", requests)
    net.manager.publish(endpoint, "box", requests[:1])  # nothing of the first try is left


def test_where_one_family_is_routed_the_other_is_bound(net: Net, monitor: int):
    network(net, 1, gateway_mode_ipv6="routed")
    with inside(net.lab.outside):
        run("ip", "-6", "route", "add", "fd40::/16", "via", "fd20::2")
    more = PortRequest(Port(81), "127.0.0.1", 8081, 8081)
    box = start(net, "net1", WEB, more, monitor=monitor)
    assert box.shown == [("0.0.0.0", 8080), ("127.0.0.1", 8081), ("::", 0)]
    assert ask_tcp(net.lab.outside, "192.0.2.2", 8080) == "192.0.2.1"
    assert box.endpoint.address6
    assert ask_tcp(net.lab.outside, str(box.endpoint.address6.ip), 80) == "fd20::1"
    assert not reaches(ask_tcp, net.lab.host, "::1", 8080, 0.5)
    net.manager.release(box.endpoint)
    assert not reaches(ask_tcp, net.lab.outside, str(box.endpoint.address6.ip), 80, 0.5)
    with inside(net.lab.host):
        socket.create_server(("0.0.0.0", 8080)).close()


def test_sctp_ports_are_kept_apart_like_others(net: Net, monitor: int):
    """Whether the kernel has SCTP sockets or not."""
    asked = PortRequest(Port(80, "sctp"), None, 8080, 8080)
    box = start(net, "bridge", asked, WEB, monitor=monitor)
    assert box.shown == [("0.0.0.0", 8080), ("0.0.0.0", 8080), ("::", 8080)]
    assert "sctp . 8080 : 172.17.0.2 . 80" in run("nft", "list", "map", "inet", "wharf", "published")
    endpoint = net.manager.allocate("bridge", EndpointRequest("s"))
    with pytest.raises(Internal, match=r"Bind for 0\.0\.0\.0:8080 failed: port is already allocated"):
        net.manager.publish(endpoint, "two", [asked])
    net.manager.release(box.endpoint)
    assert "8080" not in run("nft", "list", "map", "inet", "wharf", "published")
    net.manager.publish(endpoint, "two", [asked])


def test_the_setting_for_ports_without_an_address(lab6: Lab, make_net: Callable[..., Net]):
    net = make_net(NetworkConfig("", publish="127.0.0.1"), netd=True)
    box = start(net, "bridge", WEB, PortRequest(Port(80), "192.0.2.2", 9090, 9090))
    assert box.shown == [("127.0.0.1", 8080), ("192.0.2.2", 9090)]
    assert ask_tcp(lab6.host, "127.0.0.1", 8080) and ask_tcp(lab6.outside, "192.0.2.2", 9090)
    assert not reaches(ask_tcp, lab6.outside, "192.0.2.2", 8080, 0.5)
    network(net, 1, host_binding_ipv4="192.0.2.2")
    assert start(net, "net1", PortRequest(Port(80), None, 8082, 8082)).shown == [("192.0.2.2", 8082)]


def test_connections_of_both_families_outlive_the_daemon(lab6: Lab, make_net: Callable[..., Net], monitor: int):
    store = MemoryStore()
    before = make_net(store=store, netd=True)
    network(before, 1)
    box = start(before, "net1", WEB, monitor=monitor)
    clients = []
    for netns, address in ((lab6.outside, "192.0.2.2"), (lab6.outside, "fd20::2"), (lab6.host, "::1")):
        with inside(netns):
            clients.append(socket.create_connection((address, 8080), timeout=5))
        assert clients[-1].recv(100)
    before.stop(remove=False)
    make_net(store=store, running=(box.endpoint,), netd=True)
    for client in clients:
        with client:
            client.sendall(b"still here")
            assert client.recv(100) == b"still here"
    assert ask_tcp(lab6.outside, "fd20::2", 8080) == "fd20::1" and ask_tcp(lab6.host, "::1", 8080) == "fd40:1::1"


def test_a_port_that_another_program_has(net: Net):
    endpoint = net.manager.allocate("bridge", EndpointRequest("s"))
    with inside(net.lab.host), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as taken:
        taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        taken.bind(("::", 5353))
        with pytest.raises(Internal, match=rf"\[::\]:5353:.*: {os.strerror(errno.EADDRINUSE).lower()}"):
            net.manager.publish(endpoint, "box", [PortRequest(Port(53, "udp"), None, 5353, 5353)])
    with inside(net.lab.host), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("0.0.0.0", 5353))  # the half that could be had was given back
