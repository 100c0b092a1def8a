"""Sandboxes with a resolver, and netd as it runs: fixtures of the tests of names."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path

import pytest

from tests.system.network.lab import Lab, Sandbox, inside
from wharf.network.endpoint import SandboxTarget
from wharf.network.netd.client import NetdClient
from wharf.spec.network import Endpoint, Resolver

OUTSIDE = "192.0.2.1"


@dataclass
class Place:
    """A sandbox with a wire to the host, and names on networks that only netd knows."""

    lab: Lab
    names: NetdClient
    sandbox: Sandbox
    ident: str

    @property
    def netns(self) -> int:
        return self.sandbox.netns

    def resolver(self, *networks: str, monitor: int = -1, **settings: object) -> None:
        settings = {"servers": (OUTSIDE,)} | settings
        resolver = Resolver(self.ident, networks, **settings)  # type: ignore[arg-type]
        self.names.resolve(resolver, SandboxTarget(self.netns, self.sandbox.route, monitor))


def wire(lab: Lab, netns: int, number: int) -> None:
    """A veth pair between host and sandbox: 10.77.<number>.1 and .2."""
    run("ip", "link", "add", f"v{number}", "type", "veth", "peer", "name", "e0")
    run("ip", "link", "set", "e0", "netns", f"/proc/{os.getpid()}/fd/{netns}")
    run("ip", "addr", "add", f"10.77.{number}.1/24", "dev", f"v{number}")
    run("ip", "link", "set", f"v{number}", "up")
    with inside(netns):
        run("ip", "link", "set", "lo", "up")
        run("ip", "addr", "add", f"10.77.{number}.2/24", "dev", "e0")
        run("ip", "link", "set", "e0", "up")
        run("ip", "route", "add", "default", "via", f"10.77.{number}.1")


def run(*command: str) -> None:
    subprocess.run(command, check=True)


def endpoint(network: str, sandbox: str, names: tuple[str, ...], v4: str = "", v6: str = "") -> Endpoint:
    return Endpoint(
        id=f"{network}-{sandbox}",
        network_id=network,
        network_name=network + "_net",
        sandbox_id=sandbox,
        address=IPv4Interface(v4 + "/16") if v4 else None,
        gateway=None,
        mac="",
        address6=IPv6Interface(v6 + "/64") if v6 else None,
        names=names,
    )


WEB = endpoint("front", "s1", ("web", "www"), "172.30.0.2", "fd00::2")
WEB2 = endpoint("front", "s2", ("web2", "www"), "172.30.0.3")
DB = endpoint("back", "s3", ("db",), "172.31.0.2")


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def client(lab: Lab, tmp_path: Path, said: list[str]) -> Iterator[NetdClient]:
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    with inside(lab.outside):
        run("ip", "route", "add", "10.77.0.0/16", "via", "192.0.2.2")
    made = NetdClient(str(tmp_path), "wharf", said.append)
    made.restore([])
    yield made
    made.close(stop=True)


@pytest.fixture
def place(lab: Lab, client: NetdClient) -> Callable[[], Place]:
    made: list[Place] = []

    def make() -> Place:
        sandbox = lab.sandbox()
        wire(lab, sandbox.netns, len(made) + 1)
        made.append(Place(lab, client, sandbox, f"place{len(made)}"))
        if len(made) == 1:
            for known in (WEB, WEB2, DB):
                client.join(known)
        return made[-1]

    return make


@pytest.fixture
def here(place: Callable[[], Place]) -> Place:
    made = place()
    made.resolver("front")
    return made


@pytest.fixture
def monitor() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    process = subprocess.Popen(["sleep", "1000"])
    pidfd = os.pidfd_open(process.pid)
    yield process, pidfd
    process.kill()
    process.wait()
    os.close(pidfd)


def until(condition: Callable[[], bool], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.005)
