"""The bridge, endpoints on it, and published IPv4 ports, with real traffic between namespaces."""

import contextlib
import socket
import subprocess
from pathlib import Path

import pytest

from tests.system.network.lab import Lab, ask_tcp, ask_udp, inside
from wharf.errors import Internal, Unavailable
from wharf.network.manager import EndpointRequest, NetworkConfig
from wharf.spec.network import Port, PortRequest

WEB = PortRequest(Port(80), "0.0.0.0", 8080, 8080)
DNS = PortRequest(Port(53, "udp"), "0.0.0.0", 5353, 5353)


def test_container_reaches_gateway_and_other_container(net):
    _, first = net.start()
    second, sandbox = net.start()
    net.lab.serve_tcp(sandbox.netns, 80)
    net.lab.serve_tcp(net.lab.host, 81)
    assert ask_tcp(first.netns, str(second.address.ip), 80) == "172.17.0.2"
    assert ask_tcp(first.netns, "172.17.0.1", 81) == "172.17.0.2"


def test_outbound_traffic_is_masqueraded(net):
    _, sandbox = net.start()
    net.lab.serve_tcp(net.lab.outside, 80)
    net.lab.serve_udp(net.lab.outside, 53)
    assert ask_tcp(sandbox.netns, "192.0.2.1", 80) == "192.0.2.2"
    assert ask_udp(sandbox.netns, "192.0.2.1", 53) == "192.0.2.2"


@pytest.mark.parametrize("bridge_calls", ["0", "1"])
def test_published_port_is_reached_from_everywhere(net, bridge_calls):
    switch = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if switch.exists():
        switch.write_text(bridge_calls)
    endpoint, server = net.start(WEB, DNS)
    _, other = net.start()
    net.lab.serve_tcp(server.netns, 80)
    net.lab.serve_udp(server.netns, 53)
    assert [str(p.host_port) for p in endpoint.ports] == ["8080", "5353"]
    host, outside = net.lab.host, net.lab.outside
    for ask, port in ((ask_tcp, 8080), (ask_udp, 5353)):
        assert ask(outside, "192.0.2.2", port) == "192.0.2.1"  # the source address is kept
        assert ask(host, "127.0.0.1", port) == "172.17.0.1"
        assert ask(host, "192.0.2.2", port) in ("192.0.2.2", "172.17.0.1")
        assert ask(host, "172.17.0.1", port) == "172.17.0.1"
        assert ask(other.netns, "192.0.2.2", port) == "172.17.0.1"
        assert ask(other.netns, "172.17.0.1", port) == "172.17.0.1"
        assert ask(server.netns, "192.0.2.2", port) == "172.17.0.1"  # hairpin to itself


def test_port_published_on_loopback_only(net):
    _, server = net.start(PortRequest(Port(80), "127.0.0.1", 8080, 8080))
    net.lab.serve_tcp(server.netns, 80)
    assert ask_tcp(net.lab.host, "127.0.0.1", 8080) == "172.17.0.1"
    with pytest.raises(OSError):
        ask_tcp(net.lab.outside, "192.0.2.2", 8080, seconds=0.3)


def test_unpublished_port_is_closed_to_the_outside_but_open_to_the_host(net):
    _, server = net.start(WEB)
    net.lab.serve_tcp(server.netns, 80)
    net.lab.serve_tcp(server.netns, 81)
    with inside(net.lab.outside):
        subprocess.run(["ip", "route", "add", "172.17.0.0/16", "via", "192.0.2.2"], check=True)
    for port in (80, 81):  # not even the published one by the container's own address
        with pytest.raises(TimeoutError):
            ask_tcp(net.lab.outside, "172.17.0.2", port, seconds=0.3)
    assert ask_tcp(net.lab.host, "172.17.0.2", 81) == "172.17.0.1"


