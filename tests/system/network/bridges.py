"""Bridges with containers' ends on the lab's host, made by `ip`: what the packet filter is tried on."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path

from tests.system.network.lab import Lab, ask_tcp, inside
from wharf.network.firewall import Firewall
from wharf.network.names import Names
from wharf.spec.network import BridgeFacts, Endpoint, Port, PublishedPort


def run(*command: str) -> str:
    """A command that must succeed; its output."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def load(rules: str) -> None:
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)


def reaches(ask: Callable[..., str], netns: int, address: str, port: int, seconds: float = 5) -> str:
    """The address that the server saw, "" when there was no answer within that time."""
    try:
        return ask(netns, address, port, seconds=seconds)
    except OSError:
        return ""


@dataclass
class Box:
    """A container's end: its namespace and its place."""

    netns: int
    endpoint: Endpoint

    @property
    def v4(self) -> str:
        assert self.endpoint.address
        return str(self.endpoint.address.ip)

    @property
    def v6(self) -> str:
        assert self.endpoint.address6
        return str(self.endpoint.address6.ip)


@dataclass
class World:
    """The lab's host with bridges 172.30.<n>.0/24 and fd30:<n>::/64, and the packet filter of one instance."""

    lab: Lab
    firewall: Firewall = field(default_factory=lambda: Firewall(Names("")))
    networks: list[BridgeFacts] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)

    @classmethod
    def make(cls, lab: Lab) -> "World":
        world = cls(lab)
        lab.closing.callback(world.firewall.close)
        for name in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
            Path("/proc/sys", name).write_text("1")
        for netns, address in ((lab.host, "fd20::2/64"), (lab.outside, "fd20::1/64")):
            with inside(netns):
                run("ip", "-6", "addr", "add", address, "dev", "eth0", "nodad")
        with inside(lab.outside):  # the neighbour knows the way to all containers: only the rules keep it out
            run("ip", "route", "add", "172.30.0.0/16", "via", "192.0.2.2")
            run("ip", "-6", "route", "add", "fd30::/16", "via", "fd20::2")
        world.firewall.load([], [])
        return world

    def network(self, ipv6: bool = True, load: bool = True, **settings: object) -> BridgeFacts:
        number = len(self.networks) + 1
        facts = BridgeFacts(
            network_id=f"{number:064x}"[::-1],
            name=f"net{number}",
            bridge=f"br{number}",
            subnet4=IPv4Network(f"172.30.{number}.0/24"),
            gateway4=IPv4Address(f"172.30.{number}.1"),
            subnet6=IPv6Network(f"fd30:{number}::/64") if ipv6 else None,
            gateway6=IPv6Address(f"fd30:{number}::1") if ipv6 else None,
        )
        facts = replace(facts, **settings)  # type: ignore[arg-type]
        run("ip", "link", "add", facts.bridge, "type", "bridge")
        run("ip", "addr", "add", f"172.30.{number}.1/24", "dev", facts.bridge)
        # As network/bridge.py: a host whose link-local address is not yet decided finds no neighbour.
        Path(f"/proc/sys/net/ipv6/conf/{facts.bridge}/accept_dad").write_text("0")
        run("ip", "link", "set", facts.bridge, "up")
        Path(f"/proc/sys/net/ipv4/conf/{facts.bridge}/route_localnet").write_text("1")
        if ipv6:
            run("ip", "-6", "addr", "add", f"fd30:{number}::1/64", "dev", facts.bridge, "nodad")
        self.networks.append(facts)
        if load:
            self.firewall.add_network(facts)
        return facts

    def box(self, facts: BridgeFacts, *ports: PublishedPort) -> Box:
        """A container on a network, its ports published; it answers on TCP 80 and 81 by IPv4 and IPv6, on UDP 53."""
        sandbox = self.lab.sandbox()
        number, network = len(self.boxes) + 2, facts.bridge.removeprefix("br")
        netns = f"/proc/{os.getpid()}/fd/{sandbox.netns}"
        run("ip", "link", "add", f"v{number}", "type", "veth", "peer", "name", "eth0", "netns", netns)
        run("ip", "link", "set", f"v{number}", "master", facts.bridge, "up")
        run("bridge", "link", "set", "dev", f"v{number}", "hairpin", "on")
        endpoint = Endpoint(
            id=f"e{number}",
            network_id=facts.network_id,
            network_name=facts.name,
            sandbox_id=f"s{number}",
            address=IPv4Interface(f"172.30.{network}.{number}/24"),
            gateway=facts.gateway4,
            mac="",
            ports=ports,
            address6=IPv6Interface(f"fd30:{network}::{number}/64") if facts.subnet6 else None,
        )
        with inside(sandbox.netns):
            run("ip", "link", "set", "lo", "up")
            run("ip", "addr", "add", str(endpoint.address), "dev", "eth0")
            run("ip", "link", "set", "eth0", "up")
            run("ip", "route", "add", "default", "via", f"172.30.{network}.1")
            if endpoint.address6:
                run("ip", "-6", "addr", "add", str(endpoint.address6), "dev", "eth0", "nodad")
                run("ip", "-6", "route", "add", "default", "via", f"fd30:{network}::1")
        made = Box(sandbox.netns, endpoint)
        self.boxes.append(made)
        self.firewall.publish(endpoint)
        for port in (80, 81):
            self.lab.serve_tcp(sandbox.netns, port)
            if endpoint.address6:
                self.lab.serve_tcp(sandbox.netns, port, str(endpoint.address6.ip))
        self.lab.serve_udp(sandbox.netns, 53)
        return made

    def can(self, netns: int, address: str, port: int = 80) -> str:
        """The address that the server saw; "" after 5 seconds without an answer."""
        return reaches(ask_tcp, netns, address, port)

    def cannot(self, netns: int, address: str, port: int = 80) -> bool:
        """True if nothing answers within a while that is long for packets on one machine."""
        return not reaches(ask_tcp, netns, address, port, 0.3)


def web(host_ip: str, number: int, inner: int = 80, protocol: str = "tcp") -> PublishedPort:
    return PublishedPort(Port(inner, protocol), host_ip, number)
