"""The packet filter for many networks, with real packets between namespaces; bridge-nf-call off and on."""

import contextlib
import socket
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.system.network.bridges import Box, World, load, reaches, run, web
from tests.system.network.lab import Lab, ask_udp, inside, read_all
from wharf.spec.network import GatewayMode, Port, PublishedPort


@pytest.fixture(params=["0", "1"], ids=["nf-call-0", "nf-call-1"])
def world(lab: Lab, request: pytest.FixtureRequest) -> World:
    for name in ("bridge-nf-call-iptables", "bridge-nf-call-ip6tables"):
        if (switch := Path("/proc/sys/net/bridge", name)).exists():
            switch.write_text(request.param)
    return World.make(lab)


@pytest.fixture
def plain(lab: Lab) -> World:
    return World.make(lab)


def test_networks_are_apart_and_each_is_whole(world: World):
    one, two = world.network(), world.network()
    a, b, c = world.box(one), world.box(one), world.box(two)
    for source, target in ((a, b), (b, a)):
        assert world.can(source.netns, target.v4) == source.v4
        assert world.can(source.netns, target.v6) == source.v6
        assert reaches(ask_udp, source.netns, target.v4, 53) == source.v4
    for source, target in ((a, c), (c, a)):
        assert world.cannot(source.netns, target.v4) and world.cannot(source.netns, target.v6)
        assert not reaches(ask_udp, source.netns, target.v4, 53, 0.3)
    assert world.cannot(world.lab.outside, a.v4) and world.cannot(world.lab.outside, a.v6)
    assert world.can(world.lab.host, a.v4) == "172.30.1.1" and world.can(world.lab.host, a.v6) == "fd30:1::1"


def test_what_leaves_is_masqueraded_unless_told_otherwise(world: World):
    world.lab.serve_tcp(world.lab.outside, 80)
    world.lab.serve_tcp(world.lab.outside, 80, "fd20::1")
    box = world.box(world.network())
    assert world.can(box.netns, "192.0.2.1") == "192.0.2.2" and world.can(box.netns, "fd20::1") == "fd20::2"
    bare = world.box(world.network(masquerade=False))
    assert world.can(bare.netns, "192.0.2.1") == bare.v4 and world.can(bare.netns, "fd20::1") == bare.v6


def test_published_ports_of_both_families_from_everywhere(world: World):
    one, two = world.network(), world.network()
    box = world.box(one, web("0.0.0.0", 8080), web("::", 8080), web("192.0.2.2", 9090), web("fd20::2", 9090))
    near, far, lab = world.box(one), world.box(two), world.lab
    assert world.can(lab.outside, "192.0.2.2", 8080) == world.can(lab.outside, "192.0.2.2", 9090) == "192.0.2.1"
    assert world.can(lab.outside, "fd20::2", 8080) == world.can(lab.outside, "fd20::2", 9090) == "fd20::1"
    assert world.can(lab.host, "127.0.0.1", 8080) == "172.30.1.1"
    assert world.can(lab.host, "192.0.2.2", 8080) in ("192.0.2.2", "172.30.1.1")
    assert world.can(lab.host, "fd20::2", 8080) in ("fd20::2", "fd30:1::1")
    for inner in (near, box):  # hairpin: through the host and back into the same bridge
        assert world.can(inner.netns, "192.0.2.2", 8080) == world.can(inner.netns, "172.30.1.1", 8080) == "172.30.1.1"
        assert world.can(inner.netns, "fd20::2", 8080) == world.can(inner.netns, "fd30:1::1", 8080) == "fd30:1::1"
    assert world.can(far.netns, "192.0.2.2", 8080) == world.can(far.netns, "172.30.2.1", 8080) == "172.30.1.1"
    assert world.can(far.netns, "fd20::2", 8080) == "fd30:1::1"
    assert world.cannot(lab.outside, "192.0.2.2", 8081) and world.cannot(lab.outside, box.v4)


def test_a_port_of_one_address_answers_there_alone(plain: World):
    run("ip", "addr", "add", "192.0.2.3/24", "dev", "eth0")
    box = plain.box(plain.network(), web("192.0.2.3", 8080), web("fd20::2", 8081, 81))
    assert plain.can(plain.lab.outside, "192.0.2.3", 8080) == "192.0.2.1"
    assert plain.can(plain.lab.outside, "fd20::2", 8081) == "fd20::1"
    assert plain.cannot(plain.lab.outside, "192.0.2.2", 8080) and plain.cannot(plain.lab.host, "127.0.0.1", 8080)
    assert plain.cannot(plain.lab.outside, "fd20::2", 8080) and box