@pytest.mark.parametrize("where", ["outside", "container"])
def test_packets_for_loopback_from_elsewhere_are_dropped(net, where):
    """A neighbour routes 127/8 to us: neither a service on loopback nor a port published there answers. The same
    packets do arrive once our table is gone and the interface takes them, so the test can see."""
    _, server = net.start(PortRequest(Port(80), "127.0.0.1", 8080, 8080))
    net.lab.serve_tcp(server.netns, 80)
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind(("127.0.0.1", 99))
    listener.settimeout(0.3)
    if where == "outside":
        neighbour, gateway, interface = net.lab.outside, "192.0.2.2", "eth0"
    else:
        neighbour, gateway, interface = net.start()[1].netns, "172.17.0.1", "wharf0"
    with inside(neighbour):
        Path("/proc/sys/net/ipv4/conf/eth0/route_localnet").write_text("1")
        subprocess.run(["ip", "addr", "del", "127.0.0.1/8", "dev", "lo"], check=True)
        subprocess.run(["ip", "route", "flush", "table", "local", "127.0.0.0/8"], check=False, capture_output=True)
        subprocess.run(["ip", "route", "add", "127.0.0.1", "via", gateway], check=True)
    Path(f"/proc/sys/net/ipv4/conf/{interface}/route_localnet").write_text("1")
    with pytest.raises(OSError):
        ask_tcp(neighbour, "127.0.0.1", 8080, seconds=0.3)
    with inside(neighbour):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sender, listener:
        sender.sendto(b"dropped", ("127.0.0.1", 99))
        with pytest.raises(TimeoutError):
            listener.recv(100)
        subprocess.run(["nft", "delete", "table", "inet", "wharf"], check=True)
        listener.settimeout(10)
        sender.sendto(b"arrives", ("127.0.0.1", 99))
        assert listener.recv(100) == b"arrives"


def test_inner_interface_is_as_docker_makes_it(net):
    endpoint, sandbox = net.start()
    with inside(sandbox.netns):
        shown = subprocess.run(["ip", "-o", "addr"], capture_output=True, text=True, check=True).stdout
        routes = subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout
        link = subprocess.run(["ip", "link", "show", "eth0"], capture_output=True, text=True, check=True).stdout
    assert [line.split()[1:4] for line in shown.splitlines()] == [
        ["lo", "inet", "127.0.0.1/8"],
        ["lo", "inet6", "::1/128"],
        ["eth0", "inet", "172.17.0.2/16"],
    ]
    assert "default via 172.17.0.1 dev eth0" in routes
    assert endpoint.mac in link and int(endpoint.mac[:2], 16) & 3 == 2


def test_witness_sees_the_bridge_and_its_port(net):
    from pyroute2 import IPRoute

    net.start()
    with IPRoute() as route:
        (bridge,) = route.link_lookup(ifname="wharf0")
        ports = [link for link in route.get_links() if link.get_attr("IFLA_MASTER") == bridge]
        assert len(ports) == 1 and ports[0].get_attr("IFLA_IFNAME").startswith("wv-")
        assert route.get_addr(index=bridge, family=socket.AF_INET)[0].get_attr("IFA_ADDRESS") == "172.17.0.1"


def test_release_withdraws_ports_and_is_repeatable(net):
    endpoint, server = net.start(WEB)
    net.lab.serve_tcp(server.netns, 80)
    assert ask_tcp(net.lab.host, "127.0.0.1", 8080)
    net.manager.release(endpoint)
    net.manager.release(endpoint)
    with pytest.raises(ConnectionRefusedError):
        ask_tcp(net.lab.host, "127.0.0.1", 8080)
    again, _ = net.start(WEB)
    assert str(again.address.ip) == "172.17.0.3"


def test_udp_client_that_keeps_sending_follows_the_port(net):
    with inside(net.lab.outside):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(1)
    with client:
        client.connect(("192.0.2.2", 5353))
        client.send(b"too early")
        with pytest.raises(ConnectionRefusedError):
            client.recv(100)
        for round in (b"first", b"second"):
            endpoint, server = net.start(DNS)
            net.lab.serve_udp(server.netns, 53)
            assert _keep_sending(client, round) == b"192.0.2.1 " + round
            net.manager.release(endpoint)


