"""Attach over a websocket, by a client of the test's own (RFC 6455), and images imported from a URL."""

import base64
import http.server
import os
import socket
import subprocess
import threading
from functools import partial
from pathlib import Path

from tests.support.busybox import layer_tar
from tests.support.wharfd import Wharfd, docker_client
from wharf.api.websocket import BINARY, CLOSE, PING, PONG, TEXT, accept, frame


def client_frame(opcode: int, data: bytes) -> bytes:
    mask = os.urandom(4)
    body = bytes(byte ^ mask[number % 4] for number, byte in enumerate(data))
    return bytes((0x80 | opcode, 0x80 | len(data))) + mask + body


def read_frame(file: "socket.SocketIO") -> tuple[int, bytes]:
    head = file.read(2)
    assert head and len(head) == 2
    size = head[1]
    if size >= 126:
        size = int.from_bytes(file.read(2 if size == 126 else 8) or b"", "big")
    return head[0] & 15, file.read(size) or b""


def handshake(daemon: Wharfd, path: str) -> "tuple[socket.socket, socket.SocketIO, str]":
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(30)
    sock.connect(daemon.socket)
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall(
        f"GET {path} HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    file = sock.makefile("rb", buffering=0)
    lines = []
    while (line := file.readline()) not in (b"\r\n", b""):
        lines.append(line.decode())
    wanted = accept({"upgrade": "websocket", "sec-websocket-version": "13", "sec-websocket-key": key})
    assert f"Sec-WebSocket-Accept: {wanted}" in "".join(lines) or " 101 " not in lines[0]
    return sock, file, lines[0]


def test_attach_both_ways(daemon: Wharfd) -> None:
    daemon.docker(
        "run", "-di", "--name", "wsboth", "busybox", "sh", "-c", "echo first; read x; echo got $x; echo e >&2"
    )
    assert daemon.docker("logs", "wsboth").stdout == "first\n"  # said before, or the stream would have it as well
    sock, file, status = handshake(
        daemon, "/v1.51/containers/wsboth/attach/ws?stream=1&stdin=1&stdout=1&stderr=1&logs=1"
    )
    assert " 101 " in status
    seen = b""
    with sock:
        while b"first\n" not in seen:
            opcode, data = read_frame(file)
            assert opcode == BINARY
            seen += data
        sock.sendall(client_frame(PING, b"there?"))
        assert read_frame(file) == (PONG, b"there?")
        sock.sendall(client_frame(TEXT, b"wor") + client_frame(BINARY, b"ds\n"))
        while (found := read_frame(file))[0] != CLOSE:
            seen += found[1]
    assert seen.startswith(b"first\n")
    assert sorted(seen.split(b"\n")[1:]) == [b"", b"e", b"got words"]
    assert found[1] == (1000).to_bytes(2, "big")
    daemon.docker("rm", "-f", "wsboth")


def test_what_is_no_frame_ends_the_connection(daemon: Wharfd) -> None:
    daemon.docker("run", "-di", "--name", "wsbad", "busybox", "cat")
    sock, file, _ = handshake(daemon, "/containers/wsbad/attach/ws?stream=1&stdin=1&stdout=1")
    with sock:
        sock.sendall(frame(TEXT, b"without a mask"))
        assert read_frame(file) == (CLOSE, (1002).to_bytes(2, "big"))
    sock, _, status = handshake(daemon, "/containers/nosuch/attach/ws?stream=1")
    sock.close()
    assert " 404 " in status
    assert daemon.docker("inspect", "-f", "{{.State.Running}}", "wsbad").stdout == "true\n"
    daemon.docker("rm", "-f", "wsbad")


def test_import_from_a_url(tmp_path: Path) -> None:
    (tmp_path / "root.tar").write_bytes(layer_tar())
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with Wharfd(own_network=False) as daemon:
            url = f"http://127.0.0.1:{server.server_port}"
            daemon.docker("import", f"{url}/root.tar", "fetched:1")
            assert daemon.docker("history", "--no-trunc", "--format", "{{.Comment}}", "fetched:1").stdout == (
                f"Imported from {url}/root.tar\n"
            )
            missing = daemon.docker("import", f"{url}/nothing.tar", check=False)
            assert "got HTTP status code >= 400: 404" in missing.stderr
            command = [docker_client(), "import", "ftp://127.0.0.1/x"]
            refused = subprocess.run(command, env=daemon.environment, capture_output=True, text=True, check=False)
            assert refused.returncode == 1
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
