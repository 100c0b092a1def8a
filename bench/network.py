"""Networks: starts on a user-defined one, and what goes through it once it is there.

Rates are measured inside: the program that sends measures itself, so that no start of a client is in the figure.
"""

import statistics
import subprocess
from concurrent.futures import ThreadPoolExecutor

from bench.engines import Engine

CROWD = 200
BYTES = 2 << 30
SHORT = 5000
NETWORK = "bench-net"
GOAL = 0.95
BULK_PORT, SHORT_PORT = 9000, 9001
HOST_PORTS = {BULK_PORT: 19000, SHORT_PORT: 19001}
_ON_IT = ("--network", NETWORK, "busybox", "sleep", "10000")
_PYTHON = ("-v", "/usr:/usr:ro", "-v", "/lib:/lib:ro", "-v", "/lib64:/lib64:ro")
_SERVER = f"""
import socket, threading
def bulk():
    server = socket.create_server(("", {BULK_PORT}))
    room = bytearray(1 << 20)
    while True:
        peer, _ = server.accept()
        while peer.recv_into(room):
            pass
        peer.sendall(b"k")
        peer.close()
threading.Thread(target=bulk).start()
server = socket.create_server(("", {SHORT_PORT}), backlog=4096)
while True:
    peer, _ = server.accept()
    peer.sendall(peer.recv(64))
    peer.close()
"""
_BULK = f"""
import socket, sys, time
peer = socket.create_connection((sys.argv[1], int(sys.argv[2])))
data = bytes(1 << 20)
start = time.perf_counter()
for _ in range({BYTES} >> 20):
    peer.sendall(data)
peer.shutdown(socket.SHUT_WR)
peer.recv(1)
print({BYTES} / (time.perf_counter() - start) / 1e9)
"""
_SHORT = f"""
import socket, sys, time
start = time.perf_counter()
for _ in range({SHORT}):
    with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as peer:
        peer.sendall(b"x")
        peer.recv(64)
print({SHORT} / (time.perf_counter() - start))
"""


def make_network(engine: Engine) -> None:
    """The network that the rows share."""
    engine.run("network", "create", NETWORK)


def remove_network(engine: Engine) -> None:
    """Take it away."""
    engine.run("network", "rm", NETWORK)


def start_crowd(engine: Engine) -> None:
    """CROWD containers on one network, four clients at a time."""
    with ThreadPoolExecutor(4) as pool:
        names = [f"crowd-{number}" for number in range(CROWD)]
        list(pool.map(lambda name: engine.run("run", "-d", "--name", name, *_ON_IT), names))


def remove_crowd(engine: Engine) -> None:
    """All of them."""
    engine.run("rm", "-f", *(f"crowd-{number}" for number in range(CROWD)))


def rates(peers: list[Engine], repeat: int, only: str = "") -> None:
    """Rows of rates: more is better, the goal is GOAL of the peer's. The engines take turns."""
    rows = {
        "TCP container to container, GB/s": lambda engine: _inside(engine, _BULK, BULK_PORT),
        "TCP host to published port, GB/s": lambda engine: _outside(engine, _BULK, BULK_PORT),
        "short connections to a container/s": lambda engine: _inside(engine, _SHORT, SHORT_PORT),
        "short connections to a port/s": lambda engine: _outside(engine, _SHORT, SHORT_PORT),
    }
    wanted = {name: measure for name, measure in rows.items() if only in name}
    if not wanted:
        return
    for engine in peers:
        _set_up(engine)
    try:
        for name, measure in wanted.items():
            samples: dict[str, list[float]] = {engine.name: [] for engine in peers}
            for _ in range(repeat):
                for engine in peers:
                    samples[engine.name].append(measure(engine))
            figures = [statistics.median(samples[engine.name]) for engine in peers]
            text = f"{name:36}" + "".join(f"{figure:>10.2f}" for figure in figures)
            if len(figures) > 1:
                text += f"{figures[0] / figures[1]:>8.2f} ≥{GOAL:.2f}"
            print(text, flush=True)
    finally:
        for engine in peers:
            engine.run("rm", "-f", "rate-server", "rate-client", check=False)
            engine.run("network", "rm", NETWORK, check=False)


def _set_up(engine: Engine) -> None:
    make_network(engine)
    ports = [word for inner, outer in HOST_PORTS.items() for word in ("-p", f"127.0.0.1:{outer}:{inner}")]
    common = ("run", "-d", "--network", NETWORK, *_PYTHON)
    engine.run(*common, *ports, "--name", "rate-server", "busybox", "/usr/bin/python3", "-c", _SERVER)
    engine.run(*common, "--name", "rate-client", "busybox", "sleep", "100000")
    probe = (
        "import socket, sys, time\nfor _ in range(200):\n try:\n  socket.create_connection((sys.argv[1], "
        f"{SHORT_PORT})).close(); break\n except OSError:\n  time.sleep(0.05)\nelse:\n raise SystemExit(1)"
    )
    engine.run("exec", "rate-client", "/usr/bin/python3", "-c", probe, _address(engine))


def _address(engine: Engine) -> str:
    template = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return engine.run("inspect", "-f", template, "rate-server", discard=False).strip()


def _inside(engine: Engine, script: str, port: int) -> float:
    words = ("exec", "rate-client", "/usr/bin/python3", "-c", script, _address(engine), str(port))
    return float(engine.run(*words, discard=False))


def _outside(engine: Engine, script: str, port: int) -> float:
    enter = ["nsenter", f"--net=/proc/{engine.pid}/ns/net", "/usr/bin/python3", "-c", script]
    done = subprocess.run([*enter, "127.0.0.1", str(HOST_PORTS[port])], capture_output=True, text=True, check=True)
    return float(done.stdout)