def test_udp_ports_of_ipv6_follow_their_container(plain: World):
    """A client that goes on sending from one port meets the container that has the port now."""
    facts = plain.network()
    with inside(plain.lab.outside):
        client = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    with client, inside(plain.lab.host):
        client.settimeout(2)
        client.connect(("fd20::2", 5353))
        client.send(b"too early")
        with pytest.raises(ConnectionRefusedError):
            client.recv(100)
        for _ in range(2):
            box = plain.box(facts)
            _serve_udp6(plain, box)
            published = replace(box.endpoint, ports=(web("::", 5353, 5300, "udp"),))
            plain.firewall.publish(published)
            client.send(b"now")
            assert client.recv(100) == box.v6.encode()
            plain.firewall.withdraw(published)


def _serve_udp6(world: World, box: Box) -> None:
    import threading

    with inside(box.netns):
        server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        server.bind((box.v6, 5300))
    world.lab.closing.callback(server.close)

    def serve() -> None:
        with contextlib.suppress(OSError):
            _, peer = server.recvfrom(100)
            server.sendto(box.v6.encode(), peer)

    threading.Thread(target=serve, daemon=True).start()


def test_internal_networks_have_no_way_in_or_out(world: World):
    world.lab.serve_tcp(world.lab.outside, 80)
    inner, open_ = world.network(internal=True), world.network()
    a, b = world.box(inner), world.box(inner)
    other = world.box(open_, web("0.0.0.0", 8080), web("::", 8080))
    assert world.can(a.netns, b.v4) == a.v4 and world.can(a.netns, b.v6) == a.v6
    assert world.can(world.lab.host, a.v4) == "172.30.1.1"
    for address, port in (("192.0.2.1", 80), (other.v4, 80), ("172.30.1.1", 8080), ("192.0.2.2", 8080)):
        assert world.cannot(a.netns, address, port), address
    for address, port in (("fd20::1", 80), (other.v6, 80), ("fd30:1::1", 8080)):
        assert world.cannot(a.netns, address, port), address
    for source in (other.netns, world.lab.outside):
        assert world.cannot(source, a.v4) and world.cannot(source, a.v6)


@pytest.mark.parametrize("way", ["filtered", "filtered anyway", "isolated"])
def test_without_icc_containers_meet_by_published_ports_and_links_alone(lab: Lab, way: str):
    """As network/bridge.py sets a bridge up: its frames are always shown to the filter; where the kernel has no such
    thing, its ports are isolated and the host answers ARP for the neighbours."""
    for name in ("bridge-nf-call-iptables", "bridge-nf-call-ip6tables"):
        if (switch := Path("/proc/sys/net/bridge", name)).exists():
            switch.write_text("1" if way == "filtered anyway" else "0")
    world = World.make(lab)
    facts = world.network(icc=False)
    a, b = world.box(facts), world.box(facts, web("0.0.0.0", 8080), web("::", 8080))
    if way == "isolated":
        for box in (a, b):
            run("bridge", "link", "set", "dev", f"v{box.endpoint.id[1:]}", "isolated", "on")
        for name, value in (("proxy_arp_pvlan", "1"), ("send_redirects", "0")):
            Path(f"/proc/sys/net/ipv4/conf/br1/{name}").write_text(value)
    else:
        run("ip", "link", "set", "br1", "type", "bridge", "nf_call_iptables", "1", "nf_call_ip6tables", "1")
    assert world.cannot(a.netns, b.v4) and world.cannot(a.netns, b.v6)
    assert world.can(a.netns, "192.0.2.2", 8080) == "172.30.1.1"
    assert world.can(a.netns, "fd20::2", 8080) == "fd30:1::1"
    with inside(a.netns):  # a detour through the gateway does not help
        run("ip", "route", "add", b.v4, "via", "172.30.1.1")
    assert world.cannot(a.netns, b.v4)
    with inside(a.netns):
        run("ip", "route", "del", b.v4)
    ports = [Port(80), Port(53, "udp")]
    assert a.endpoint.address and b.endpoint.address
    world.firewall.link(a.endpoint.address.ip, b.endpoint.address.ip, ports)
    assert world.can(a.netns, b.v4) == a.v4 and reaches(ask_udp, a.netns, b.v4, 53) == a.v4
    assert world.cannot(a.netns, b.v4, 81) and world.cannot(b.netns, a.v4)
    for cut in (a, b):  # either end
        world.firewall.link(a.endpoint.address.ip, b.endpoint.address.ip, ports)
        world.firewall.link(a.endpoint.address.ip, b.endpoint.address.ip, ports)
        assert world.can(a.netns, b.v4)
        assert cut.endpoint.address
        world.firewall.cut(cut.endpoint.address.ip)
        world.firewall.cut(cut.endpoint.address.ip)
        assert world.cannot(a.netns, b.v4)


