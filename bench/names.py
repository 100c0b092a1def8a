"""Name resolution in containers: the time of one question, questions a second, and what one container's flood does to
another's questions. `python -m bench.names` is the asker that runs in a container's network namespace."""

import json
import select
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from bench.engines import Engine

RESOLVER = ("127.0.0.11", 53)
NETWORK, NAME = "bench-names", "names-target"
SINGLE, SECONDS, WINDOW, FLOOD = 3000, 5.0, 64, 10_000
GOALS = {"one": "≤ 1 ms", "rate": "≥ 5000", "beside": "≤ 5 ms"}


def question(ident: int, name: str = NAME) -> bytes:
    """A query for an address, with EDNS as the C library's `options edns0` would send."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    head = ident.to_bytes(2, "big") + b"\x01\0\0\x01\0\0\0\0\0\x01"
    return head + labels + b"\0\0\x01\0\x01" + b"\0\0\x29\x04\xd0\0\0\0\0\0\0"


def opened() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sock.connect(RESOLVER)
    return sock


def one_by_one(count: float) -> list[float]:
    """Seconds of each question; one that is lost counts with its whole second."""
    sock, samples = opened(), []
    sock.settimeout(1)
    for number in range(int(count)):
        begin = time.perf_counter()
        try:
            sock.send(question(number & 0xFFFF))
            assert sock.recv(2000)[7], "no answer in the answer"
        except TimeoutError:
            pass
        samples.append(time.perf_counter() - begin)
    return samples


def at_once(seconds: float) -> list[float]:
    """Answers a second with WINDOW questions under way."""
    sock, answered, number = opened(), 0, 0
    sock.settimeout(0.5)
    begin = time.perf_counter()
    for number in range(WINDOW):
        sock.send(question(number))
    while time.perf_counter() - begin < seconds:
        try:
            sock.recv(2000)
        except TimeoutError:  # all that were under way are lost: begin anew
            for _ in range(WINDOW - 1):
                sock.send(question(number & 0xFFFF))
        else:
            answered += 1
        number += 1
        sock.send(question(number & 0xFFFF))
    return [answered / (time.perf_counter() - begin)]


def flood(seconds: float) -> list[float]:
    """Send FLOOD questions a second in even portions; the share of them that was answered."""
    sock, sent, received = opened(), 0, 0
    sock.setblocking(False)
    begin = time.perf_counter()
    while (now := time.perf_counter() - begin) < seconds:
        while sent < now * FLOOD:
            try:
                sock.send(question(sent & 0xFFFF))
            except BlockingIOError:
                pass
            sent += 1
        received += drain(sock, 0.001)
    return [(received + drain(sock, 0.5)) / sent]


def drain(sock: socket.socket, patience: float) -> int:
    count = 0
    while select.select([sock], [], [], patience)[0]:
        patience = 0
        try:
            sock.recv(2000)
        except BlockingIOError:
            break
        count += 1
    return count


MODES: dict[str, Callable[[float], list[float]]] = {"one": one_by_one, "rate": at_once, "flood": flood}


def names(peers: list[Engine]) -> None:
    """Three rows: milliseconds of one question (median and 99th percentile in brackets), answers a second, and one
    question's milliseconds beside another container's flood."""
    rows: dict[str, list[str]] = {"one": [], "rate": [], "beside": []}
    for engine in peers:
        _start(engine)
        try:
            rows["one"].append(_times(_ask(engine, "names-asker", "one", SINGLE)))
            rows["rate"].append(f"{_ask(engine, 'names-asker', 'rate', SECONDS)[0]:.0f}")
            loud = _spawn(engine, "names-flood", "flood", SECONDS)
            time.sleep(0.5)
            samples = _ask(engine, "names-asker", "one", SINGLE / 10)
            answered = json.loads(loud.communicate()[0])[0]
            rows["beside"].append(f"{_times(samples)}, {answered:.0%} of the flood answered")
        finally:
            engine.run("rm", "-f", "names-asker", "names-flood", NAME, check=False)
            engine.run("network", "rm", NETWORK, check=False)
    for name, title in (("one", "dns, ms"), ("rate", "dns, answers a second"), ("beside", "dns beside a flood, ms")):
        figures = "; ".join(f"{engine.name} {text}" for engine, text in zip(peers, rows[name], strict=True))
        print(f"{title:32}{figures}  goal {GOALS[name]}", flush=True)


def _start(engine: Engine) -> None:
    engine.run("network", "create", NETWORK)
    for name in (NAME, "names-asker", "names-flood"):
        engine.run("run", "-d", "--name", name, "--network", NETWORK, "busybox", "sleep", "1000")


def _spawn(engine: Engine, container: str, mode: str, amount: float) -> subprocess.Popen[str]:
    pid = engine.run("inspect", "-f", "{{.State.Pid}}", container, discard=False).strip()
    command = ["nsenter", f"--net=/proc/{pid}/ns/net", sys.executable, "-m", "bench.names", mode, str(amount)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _ask(engine: Engine, container: str, mode: str, amount: float) -> list[float]:
    return [float(value) for value in json.loads(_spawn(engine, container, mode, amount).communicate()[0])]


def _times(samples: list[float]) -> str:
    ordered = sorted(samples)
    return f"{statistics.median(ordered) * 1000:.2f} (p99 {ordered[int(len(ordered) * 0.99)] * 1000:.2f})"


if __name__ == "__main__":
    print(json.dumps(MODES[sys.argv[1]](float(sys.argv[2]))))
