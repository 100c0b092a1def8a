"""docs/flow-network.md from end to end: the docker command line, wharfd, real packets."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.support.wharfd import Wharfd
from tests.system.network.lab import inside, read_all

SERVE = "echo hi >/index.html; httpd -p 80 -h /; exec sleep 1000"
UDP = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 53))
while True:
    data, peer = s.recvfrom(2000)
    s.sendto(data, peer)
"""
HOST_PYTHON = ["-v", "/usr:/usr:ro", "-v", "/lib:/lib:ro", "-v", "/lib64:/lib64:ro"]


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    if os.geteuid():
        pytest.skip("needs root")
    with Wharfd() as started:
        started.load_busybox()
        yield started


@pytest.fixture
def host(daemon: Wharfd) -> Iterator[int]:
    assert daemon.holder
    netns = os.open(f"/proc/{daemon.holder.pid}/ns/net", os.O_RDONLY)
    yield netns
    os.close(netns)
    names = daemon.docker("ps", "-aq").stdout.split()
    if names:
        daemon.docker("rm", "-f", *names)


def fetch(host: int, address: str, port: int) -> str:
    """The page, once the server in the container has come up."""
    deadline = time.monotonic() + 5
    while True:
        try:
            with inside(host):
                client = socket.create_connection((address, port), timeout=5)
            with client:
                client.sendall(b"GET /index.html HTTP/1.0\r\n\r\n")
                reply = read_all(client)
            if reply:
                return reply.decode().rpartition("\r\n\r\n")[2]
        except ConnectionError:
            pass
        assert time.monotonic() < deadline, f"{address}:{port} does not answer"
        time.sleep(0.01)


def echo(host: int, address: str, port: int) -> bytes:
    """One datagram there and back; datagrams may be lost while the server comes up."""
    with inside(host):
        client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    with client:
        client.settimeout(0.2)
        client.connect((address, port))
        for _ in range(30):
            try:
                client.send(b"ping")
                return client.recv(100)
            except OSError:
                time.sleep(0.01)
    raise AssertionError(f"{address}:{port} does not answer")


def run_web(daemon: Wharfd, *options: str, name: str = "web") -> None:
    daemon.docker("run", "-d", "--name", name, *options, "busybox", "sh", "-c", SERVE)


def test_published_port_answers_on_every_way_there_is(daemon, host):
    run_web(daemon, "-p", "8080:80")
    for address in ("127.0.0.1", "::1", "172.17.0.1"):
        assert fetch(host, address, 8080) == "hi\n"
    wget = ("timeout", "5", "wget", "-q", "-O", "-")
    address = daemon.docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web").stdout.strip()
    for url in ("http://172.17.0.1:8080/index.html", f"http://{address}/index.html"):
        assert daemon.docker("run", "--rm", "busybox", *wget, url).stdout == "hi\n"
        assert daemon.docker("exec", "web", *wget, url).stdout == "hi\n"
    assert daemon.docker("port", "web").stdout.splitlines() == ["80/tcp -> 0.0.0.0:8080", "80/tcp -> [::]:8080"]


def test_udp_port_answers(daemon, host):
    command = ["busybox", "/usr/bin/python3", "-I", "-S", "-c", UDP]
    daemon.docker("run", "-d", "--name", "udp", "-p", "5353:53/udp", *HOST_PYTHON, *command)
    for address in ("127.0.0.1", "::1", "172.17.0.1"):
        assert echo(host, address, 5353) == b"ping"


def test_taken_port_leaves_the_container_created(daemon, host):
    run_web(daemon, "-p", "8080:80")
    refused = daemon.docker("run", "-d", "--name", "late", "-p", "8080:80", "busybox", "true", check=False)
    assert refused.returncode == 125
    assert "on endpoint late (" in refused.stderr
    assert "Bind for 0.0.0.0:8080 failed: port is already allocated" in refused.stderr
    assert daemon.docker("inspect", "-f", "{{.State.Status}}", "late").stdout == "created\n"
    daemon.docker("rm", "-f", "web")
    daemon.docker("start", "late")


def test_port_moves_to_the_next_container_at_once(daemon, host):
    for _ in range(3):
        run_web(daemon, "-p", "8080:80")
        assert fetch(host, "::1", 8080) == fetch(host, "127.0.0.1", 8080) == "hi\n"
        daemon.docker("restart", "-t", "0", "web")
        assert fetch(host, "::1", 8080) == fetch(host, "127.0.0.1", 8080) == "hi\n"
        daemon.docker("rm", "-f", "web")


def test_ports_answer_while_no_daemon_runs_and_after(daemon, host):
    run_web(daemon, "-p", "8080:80")
    assert fetch(host, "::1", 8080) == "hi\n"
    daemon.kill()
    assert fetch(host, "::1", 8080) == fetch(host, "127.0.0.1", 8080) == "hi\n"
    daemon.start()
    assert fetch(host, "::1", 8080) == fetch(host, "127.0.0.1", 8080) == "hi\n"
    assert "0.0.0.0:8080->80/tcp" in daemon.docker("ps").stdout
    daemon.docker("restart", "-t", "0", "web")
    assert fetch(host, "::1", 8080) == fetch(host, "127.0.0.1", 8080) == "hi\n"


def test_host_none_and_shared_networks(daemon, host):
    run_web(daemon)
    interfaces = ("busybox", "ls", "/sys/class/net")
    shown = {
        mode: daemon.docker("run", "--rm", "--network", mode, *interfaces).stdout.split()
        for mode in ("bridge", "none", "container:web", "host")
    }
    assert shown["bridge"] == shown["container:web"] == ["eth0", "lo"] and shown["none"] == ["lo"]
    page = ("timeout", "5", "wget", "-q", "-O", "-", "http://127.0.0.1/index.html")
    assert daemon.docker("run", "--rm", "--network", "container:web", "busybox", *page).stdout == "hi\n"
    assert any(name.startswith("wharf0") for name in shown["host"])


def test_many_ports_of_one_container(daemon, host):
    run_web(daemon, "-p", "20000-20300:80-380")
    assert fetch(host, "127.0.0.1", 20000) == fetch(host, "::1", 20000) == "hi\n"


def test_clean_stop_leaves_no_trace_in_the_network(daemon, host):
    run_web(daemon, "-p", "8080:80")
    daemon.docker("rm", "-f", "web")
    daemon.stop()
    show = [*daemon.enter, "sh", "-c", "ip -o link; nft list ruleset"]
    shown = subprocess.run(show, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(shown) == 1 and ": lo:" in shown[0]
    daemon.start()
