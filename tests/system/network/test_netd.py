"""netd: IPv6 published ports, clean-up when a monitor ends, life beyond wharfd."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.system.network.lab import ask_tcp, ask_udp, inside
from wharf.spec.network import Port, PortRequest

WEB = PortRequest(Port(80), None, 8080, 8080)
DNS = PortRequest(Port(53, "udp"), None, 5353, 5353)
DNS_ANY = PortRequest(Port(53, "udp"))


class Monitor:
    """A process that stands for a monitor."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(["sleep", "1000"])
        self.pidfd = os.pidfd_open(self.process.pid)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    made = Monitor()
    yield made
    made.end()
    os.close(made.pidfd)


@pytest.fixture
def net(make_net):
    return make_net(netd=True)


def _published() -> str:
    return subprocess.run(
        ["nft", "list", "map", "inet", "wharf", "published"], capture_output=True, text=True, check=True
    ).stdout


def _until(condition, seconds: float = 3) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.005)


def test_ipv6_addresses_of_the_host_lead_to_the_container(net, monitor):
    _, server = net.start(WEB, DNS, monitor=monitor.pidfd)
    net.lab.serve_tcp(server.netns, 80)
    net.lab.serve_udp(server.netns, 53)
    assert ask_tcp(net.lab.host, "::1", 8080) == "172.17.0.1"
    assert ask_udp(net.lab.host, "::1", 5353) == "172.17.0.1"
    for netns, address in ((net.lab.host, "fd07::2/64"), (net.lab.outside, "fd07::1/64")):
        with inside(netns):
            subprocess.run(["ip", "-6", "addr", "add", address, "dev", "eth0", "nodad"], check=True)
    assert ask_tcp(net.lab.outside, "fd07::2", 8080) == "172.17.0.1"
    assert ask_udp(net.lab.outside, "fd07::2", 5353) == "172.17.0.1"
    assert ask_tcp(net.lab.host, "127.0.0.1", 8080) == "172.17.0.1"
    assert not [line for line in net.said if "netd" in line]


def test_relay_passes_half_close_and_large_data(net, monitor):
    _, server = net.start(WEB, monitor=monitor.pidfd)
    net.lab.serve_tcp(server.netns, 80)
    sent = os.urandom(1 << 22)
    with inside(net.lab.host):
        client = socket.create_connection(("::1", 8080), timeout=10)
    with client:
        assert client.recv(100) == b"172.17.0.1\n"
        received = bytearray()
        view = memoryview(sent)
        client.setblocking(False)
        while view or len(received) < len(sent):  # both ways at once, so that back-pressure is felt on both sides
            try:
                if view and not (view := view[client.send(view) :]):
                    client.shutdown(socket.SHUT_WR)
            except BlockingIOError:
                pass
            try:
                received += client.recv(1 << 16)
            except BlockingIOError:
                pass
        client.settimeout(5)
        assert client.recv(1) == b"" and bytes(received) == sent


def test_refused_connection_is_reset(net, monitor):
    net.start(WEB, monitor=monitor.pidfd)
    with inside(net.lab.host), socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as client:
        client.settimeout(3)
        with pytest.raises(ConnectionResetError):  # seen by connect already, or by the first read
            client.connect(("::1", 8080))
            client.recv(1)


def test_end_of_the_monitor_frees_everything_without_wharfd(make_net, net, monitor):
    net.start(WEB, DNS, monitor=monitor.pidfd)
    assert "8080" in _published()
    net.stop(remove=False)
    monitor.end()
    _until(lambda: "8080" not in _published() and "5353" not in _published())
    with inside(net.lab.host):
        for address in ("::", "0.0.0.0"):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            socket.create_server((address, 8080), family=family).close()
    make_net(store=net.store, netd=True)  # ends the netd that is left


