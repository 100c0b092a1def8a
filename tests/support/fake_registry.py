"""A registry that does as it is told: right by default, wrong on purpose. It runs in threads of the test.

with FakeRegistry() as registry:
    name = registry.add("app", "1", [layer])     # a reference to pull
    registry.on("GET", "/blobs/", lambda call: call.answer(503))
"""

import gzip
import hashlib
import io
import json
import re
import socket
import ssl
import tarfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from wharf.spec.reference import Reference

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def digest_of(data: bytes) -> str:
    """`sha256:<hex>`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar_of(files: Mapping[str, bytes]) -> bytes:
    """A plain layer."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


class Call(BaseHTTPRequestHandler):
    """One request, as a rule sees it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "_Server"

    def handle(self) -> None:
        """A client tries TLS first: close at once, as a server that speaks none."""
        try:
            if isinstance(self.connection, ssl.SSLSocket):
                self.connection.do_handshake()
            elif self.connection.recv(1, socket.MSG_PEEK) == b"\x16":
                return
            super().handle()
        except OSError:
            pass

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """A whole answer; underscores in header names are dashes."""
        self.head(status, **{"Content_Length": str(len(body)), **headers})
        if self.command != "HEAD":
            self.wfile.write(body)

    def head(self, status: int, **headers: str) -> None:
        """Status and headers only."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def cut(self) -> None:
        """Close the connection where it is."""
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def refuse(self, status: int, code: str, message: str, **headers: str) -> None:
        """An error of the specification."""
        body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        self.answer(status, body, Content_Type="application/json", **headers)

    def _serve(self) -> None:
        registry = self.server.registry
        with registry.lock:
            registry.calls.append(Seen(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
            rules = list(registry.rules)
        for rule in rules:
            if rule.matches(self) and rule.act(self) is not PASS:
                return
        registry.serve(self)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve


PASS = object()
"""A rule returns it to let the request go on."""


@dataclass
class _Rule:
    method: str
    pattern: str
    act: Callable[[Call], Any]
    times: int | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def matches(self, call: Call) -> bool:
        if self.method not in ("", call.command) or not re.search(self.pattern, call.path):
            return False
        with self.lock:
            if self.times is None:
                return True
            self.times -= 1
            return self.times >= 0


@dataclass
class Seen:
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    registry: "FakeRegistry"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are what these tests are about."""


class FakeRegistry:
    """`host` is any address of loopback; with `tls` it speaks nothing else."""

    def __init__(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.calls: list[Seen] = []
        self.rules: list[_Rule] = []
        self.lock = threading.Lock()
        self._server = _Server((host, 0), Call)
        self._server.registry = self
        if tls:
            plain = self._server.socket
            self._server.socket = tls.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        self.host = f"{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def on(self, method: str, pattern: str, act: Callable[[Call], Any], times: int | None = None) -> None:
        """What is done with requests that match, the first `times` of them; later rules come after earlier ones."""
        self.rules.append(_Rule(method, pattern, act, times))

    def seen(self, method: str, pattern: str) -> list[Seen]:
        """The requests that came."""
        with self.lock:
            return [call for call in self.calls if call.method == method and re.search(pattern, call.path)]

    def forget(self) -> None:
        """All requests and rules."""
        with self.lock:
            self.calls.clear()
            self.rules.clear()

    def blob(self, data: bytes) -> str:
        """Store; its digest."""
        self.blobs[digest_of(data)] = data
        return digest_of(data)

    def add(self, name: str, tag: str, layers: list[bytes], **more: Any) -> Reference:
        """An image of gzip layers; `architecture`, `media` (of the layers) and `plain` (no gzip) may be given."""
        data = self.image(name, layers, **more)
        self.put(name, tag, MANIFEST, data)
        return self.reference(f"{name}:{tag}")

    def image(self, name: str, layers: list[bytes], **more: Any) -> bytes:
        """The manifest, stored under its digest."""
        architecture, plain = more.get("architecture", "amd64"), more.get("plain", False)
        config = json.dumps(
            {
                "architecture": architecture, "os": more.get("os", "linux"), "config": {"Cmd": ["sh"]},
                "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
            }
        ).encode()  # fmt: skip
        blobs = layers if plain else [gzip.compress(layer, 1, mtime=0) for layer in layers]
        media = more.get("media", LAYER if plain else LAYER + "+gzip")
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": self.blob(config), "size": len(config)},
            "layers": [{"mediaType": media, "digest": self.blob(blob), "size": len(blob)} for blob in blobs],
        }
        data = json.dumps(document, indent=1).encode()
        self.put(name, digest_of(data), MANIFEST, data)
        return data

    def index(self, name: str, tag: str, entries: list[tuple[bytes, dict[str, str]]], media: str = MANIFEST) -> bytes:
        """An index of documents and their platforms, under a tag and its digest."""
        listed = [
            {"mediaType": media, "digest": digest_of(data), "size": len(data), "platform": platform}
            for data, platform in entries
        ]
        data = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}).encode()
        self.put(name, digest_of(data), INDEX, data)
        self.put(name, tag, INDEX, data)
        return data

    def put(self, name: str, reference: str, media_type: str, data: bytes) -> None:
        """A manifest under a tag or digest."""
        self.manifests[name, reference] = (media_type, data)
        self.manifests[name, digest_of(data)] = (media_type, data)

    def reference(self, name: str) -> Reference:
        """`host/name`, parsed."""
        return Reference.parse(f"{self.host}/{name}")

    def serve(self, call: Call) -> None:
        """As a registry should (pulls only)."""
        path = call.path.partition("?")[0]
        if path == "/v2/":
            call.answer(200, b"{}")
        elif found := re.fullmatch(r"/v2/(.+)/manifests/([^/]+)", path):
            known = self.manifests.get((found[1], found[2]))
            if known is None:
                call.refuse(404, "MANIFEST_UNKNOWN", "manifest unknown")
            else:
                call.answer(200, known[1], Content_Type=known[0], Docker_Content_Digest=digest_of(known[1]))
        elif found := re.fullmatch(r"/v2/(.+)/blobs/(sha256:[0-9a-f]+)", path):
            self._serve_blob(call, self.blobs.get(found[2]))
        else:
            call.refuse(404, "NAME_UNKNOWN", "repository name not known to registry")

    def _serve_blob(self, call: Call, data: bytes | None) -> None:
        if data is None:
            call.refuse(404, "BLOB_UNKNOWN", "blob unknown to registry")
            return
        first = re.fullmatch(r"bytes=(\d+)-", call.headers.get("Range", ""))
        if first:
            start = int(first[1])
            where = f"bytes {start}-{len(data) - 1}/{len(data)}"
            call.answer(206, data[start:], Content_Range=where)
        else:
            call.answer(200, data)

    def __enter__(self) -> "FakeRegistry":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def accept(registry: "FakeRegistry") -> dict[str, bytearray]:
    """Makes a registry take uploads, whatever they are; what lies in them by number."""
    uploads: dict[str, bytearray] = {}

    def body(call: Any) -> bytes:
        if "chunked" not in call.headers.get("Transfer-Encoding", ""):
            return bytes(call.rfile.read(int(call.headers.get("Content-Length", "0"))))
        data = b""
        while size := int(call.rfile.readline(), 16):
            data += call.rfile.read(size)
            call.rfile.readline()
        call.rfile.readline()
        return data

    def start(call: Any) -> None:
        body(call)
        number = str(len(uploads))
        uploads[number] = bytearray()
        call.answer(202, Location=f"{call.path.partition('?')[0]}{number}?state=x")

    def patch(call: Any) -> None:
        number = re.search(r"uploads/(\d+)", call.path)[1]  # type: ignore[index]
        uploads[number] += body(call)
        call.answer(202, Location=f"{call.path.partition('?')[0]}?state=y")

    def put(call: Any) -> None:
        number = re.search(r"uploads/(\d+)", call.path)[1]  # type: ignore[index]
        uploads[number] += body(call)
        digest = registry.blob(bytes(uploads[number]))
        known = digest.replace(":", "%3A") in call.path or digest in call.path
        call.answer(201 if known else 400)

    def put_manifest(call: Any) -> None:
        data = body(call)
        name = call.path.removeprefix("/v2/").partition("/manifests/")[0]
        registry.put(name, call.path.rpartition("/")[2], call.headers["Content-Type"], data)
        call.answer(201)

    def where(call: Any) -> None:
        number = re.search(r"uploads/(\d+)", call.path)[1]  # type: ignore[index]
        call.answer(204, Range=f"0-{len(uploads[number]) - 1}", Location=call.path)

    registry.on("POST", "uploads/", start)
    registry.on("PATCH", "uploads/", patch)
    registry.on("PUT", "uploads/", put)
    registry.on("GET", "uploads/", where)
    registry.on("PUT", "/manifests/", put_manifest)
    return uploads