def _keep_sending(client: socket.socket, text: bytes) -> bytes:
    """The answer, within five datagrams: the first may meet a bridge whose port is just coming up."""
    for _ in range(5):
        client.send(text)
        with contextlib.suppress(TimeoutError):
            while not (answer := client.recv(100)).endswith(text):
                pass  # to an earlier text, and late
            return answer
    raise AssertionError(f"nobody answers {text!r}")


def test_release_halfway_frees_socket_and_address(net):
    endpoint = net.manager.allocate("bridge", EndpointRequest("s"))
    published = net.manager.publish(endpoint, "box", [WEB])
    net.manager.release(published.endpoint)
    probe = socket.create_server(("127.0.0.1", 8080))
    probe.close()


def test_port_conflicts_are_told_in_dockers_words(net):
    net.start(WEB)
    prefix = "failed to set up container networking: driver failed programming external connectivity on endpoint two "
    endpoint = net.manager.allocate("bridge", EndpointRequest("s"))
    for host in ("0.0.0.0", "127.0.0.1", None):
        with pytest.raises(Internal) as refused:
            net.manager.publish(endpoint, "two", [PortRequest(Port(80), host, 8080, 8080)])
        assert refused.value.message == (
            f"{prefix}({endpoint.id}): Bind for 0.0.0.0:8080 failed: port is already allocated"
        )
    with socket.create_server(("0.0.0.0", 9090)), pytest.raises(Internal) as refused:
        net.manager.publish(endpoint, "two", [PortRequest(Port(80), None, 9090, 9090)])
    assert refused.value.message == (
        f"{prefix}({endpoint.id}): failed to bind host port for 0.0.0.0:9090:172.17.0.3:80/tcp: address already in use"
    )
    with pytest.raises(Internal, match=r"10\.66\.66\.66:9093:172\.17\.0\.3:80/tcp: cannot assign requested address$"):
        net.manager.publish(endpoint, "two", [PortRequest(Port(80), "10.66.66.66", 9093, 9093)])


def test_reserved_port_cannot_be_taken_by_another_program(net):
    endpoint = net.manager.allocate("bridge", EndpointRequest("s"))
    net.manager.publish(endpoint, "box", [WEB])
    with pytest.raises(OSError):
        socket.create_server(("0.0.0.0", 8080))


def test_ranges_and_ephemeral_ports(net):
    first, _ = net.start(PortRequest(Port(82), None, 8080, 8081))
    second, _ = net.start(PortRequest(Port(82), None, 8080, 8081))
    assert [(p.host_ip, p.host_port) for p in first.ports] == [("0.0.0.0", 8080), ("::", 8080)]
    assert [p.host_port for p in second.ports] == [8081, 8081]
    third = net.manager.allocate("bridge", EndpointRequest("s"))
    with pytest.raises(Internal, match="all ports are allocated"):
        net.manager.publish(third, "three", [PortRequest(Port(82), None, 8080, 8081)])
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    fourth, _ = net.start(PortRequest(Port(80)), PortRequest(Port(81)))
    numbers = [port.host_port for port in fourth.ports]
    assert numbers == [low, low, low + 1, low + 1] and numbers[-1] <= high


def test_host_without_ipv6_publishes_ipv4_alone(net):
    Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
    endpoint, _ = net.start(PortRequest(Port(80), None, 8080, 8080))
    assert [port.host_ip for port in endpoint.ports] == ["0.0.0.0"]