def test_routed_networks_let_published_ports_in_at_the_containers_own_address(world: World):
    routed = GatewayMode.ROUTED
    facts, other = world.network(mode4=routed, mode6=routed), world.network()
    ports = (PublishedPort(Port(80), "0.0.0.0", 0), PublishedPort(Port(80), "::", 0))
    box, far = world.box(facts, *ports), world.box(other)
    world.lab.serve_tcp(world.lab.outside, 80)
    for source, v4, v6 in ((world.lab.outside, "192.0.2.1", "fd20::1"), (far.netns, "172.30.1.1", "fd30:1::1")):
        assert world.can(source, box.v4) == v4 and world.can(source, box.v6) == v6
        assert world.cannot(source, box.v4, 81) and world.cannot(source, box.v6, 81)
        with inside(source):
            run("ping", "-c1", "-W2", box.v4) if _has_ping() else None
    assert world.can(box.netns, "192.0.2.1") == box.v4  # no masquerade
    world.firewall.withdraw(box.endpoint)
    assert world.cannot(world.lab.outside, box.v4)


def _has_ping() -> bool:
    return subprocess.run(["sh", "-c", "command -v ping"], capture_output=True, check=False).returncode == 0


def test_unprotected_networks_let_everything_in(world: World):
    facts = world.network(mode4=GatewayMode.NAT_UNPROTECTED, mode6=GatewayMode.NAT_UNPROTECTED)
    box = world.box(facts)
    world.lab.serve_tcp(world.lab.outside, 80)
    for port in (80, 81):
        assert world.can(world.lab.outside, box.v4, port) == "192.0.2.1"
        assert world.can(world.lab.outside, box.v6, port) == "fd20::1"
    assert world.can(box.netns, "192.0.2.1") == "192.0.2.2"


def test_trusted_interfaces_reach_containers_directly(world: World):
    box = world.box(world.network(trusted_interfaces=("eth0",)))
    assert world.can(world.lab.outside, box.v4, 81) == "192.0.2.1"
    assert world.cannot(world.box(world.network()).netns, box.v4, 81)


def test_an_isolated_gateway_has_no_address_and_the_rules_do_not_ask_for_one(world: World):
    facts = world.network(
        internal=True, gateway4=None, gateway6=None, mode4=GatewayMode.ISOLATED, mode6=GatewayMode.ISOLATED
    )
    run("ip", "addr", "flush", "dev", "br1")
    a, b = world.box(facts), world.box(facts)
    assert world.can(a.netns, b.v4) == a.v4 and world.can(a.netns, b.v6) == a.v6
    assert world.cannot(world.lab.host, a.v4)


@pytest.mark.parametrize("source", ["172.30.2.9", "192.0.2.1", "10.1.2.3"])
def test_false_sources_do_not_pass(plain: World, source: str):
    """A container writes as somebody else: to another network's published port, to the outside, to the host. What it
    sends as itself by the same way does arrive."""
    one, two = plain.network(), plain.network()
    liar, target = plain.box(one), plain.box(two, web("0.0.0.0", 5353, 53, "udp"))
    run("ip", "route", "add", "10.0.0.0/8", "via", "192.0.2.1")
    listeners = {}
    for name, netns in (("outside", plain.lab.outside), ("host", plain.lab.host), ("container", target.netns)):
        with inside(netns):
            listeners[name] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listeners[name].bind(("0.0.0.0", 5400))
        listeners[name].settimeout(0.2)
    plain.firewall.publish(replace(target.endpoint, ports=(web("0.0.0.0", 5454, 5400, "udp"),)))
    with inside(liar.netns):
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    ways = {"outside": ("192.0.2.1", 5400), "host": ("172.30.1.1", 5400), "container": ("172.30.1.1", 5454)}
    with raw, contextlib.ExitStack() as closing:
        for name, (address, port) in ways.items():
            sock = closing.enter_context(listeners[name])
            raw.sendto(_datagram(source, address, port), (address, 0))
            with pytest.raises(TimeoutError):
                sock.recv(100)
            raw.sendto(_datagram(liar.v4, address, port), (address, 0))
            sock.settimeout(2)
            assert sock.recv(100) == b"hello", name


def _datagram(source: str, target: str, port: int) -> bytes:
    """An IPv4 packet with a UDP datagram, its header checksum left to the kernel (IP_HDRINCL), no UDP checksum."""
    body = struct.pack("!HHHH", 5400, port, 13, 0) + b"hello"
    head = struct.pack("!BBHHHBBH", 0x45, 0, 0, 1, 0, 64, socket.IPPROTO_UDP, 0)
    return head + socket.inet_aton(source) + socket.inet_aton(target) + body


