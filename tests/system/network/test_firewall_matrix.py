"""Who reaches what: every kind of network, asked from everywhere, IPv4 and IPv6. The table in docs/flow-network.md is
what this test saw; with WHARF_WRITE_DOCS=1 it writes it anew.
"""

import dataclasses
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.network.bridges import reaches, run
from tests.system.network.conftest import Net
from tests.system.network.lab import Lab, Sandbox, ask_tcp, inside
from wharf.network.manager import EndpointRequest, SandboxTarget
from wharf.network.netd.client import NetdClient
from wharf.spec.network import Endpoint, Ipam, IpamConfig, NetworkRecord, Port, PortRequest

DOCS = Path(__file__).parents[3] / "docs/flow-network.md"
BEGIN, END = "<!-- matrix: written by tests/system/network/test_firewall_matrix.py -->", "<!-- end of matrix -->"
BRIDGE = "com.docker.network.bridge."
MODES = {"gateway_mode_ipv4", "gateway_mode_ipv6"}
PUBLISHED, CLOSED = 80, 81
HOST4, HOST6 = "192.0.2.2", "fd20::2"


@dataclass
class Kind:
    """A kind of network: its options, whether it is internal, the host port that its container publishes."""

    name: str
    host_port: int
    options: dict[str, str] = dataclasses.field(default_factory=dict)
    internal: bool = False
    ipv6: bool = True

    def record(self, number: int) -> NetworkRecord:
        configs = [
            IpamConfig(subnet=f"10.40.{number}.0/24", gateway=f"10.40.{number}.1"),
            IpamConfig(subnet=f"fd40:{number}::/64", gateway=f"fd40:{number}::1"),
        ]
        record = NetworkRecord(f"net{number}", "", "", enable_ipv6=self.ipv6, internal=self.internal)
        record.options = {BRIDGE + key: value for key, value in self.options.items()}
        record.ipam = Ipam(config=configs if self.ipv6 else configs[:1])
        return record


KINDS = (
    Kind("nat (the default)", 8001),
    Kind("nat, IPv4 alone", 8007, ipv6=False),
    Kind("`enable_icc=false`", 8002, {"enable_icc": "false"}),
    Kind("`gateway_mode` nat-unprotected", 8003, dict.fromkeys(MODES, "nat-unprotected")),
    Kind("`gateway_mode` routed", 8004, dict.fromkeys(MODES, "routed")),
    Kind("internal", 8005, internal=True),
    Kind("internal, `gateway_mode` isolated", 8006, dict.fromkeys(MODES, "isolated"), internal=True),
)
WAYS = (
    "unpublished port",
    "published port, container's address",
    "published port, host's address",
    "published port, 127.0.0.1 and ::1",
)
SOURCES = ("host", "same network", "another network", "an internal network", "another machine")


@dataclass
class Box:
    netns: int
    endpoint: Endpoint


@pytest.fixture
def net(make_net: Callable[..., Net], lab: Lab) -> Net:
    with inside(lab.host):
        run("ip", "-6", "addr", "add", f"{HOST6}/64", "dev", "eth0", "nodad")
    with inside(lab.outside):
        run("ip", "-6", "addr", "add", "fd20::1/64", "dev", "eth0", "nodad")
        run("ip", "route", "add", "10.40.0.0/16", "via", HOST4)
        run("ip", "-6", "route", "add", "fd40::/16", "via", HOST6)
    return make_net(netd=True)


def start(net: Net, record: NetworkRecord, *requests: PortRequest) -> Box:
    """A container on a network, with servers on both ports by both families."""
    sandbox: Sandbox = net.lab.sandbox()
    endpoint = net.manager.allocate(record.name, EndpointRequest(f"s{sandbox.netns}"))
    published = net.manager.publish(endpoint, "box", requests)
    net.manager.connect([published], SandboxTarget(sandbox.netns, sandbox.route))
    for port in (PUBLISHED, CLOSED):
        net.lab.serve_tcp(sandbox.netns, port)
        if endpoint.address6:
            net.lab.serve_tcp(sandbox.netns, port, str(endpoint.address6.ip))
    return Box(sandbox.netns, published.endpoint)


def test_who_reaches_what(net: Net) -> None:
    assert isinstance(net.manager._relay, NetdClient)
    records = [net.manager.create(kind.record(number)) for number, kind in enumerate(KINDS, 1)]
    targets, others = [], []
    for kind, record in zip(KINDS, records, strict=True):
        targets.append(start(net, record, PortRequest(Port(PUBLISHED), None, kind.host_port, kind.host_port)))
        others.append(start(net, record))
    elsewhere = start(net, net.manager.create(Kind("", 0).record(50)))
    shut_in = start(net, net.manager.create(Kind("", 0, internal=True).record(51)))
    with inside(shut_in.netns):  # it has no way out by itself; one that gives itself a route gets no further
        run("ip", "route", "add", "default", "via", "10.40.51.1")
        run("ip", "-6", "route", "add", "default", "via", "fd40:51::1")
    asked = []
    with ThreadPoolExecutor(16) as pool:
        for kind, target, other in zip(KINDS, targets, others, strict=True):
            sources = (net.lab.host, other.netns, elsewhere.netns, shut_in.netns, net.lab.outside)
            for way in WAYS:
                cells = [pool.submit(_cell, source, kind, target, way) for source in sources]
                asked.append((kind.name, way, cells))
        table = _table([(name, way, *(cell.result() for cell in cells)) for name, way, cells in asked])
    text = DOCS.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    wanted = f"{before}{BEGIN}\n{table}{END}{after}"
    if os.environ.get("WHARF_WRITE_DOCS"):
        DOCS.write_text(wanted)
    assert text == wanted or os.environ.get("WHARF_WRITE_DOCS"), f"the table in {DOCS} tells otherwise:\n{table}"


def _cell(source: int, kind: Kind, target: Box, way: str) -> str:
    """yes, –, or the family by which alone it works. What answers does so within a moment; a silence is asked twice."""
    port = CLOSED if way == WAYS[0] else PUBLISHED
    if way == WAYS[2]:
        places = (HOST4, kind.host_port), (HOST6, kind.host_port)
    elif way == WAYS[3]:
        places = ("127.0.0.1", kind.host_port), ("::1", kind.host_port)
    else:
        places = tuple((str(address), port) for address in target.endpoint.addresses)
    found = [any(reaches(ask_tcp, source, *place, seconds) for seconds in (0.3, 0.7)) for place in places]
    four, six = found if len(found) == 2 else (found[0], found[0])
    return "yes" if four and six else "IPv4" if four else "IPv6" if six else "–"


def _table(rows: list[tuple[str, ...]]) -> str:
    head = ("network", "what", *(f"from {source}" for source in SOURCES))
    lines = [" | ".join(row) for row in (head, ["---"] * len(head), *rows)]
    return "".join(f"| {line} |\n" for line in lines)