def test_restart_takes_over_and_cleans_up(make_net, lab: Lab):
    before = make_net()
    alive, server = before.start(WEB)
    lab.serve_tcp(server.netns, 80)
    before.start(DNS)
    with inside(lab.host):
        client = socket.create_connection(("127.0.0.1", 8080))
    assert client.recv(100)
    before.stop(remove=False)
    after = make_net(store=before.store, running=(alive,))
    with client:
        client.sendall(b"still here")
        assert client.recv(100) == b"still here"
    assert ask_tcp(lab.host, "127.0.0.1", 8080) == "172.17.0.1"
    assert [name for name in _interfaces() if name.startswith("wv-")] == ["wv-" + alive.id[:12]]
    elements = subprocess.run(["nft", "list", "map", "inet", "wharf", "published"], capture_output=True, text=True)
    assert "8080" in elements.stdout and "5353" not in elements.stdout
    assert str(after.start()[0].address.ip) == "172.17.0.3"
    with pytest.raises(Internal, match="port is already allocated"):
        after.manager.publish(after.manager.allocate("bridge", EndpointRequest("s")), "x", [WEB])


def _interfaces() -> list[str]:
    shown = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    return [line.split(": ")[1].split("@")[0] for line in shown.splitlines()]


def test_records_are_dockers_and_survive(make_net):
    first = make_net()
    assert [record.name for record in first.manager.networks()] == ["bridge", "host", "none"]
    bridge = first.manager.find("bridge")
    assert bridge.ipam.config and bridge.ipam.config[0].subnet == "172.17.0.0/16"
    assert bridge.options["com.docker.network.bridge.name"] == "wharf0"
    second = make_net(store=first.store)
    assert [record.id for record in second.manager.networks()] == [record.id for record in first.manager.networks()]
    assert second.manager.find(bridge.id[:12]).name == "bridge"


def test_pool_skips_the_hosts_routes_and_bip_wins(make_net, lab: Lab):
    subprocess.run(["ip", "route", "add", "172.17.3.0/24", "via", "192.0.2.1"], check=True)
    assert make_net().manager.gateway == make_net().manager.gateway
    other = make_net(NetworkConfig("abcdef"))
    assert str(other.manager.gateway) == "172.19.0.1"
    third = make_net(NetworkConfig("abcde0", bip="10.5.0.1/24"))
    assert str(third.manager.gateway) == "10.5.0.1"
    assert {"wharf0", "wharf0-abcdef", "wharf0-abcde0"} <= set(_interfaces())


def test_two_instances_are_isolated_from_one_another(make_net):
    one, two = make_net(), make_net(NetworkConfig("abcdef"))
    _, first = one.start()
    endpoint, second = two.start(WEB)
    two.lab.serve_tcp(second.netns, 80)
    assert ask_tcp(first.netns, "192.0.2.2", 8080)
    with pytest.raises(OSError):
        ask_tcp(first.netns, str(endpoint.address.ip), 80, seconds=0.3)


def test_foreign_drop_policy_is_told_with_its_remedy(make_net):
    rules = "table ip filter { chain FORWARD { type filter hook forward priority filter; policy drop; }\n}"
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
    warnings = make_net().manager.warnings()
    assert len(warnings) == 1 and "iptables -I FORWARD -i wharf0 -j ACCEPT" in warnings[0]
    accept = "insert rule ip filter FORWARD {} wharf0 accept"
    for side in ("iifname", "oifname"):
        subprocess.run(["nft", accept.format(side)], check=True)
    assert make_net().manager.warnings() == []


def test_close_leaves_nothing(make_net):
    net = make_net()
    net.start(WEB)
    net.stop(remove=True)
    assert not [name for name in _interfaces() if name.startswith(("wv-", "wharf"))]
    assert "wharf" not in subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True).stdout


def test_failed_start_leaves_nothing_new(make_net, monkeypatch):
    subprocess.run(["ip", "link", "add", "wharf0", "type", "veth"], check=True)
    with pytest.raises(Unavailable, match="wharf0 exists and is no bridge"):
        make_net()
    subprocess.run(["ip", "link", "del", "wharf0"], check=True)
    monkeypatch.setattr("wharf.kernel.nft._SEARCHED", "/nowhere")
    with pytest.raises(Unavailable, match="install the package nftables"):
        make_net(netd=True)
    assert not [name for name in _interfaces() if name.startswith("wharf")]