def test_false_ipv6_sources_do_not_pass(plain: World):
    liar = plain.box(plain.network())
    with inside(plain.lab.outside):
        listener = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        run("ip", "-6", "route", "add", "fd99::/64", "via", "fd20::2")
    with inside(liar.netns):
        run("ip", "-6", "addr", "add", "fd99::9/64", "dev", "eth0", "nodad")
        sender = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        honest = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    with listener, sender, honest:
        listener.bind(("fd20::1", 5400))
        listener.settimeout(0.3)
        sender.bind(("fd99::9", 0))
        sender.sendto(b"false", ("fd20::1", 5400))
        with pytest.raises(TimeoutError):
            listener.recv(100)
        honest.sendto(b"true", ("fd20::1", 5400))
        listener.settimeout(2)
        assert listener.recv(100) == b"true"


def test_sctp_ports_are_led_by_the_same_rules(plain: World):
    """No SCTP sockets here: an INIT chunk as a raw packet, seen inside with the container's address and port."""
    box = plain.box(plain.network(), web("0.0.0.0", 8080, 80, "sctp"))
    with inside(plain.lab.outside):
        sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, 132)
    with inside(box.netns):
        seen = socket.socket(socket.AF_INET, socket.SOCK_RAW, 132)
    with sender, seen:
        seen.settimeout(2)
        init = struct.pack("!BBHIIHHI", 1, 0, 20, 7, 65535, 1, 1, 7)
        packet = struct.pack("!HHI", 4000, 8080, 0)
        checksum = struct.pack("<I", _crc32c(packet + bytes(4) + init))
        sender.sendto(packet + checksum + init, ("192.0.2.2", 0))
        got, peer = seen.recvfrom(2000)
        assert struct.unpack_from("!HH", got, 20) == (4000, 80) and peer[0] == "192.0.2.1"
        sender.sendto(packet[:2] + b"\x1f\x91" + packet[4:] + checksum + init, ("192.0.2.2", 0))  # 8081: not published
        seen.settimeout(0.2)
        with pytest.raises(TimeoutError):
            seen.recv(2000)


def _crc32c(data: bytes) -> int:
    """CRC-32C (RFC 9260, appendix A), bit by bit."""
    crc = 0xFFFFFFFF
    for octet in data:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_networks_come_and_go_and_connections_stay(world: World):
    one = world.network()
    box = world.box(one, web("0.0.0.0", 8080))
    with inside(world.lab.outside):
        client = socket.create_connection(("192.0.2.2", 8080), timeout=3)
    with client:
        assert client.recv(100)
        before = _rules(world)
        two = world.network()
        world.firewall.add_network(two)
        world.firewall.remove_network(two)
        world.firewall.remove_network(two)
        assert _rules(world) == before
        world.firewall.load(world.networks[:1], [box.endpoint])
        client.sendall(b"still here")
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"still here"
    assert world.can(world.lab.outside, "192.0.2.2", 8080) == "192.0.2.1"


def _rules(world: World) -> str:
    return run("nft", "list", "table", "inet", "wharf")


def test_the_administrators_chain_is_asked_first_and_kept(world: World):
    facts = world.network()
    box = world.box(facts, web("0.0.0.0", 8080))
    other = world.box(world.network())
    run("nft", "add", "rule", "inet", "wharf", "WHARF-USER", "ip", "saddr", "192.0.2.1", "drop")
    run("nft", "add", "rule", "inet", "wharf", "WHARF-USER", "ip", "saddr", other.v4, "oifname", "@bridges", "accept")
    for _ in range(2):
        assert world.cannot(world.lab.outside, "192.0.2.2", 8080)
        assert world.can(world.lab.host, "127.0.0.1", 8080)
        assert world.can(other.netns, box.v4)  # an accept counts for more than networks being apart
        world.firewall.load(world.networks, [box.endpoint])  # the next daemon
    world.firewall.remove()
    kept = _rules(world)
    assert "ip saddr 192.0.2.1 drop" in kept and "hook" not in kept and "elements" not in kept
    world.firewall.load(world.networks, [box.endpoint])
    assert world.cannot(world.lab.outside, "192.0.2.2", 8080)
    run("nft", "flush", "chain", "inet", "wharf", "WHARF-USER")
    world.firewall.remove()
    assert "wharf" not in run("nft", "list", "ruleset")


def test_a_table_of_another_release_is_replaced(plain: World):
    plain.firewall.remove()
    load("table inet wharf { map published { type ipv4_addr : verdict; }\n chain forward { }\n}")
    plain.firewall.load([], [])
    box = plain.box(plain.network(), web("0.0.0.0", 8080))
    assert box and plain.can(plain.lab.outside, "192.0.2.2", 8080) == "192.0.2.1"
