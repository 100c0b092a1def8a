"""Our registry server beside the distribution's docker-registry: the same requests by the same client, taking turns.

Rates, so a ratio above the goal is the good one. The last figures are of our server alone: its memory at its highest,
and manifests a second of one core's time.
"""

import hashlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

BLOB = 512 << 20
PIECE = 1 << 20
REQUESTS = 1_000
CLIENTS = 4
START_SECONDS = 60.0
NAME = "bench/app"
NAMES = ("registry: download, MB/s", "registry: upload, MB/s", "registry: manifests/s/core", "registry: memory, MB")
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_HERTZ = os.sysconf("SC_CLK_TCK")
Show = Callable[..., None]


def rows(work: Path, repeat: int, only: str, row: Show) -> None:
    """Print the rows whose name contains `only`."""
    if not any(only in name for name in NAMES):
        return
    with ExitStack() as stack:
        servers = [stack.enter_context(_ours(work)), stack.enter_context(_docker_registry(work))]
        data = os.urandom(PIECE)
        digest = _digest(data)
        uploads: list[list[float]] = [[] for _ in servers]
        downloads: list[list[float]] = [[] for _ in servers]
        manifests: list[list[float]] = [[] for _ in servers]
        for number in range(repeat):
            for index, server in enumerate(servers):
                uploads[index].append(BLOB / 1e6 / server.upload(data, digest, f"{NAME}{number}"))
                downloads[index].append(BLOB / 1e6 / server.download(digest, f"{NAME}{number}"))
        for index, server in enumerate(servers):
            server.push_manifest()
            manifests[index] = [server.manifests() for _ in range(min(repeat, 5))]
        figures = [[statistics.median(samples) for samples in rates] for rates in (downloads, uploads, manifests)]
        for name, values, goal in zip(NAMES, figures, (0.9, 0.7, None), strict=False):
            row(name, values, goal, " at least" if goal else " (goal: 500)")
        row(NAMES[3], [server.memory() / 1e6 for server in servers], None, " (goal: 80)")


class Server:
    """A running registry on loopback, and the client that measures it."""

    def __init__(self, port: int, process: subprocess.Popen[bytes], root: Path) -> None:
        self._port, self._process, self._root = port, process, root

    def upload(self, piece: bytes, digest: str, name: str) -> float:
        """Seconds for one blob of BLOB bytes, `piece` again and again, in a POST, a PATCH and a PUT."""
        with self._connect() as client:
            _, headers, _ = _ask(client, "POST", f"/v2/{name}/blobs/uploads/", "Content-Length: 0\r\n")
            begun = time.perf_counter()
            where = _path(headers)
            client.sendall(
                _head("PATCH", where, f"Content-Length: {BLOB}\r\nContent-Type: application/octet-stream\r\n")
            )
            for _ in range(BLOB // PIECE):
                client.sendall(piece)
            status, headers, _ = _answer(client)
            where = _path(headers)
            mark = "&" if "?" in where else "?"
            status, _, _ = _ask(client, "PUT", f"{where}{mark}digest={digest}", "Content-Length: 0\r\n")
            if status != 201:
                raise RuntimeError(f"the upload was answered with {status}")
            return time.perf_counter() - begun

    def download(self, digest: str, name: str) -> float:
        """Seconds for that blob, read and thrown away."""
        buffer = memoryview(bytearray(PIECE))
        with self._connect() as client:
            begun = time.perf_counter()
            status, _, rest = _ask(client, "GET", f"/v2/{name}/blobs/{digest}")
            if status != 200:
                raise RuntimeError(f"the download was answered with {status}")
            left = BLOB - len(rest)
            while left:
                size = client.recv_into(buffer)
                if not size:
                    raise RuntimeError("the download was cut")
                left -= size
            return time.perf_counter() - begun

    def push_manifest(self) -> None:
        """A small manifest under the tag `1`."""
        config = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
        digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
        descriptor = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": len(config)}
        document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor, "layers": []}
        data = json.dumps(document).encode()
        with self._connect() as client:
            _, headers, _ = _ask(client, "POST", f"/v2/{NAME}/blobs/uploads/", "Content-Length: 0\r\n")
            where = _path(headers)
            mark = "&" if "?" in where else "?"
            length = f"Content-Length: {len(config)}\r\nContent-Type: application/octet-stream\r\n"
            client.sendall(_head("PUT", f"{where}{mark}digest={digest}", length) + config)
            _answer(client)
            length = f"Content-Length: {len(data)}\r\nContent-Type: {MANIFEST}\r\n"
            client.sendall(_head("PUT", f"/v2/{NAME}/manifests/1", length) + data)
            if (status := _answer(client)[0]) != 201:
                raise RuntimeError(f"the manifest was answered with {status}")

    def manifests(self) -> float:
        """Requests a second of processor time that the server spent, over CLIENTS kept connections."""
        head = f"Accept: {MANIFEST}\r\n"
        clients = [self._connect() for _ in range(CLIENTS)]
        before = self._processor()
        for _ in range(REQUESTS // CLIENTS):
            for client in clients:
                client.sendall(_head("GET", f"/v2/{NAME}/manifests/1", head))
            for client in clients:
                if (status := _answer(client)[0]) != 200:
                    raise RuntimeError(f"a manifest was answered with {status}")
        spent = self._processor() - before
        for client in clients:
            client.close()
        return REQUESTS / max(spent, 1 / _HERTZ)

    def memory(self) -> int:
        """The most memory that the server had, in bytes."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM"))

    def _processor(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _HERTZ

    def _connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._port), START_SECONDS)


@contextmanager
def _ours(work: Path) -> Iterator[Server]:
    root = work / "registry-wharf"
    command = [str(Path(".venv/bin/wharf").absolute()), "registry", "serve", "--root", str(root)]
    with _running([*command, "--addr", "127.0.0.1:5010"], 5010, root) as server:
        yield server


@contextmanager
def _docker_registry(work: Path) -> Iterator[Server]:
    program = subprocess.run(["tools/registry-peer"], capture_output=True, text=True, check=True).stdout.strip()
    root, config = work / "registry-docker", work / "registry-docker.yml"
    config.write_text(
        "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
        f"storage: {{filesystem: {{rootdirectory: {root}}}}}\nhttp: {{addr: '127.0.0.1:5011'}}\n"
    )
    with _running([program, "serve", str(config)], 5011, root) as server:
        yield server


@contextmanager
def _running(command: list[str], port: int, root: Path) -> Iterator[Server]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield Server(port, process, root)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        shutil.rmtree(root, ignore_errors=True)


def _digest(piece: bytes) -> str:
    found = hashlib.sha256()
    for _ in range(BLOB // PIECE):
        found.update(piece)
    return f"sha256:{found.hexdigest()}"


def _head(method: str, path: str, headers: str = "") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: bench\r\n{headers}\r\n".encode()


def _ask(client: socket.socket, method: str, path: str, headers: str = "") -> tuple[int, dict[str, str], bytes]:
    client.sendall(_head(method, path, headers))
    return _answer(client)


def _answer(client: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Status, headers, and the bytes of the body: all of a small one, the beginning of another."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (piece := client.recv(65536)):
            raise RuntimeError("the registry closed the connection")
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    length = int(headers.get("content-length", "0"))
    while len(body) < length <= 65536:
        body += client.recv(65536)
    return int(lines[0].split()[1]), headers, body


def _path(headers: dict[str, str]) -> str:
    location = headers["location"]
    return location[location.index("/v2/") :]
