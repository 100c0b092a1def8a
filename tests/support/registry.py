"""Registries of a test's own on loopback: ours, and the distribution's docker-registry; and an HTTP client for them."""

import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
STOP_SECONDS = 60.0
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
OCTETS = {"Content-Type": "application/octet-stream"}


def digest_of(data: bytes) -> str:
    """`sha256:<hex>`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Answer:
    """Status, headers (any case) and body."""

    def __init__(self, status: int, headers: http.client.HTTPMessage, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)

    @property
    def codes(self) -> list[str]:
        """The error codes of the envelope, whose shape is checked."""
        errors = self.json["errors"]
        assert errors and all(re.fullmatch("[A-Z_]+", item["code"]) and "message" in item for item in errors), errors
        return [item["code"] for item in errors]


class Http:
    """A client that keeps one connection and does nothing on its own."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.port = port
        kind = http.client.HTTPSConnection if tls else http.client.HTTPConnection
        extra: dict[str, Any] = {"context": tls} if tls else {}
        self._connection = kind("127.0.0.1", port, timeout=START_SECONDS, **extra)
        self.authorization = ""

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request; underscores in header names are dashes. A Location of our own may be given as `path`."""
        path = re.sub(r"^https?://[^/]+", "", path)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.authorization:
            sent.setdefault("Authorization", self.authorization)
        if body is None and method in ("POST", "PUT", "PATCH"):
            body = b""
        self._connection.request(method, path, body, sent, encode_chunked="Transfer-Encoding" in sent)
        answer = self._connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def push_blob(self, name: str, data: bytes) -> str:
        """Upload in POST and PUT; the digest."""
        location = self("POST", f"/v2/{name}/blobs/uploads/").headers["Location"]
        mark = "&" if "?" in location else "?"
        answer = self("PUT", f"{location}{mark}digest={digest_of(data)}", data, **OCTETS)
        assert answer.status == 201, (answer.status, answer.body)
        return digest_of(data)

    def push_manifest(self, name: str, reference: str, document: dict[str, Any]) -> str:
        """PUT a manifest or index; its digest."""
        data = json.dumps(document).encode()
        reference = reference or digest_of(data)
        answer = self("PUT", f"/v2/{name}/manifests/{reference}", data, Content_Type=document["mediaType"])
        assert answer.status == 201, (answer.status, answer.body)
        return digest_of(data)

    def push_image(self, name: str, reference: str, seed: bytes = b"", **more: Any) -> dict[str, Any]:
        """An image of a config and a layer; the manifest's document."""
        document = image(seed, **more)
        self.push_blob(name, config_of(seed))
        self.push_blob(name, layer_of(seed))
        self.push_manifest(name, reference, document)
        return document


def config_of(seed: bytes) -> bytes:
    """A config blob."""
    return b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"seed":"%s"}' % seed


def layer_of(seed: bytes) -> bytes:
    """A layer blob (no archive: registries do not look)."""
    return b"layer " + seed


def image(seed: bytes = b"", **more: Any) -> dict[str, Any]:
    """A manifest that names `config_of` and `layer_of`."""
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(config_of(seed), "application/vnd.oci.image.config.v1+json"),
        "layers": [descriptor(layer_of(seed), "application/vnd.oci.image.layer.v1.tar")],
        **more,
    }


def descriptor(data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    """Of a blob."""
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data), **more}


def subject_of(document: dict[str, Any]) -> dict[str, Any]:
    """The descriptor of a pushed document."""
    return descriptor(json.dumps(document).encode(), document["mediaType"])


class Registry:
    """`with Registry(flags…) as registry`: our server on a free port, its data in a temporary directory.

    `enter` is the prefix of a command in another network namespace.
    """

    def __init__(self, *flags: str, place: str = "/dev/shm", enter: Sequence[str] = ()) -> None:
        self.enter = list(enter)
        self.base = tempfile.mkdtemp(prefix="wharf-test-registry-", dir=place)
        self.root = f"{self.base}/root"
        self.flags = flags
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._lines: list[str] = []
        self._listens = threading.Event()

    @property
    def host(self) -> str:
        """`127.0.0.1:port`."""
        return f"127.0.0.1:{self.port}"

    def run(self, *arguments: str, feed: str = "") -> str:
        """One of the other verbs, on the same root; what it printed."""
        command = [str(ROOT / ".venv/bin/wharf-registry"), arguments[0], "--root", self.root, *arguments[1:]]
        out = subprocess.run(command, input=feed, capture_output=True, text=True, check=False)
        assert out.returncode == 0, out.stderr
        return out.stdout

    def start(self) -> None:
        """Start on the port that it had, or on any."""
        address = f"127.0.0.1:{self.port}"
        command = [str(ROOT / ".venv/bin/wharf-registry"), "serve", "--root", self.root, "--addr", address, *self.flags]
        self._listens = threading.Event()  # its own: the reader of one that was killed may still be at its end
        self.process = subprocess.Popen([*self.enter, *command], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        threading.Thread(target=self._read, args=(self.process, self._listens), daemon=True).start()
        assert self._listens.wait(START_SECONDS) and self.process.poll() is None, "\n".join(self._lines)

    def _read(self, process: subprocess.Popen[bytes], listens: threading.Event) -> None:
        assert process.stderr
        for line in process.stderr:
            self._lines.append(line.decode(errors="replace").rstrip())
            if found := re.search(r"listens on 127\.0\.0\.1:(\d+)", self._lines[-1]):
                self.port = int(found[1])
                listens.set()
        listens.set()
        process.stderr.close()

    def log(self) -> str:
        """What the server printed."""
        return "\n".join(self._lines)

    def kill(self) -> None:
        """kill -9."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM and the exit code."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    def memory(self) -> int:
        """The most memory that the server ever had, in bytes."""
        assert self.process
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) << 10

    def blobs(self) -> set[str]:
        """Digests of all files in the store."""
        return {f"sha256:{name}" for name in os.listdir(f"{self.root}/content/blobs/sha256")}

    def __enter__(self) -> "Registry":
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self.process and self.process.poll() is None:
                self.stop()
        finally:
            if self.process and self.process.poll() is None:
                self.kill()
            shutil.rmtree(self.base, ignore_errors=True)


class DockerRegistry(Registry):
    """The distribution's docker-registry, unpacked; with deletes switched on."""

    def __init__(self, config: str = "", place: str = "/dev/shm", enter: Sequence[str] = (), http: str = "") -> None:
        super().__init__(place=place, enter=enter)
        self._config, self._http = config, http

    def start(self) -> None:
        """Start it on a port that was free a moment ago, and wait until it answers."""
        program = subprocess.run([str(ROOT / "tools/registry-peer")], capture_output=True, text=True, check=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = self.port or probe.getsockname()[1]
        path = Path(self.base) / "config.yml"
        path.write_text(
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.root}}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '{self.host}'{self._http}}}\nvalidation: {{manifests: {{urls: {{allow: ['^https?://']}}}}}}\n{self._config}"
        )
        with open(f"{self.base}/log", "ab") as log:
            command = [*self.enter, program.stdout.strip(), "serve", str(path)]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert self.process.poll() is None and time.monotonic() < deadline, Path(f"{self.base}/log").read_text()
            if self._answers():
                return
            time.sleep(0.02)

    def _answers(self) -> bool:
        if self.enter:
            words = ["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{self.port}"]
            return subprocess.run([*self.enter, *words], stderr=subprocess.DEVNULL, check=False).returncode == 0
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return True
        except OSError:
            return False