def test_next_daemon_finds_netd_and_relays_go_on(make_net, monitor):
    before = make_net(netd=True)
    alive, server = before.start(WEB, monitor=monitor.pidfd)
    gone, _ = before.start(DNS)
    before.lab.serve_tcp(server.netns, 80)
    with inside(before.lab.host):
        client = socket.create_connection(("::1", 8080), timeout=3)
    assert client.recv(100)
    before.stop(remove=False)
    after = make_net(store=before.store, running=(alive,), netd=True)
    with client:
        client.sendall(b"on")
        assert client.recv(2) == b"on"
    assert ask_tcp(after.lab.host, "::1", 8080) == "172.17.0.1"
    with inside(after.lab.host), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.bind(("::", 5353))  # the one that does not run any more was dropped
    assert gone.ports and not [line for line in after.said if "netd" in line]


def test_release_frees_the_port_at_once(net, monitor):
    for _ in range(5):
        endpoint, server = net.start(WEB, monitor=monitor.pidfd)
        net.lab.serve_tcp(server.netns, 80)
        assert ask_tcp(net.lab.host, "::1", 8080)  # leaves connections in TIME_WAIT
        assert ask_tcp(net.lab.host, "127.0.0.1", 8080)
        net.manager.release(endpoint)


def test_many_ports_at_once(net, monitor):
    requests = [PortRequest(Port(number), None, number, number) for number in range(20000, 20450)]
    endpoint, server = net.start(*requests, monitor=monitor.pidfd)
    net.lab.serve_tcp(server.netns, 20449)
    assert len(endpoint.ports) == 900
    assert ask_tcp(net.lab.host, "::1", 20449) == "172.17.0.1"
    assert ask_tcp(net.lab.host, "127.0.0.1", 20449) == "172.17.0.1"
    net.manager.release(endpoint)
    assert "20449" not in _published()


def test_netd_that_was_killed_is_started_again(net, monitor, tmp_path: Path):
    net.start(WEB)
    child = net.manager._relay._child
    os.kill(child, 9)
    endpoint, server = net.start(DNS, monitor=monitor.pidfd)
    net.lab.serve_udp(server.netns, 53)
    assert ask_udp(net.lab.host, "::1", 5353) == "172.17.0.1"
    assert endpoint.ports and (tmp_path / "netd.sock").is_socket()


def test_netd_is_small_and_ends_with_a_clean_stop(net, monitor):
    net.start(WEB, monitor=monitor.pidfd)
    child = net.manager._relay._child
    rollup = Path(f"/proc/{child}/smaps_rollup").read_text()
    private = sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_"))
    assert private < 16 * 1024, f"{private} KiB"
    net.stop(remove=True)
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_twenty_at_once_get_different_addresses_and_ports(net, monitor):
    def start(_: int):
        with inside(net.lab.host):
            return net.start(PortRequest(Port(80)), DNS_ANY, monitor=monitor.pidfd)

    with ThreadPoolExecutor(20) as pool:
        started = list(pool.map(start, range(20)))
    assert len({endpoint.address for endpoint, _ in started}) == 20
    assert len({port for endpoint, _ in started for port in endpoint.ports}) == 80
    for endpoint, sandbox in started:
        net.lab.serve_tcp(sandbox.netns, 80)
        assert ask_tcp(net.lab.host, "::1", endpoint.ports[0].host_port) == "172.17.0.1"
        assert ask_tcp(net.lab.outside, "192.0.2.2", endpoint.ports[0].host_port) == "192.0.2.1"
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(net.manager.release, [endpoint for endpoint, _ in started]))
    assert "elements" not in _published()


def test_control_socket_survives_nonsense(net, tmp_path: Path):
    net.start(WEB)
    for nonsense in (b"{", b"[]", b'{"op":"publish"}', b'{"op":7}', b'{"op":"release","id":[]}', b"x" * 70000):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.connect(str(tmp_path / "netd.sock"))
            client.send(nonsense)
            client.settimeout(3)
            answer = client.recv(1000)
            assert answer == b"" or b'"ok":false' in answer
    endpoint, server = net.start(DNS)
    net.lab.serve_udp(server.netns, 53)
    assert endpoint and ask_udp(net.lab.host, "::1", 5353) == "172.17.0.1"
