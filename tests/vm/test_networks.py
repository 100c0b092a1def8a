"""Kinds of interfaces and protocols that not every kernel has: ipvlan, macvlan, SCTP, with real packets."""

import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.vm.guest import Guest

SERVE = "echo hi >/index.html; httpd -p 80 -h /; exec sleep 1000"
FETCH = """
import socket, sys, time
for _ in range(200):
    try:
        server = socket.create_connection((sys.argv[1], 80), 5)
        break
    except OSError:
        time.sleep(0.1)
server.sendall(b"GET /index.html HTTP/1.0\\r\\n\\r\\n")
print(server.makefile().read())
"""
SCTP_SERVER = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)
server.bind(("0.0.0.0", 9000))
server.listen()
while True:
    peer, (source, _) = server.accept()
    peer.send(peer.recv(100) + b" " + source.encode())
    peer.close()
"""
SCTP_CLIENT = """
import socket, sys, time
for _ in range(200):
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)
    client.settimeout(5)
    try:
        client.connect((sys.argv[1], int(sys.argv[2])))
        break
    except OSError:
        client.close()
        time.sleep(0.1)
client.send(b"hello")
print(client.recv(100).decode())
"""
HOST_PYTHON = ("-v", "/usr:/usr:ro", "-v", "/lib:/lib:ro", "-v", "/lib64:/lib64:ro")


@pytest.fixture(scope="module")
def engine() -> Iterator[Guest]:
    with Guest("/var/lib/wharf-vm-networks") as guest:
        guest.load_busybox()
        yield guest


@pytest.fixture
def outside() -> Iterator[list[str]]:
    """Another machine (192.0.2.1 and 10.70.0.1) on the wire of our interface `up0` (192.0.2.2): the prefix of what runs
    there."""
    ip("netns", "add", "outside")
    ip("link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", "outside")
    ip("addr", "add", "192.0.2.2/24", "dev", "up0")
    ip("link", "set", "up0", "up")
    for address in ("192.0.2.1/24", "10.70.0.1/24"):
        ip("-n", "outside", "addr", "add", address, "dev", "eth0")
    ip("-n", "outside", "link", "set", "eth0", "up")
    ip("-n", "outside", "route", "add", "10.71.0.0/24", "via", "192.0.2.2")
    yield ["ip", "netns", "exec", "outside"]
    ip("netns", "del", "outside")
    subprocess.run(["ip", "link", "del", "up0"], check=False)  # it may have gone with its peer


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def python(where: list[str], script: str, *words: str) -> str:
    done = subprocess.run([*where, "python3", "-c", script, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def address_of(engine: Guest, name: str, network: str) -> str:
    return str(engine.inspect(name)["NetworkSettings"]["Networks"][network]["IPAddress"])


@pytest.mark.parametrize(
    ("driver", "mode", "subnet"),
    [
        ("macvlan", "bridge", "10.70.0.0/24"),
        ("ipvlan", "l2", "10.70.0.0/24"),
        ("ipvlan", "l3", "10.71.0.0/24"),
    ],
)
def test_interfaces_on_another_ones_wire(
    engine: Guest, outside: list[str], driver: str, mode: str, subnet: str
) -> None:
    options = ("-o", "parent=up0", "-o", f"{driver}_mode={mode}")
    engine.wharf("network", "create", "-d", driver, "--subnet", subnet, *options, "lan")
    try:
        engine.wharf("run", "-d", "--name", "web", "--network", "lan", "busybox", "sh", "-c", SERVE)
        address = address_of(engine, "web", "lan")
        assert "hi" in python(outside, FETCH, address)
        page = engine.wharf(
            "run", "--rm", "--network", "lan", "busybox", "wget", "-qO-", f"http://{address}/index.html"
        )
        assert page.stdout == "hi\n"
    finally:
        engine.wharf("rm", "-f", "web", check=False)
        engine.wharf("network", "rm", "lan")
    links = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout
    assert "up0" in links and "dm-" not in links


def test_an_sctp_port_leads_to_the_container_from_everywhere(engine: Guest, outside: list[str]) -> None:
    subprocess.run(["modprobe", "sctp"], check=True)
    server = ("busybox", "/usr/bin/python3", "-c", SCTP_SERVER)
    engine.wharf("run", "-d", "--name", "sctp", "-p", "9100:9000/sctp", *HOST_PYTHON, *server)
    try:
        address = address_of(engine, "sctp", "bridge")
        assert python(outside, SCTP_CLIENT, "192.0.2.2", "9100") == "hello 192.0.2.1\n"
        assert python([], SCTP_CLIENT, address, "9000").startswith("hello ")
        assert python([], SCTP_CLIENT, "192.0.2.2", "9100").startswith("hello ")
        refused = engine.wharf("run", "--rm", "-p", "9100:9000/sctp", "busybox", "true", check=False)
        assert refused.returncode == 125 and "port is already allocated" in refused.stderr
    finally:
        engine.wharf("rm", "-f", "sctp", check=False)
    time.sleep(0.1)
    gone = "import socket, sys\ns = socket.socket(2, 1, 132)\ns.settimeout(3)\nprint(s.connect_ex((sys.argv[1], 9100)))"
    assert python(outside, gone, "192.0.2.2") != "0\n"
