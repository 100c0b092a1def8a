"""Each driver against a receiver of its protocol, and `docker logs` over the cache of each."""

import gzip
import json
import re
import socket
import ssl
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any

import pytest

from tests.support.wharfd import Wharfd
from tests.system.facts.conftest import Engine
from tests.system.logs.receivers import Receiver, in_namespace, tcp, udp, unix

SAY = ("sh", "-c", "echo hello; echo wrong >&2; echo last")


def config(kind: str, **options: str) -> dict[str, Any]:
    """HostConfig with a log driver."""
    return {"LogConfig": {"Type": kind, "Config": {key.replace("_", "-"): value for key, value in options.items()}}}


def run(engine: Engine, name: str, host: dict[str, Any], *command: str, **more: Any) -> str:
    """Run a container to its end; its id."""
    made = engine.start(name, *(command or SAY), host=host, **more)
    engine.post(f"/containers/{name}/wait")
    return made


def logged(engine: Engine, name: str, query: str = "stdout=1&stderr=1") -> list[bytes]:
    """The lines of `docker logs`, without their frames."""
    answer = engine.get(f"/containers/{name}/logs?{query}")
    assert answer.status == 200, answer
    out, body = [], answer.body
    while body:
        (size,) = struct.unpack(">I", body[4:8])
        out.append(body[8 : 8 + size])
        body = body[8 + size :]
    return out


@pytest.fixture
def holder(daemon: Wharfd) -> int:
    """The process whose network namespace is the daemon's."""
    assert daemon.holder is not None
    return daemon.holder.pid


def port_of(sock: socket.socket) -> int:
    """The bound port."""
    found: int = sock.getsockname()[1]
    return found


@pytest.mark.parametrize(
    ("form", "pattern"),
    [
        ("", r"<134>\w{3} [ \d]\d \d\d:\d\d:\d\d ID\[\d+\]: hello\n"),
        ("rfc3164", r"<134>\w{3} [ \d]\d \d\d:\d\d:\d\d \S+ ID\[\d+\]: hello\n"),
        ("rfc5424", r"<134>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d) \S+ ID \d+ ID - hello\n"),
        ("rfc5424micro", r"<134>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d) \S+ ID \d+ ID - hello\n"),
    ],
)
def test_syslog_formats_over_udp(engine: Engine, holder: int, form: str, pattern: str) -> None:
    with Receiver(in_namespace(holder, udp)) as receiver:
        address = f"udp://127.0.0.1:{port_of(receiver.sock)}"
        host = config("syslog", syslog_address=address, syslog_format=form, syslog_facility="local0")
        made = run(engine, "one", host)
        receiver.until(lambda seen: len(seen.datagrams) == 3)
    texts = [item.decode() for item in receiver.datagrams]
    first = next(text for text in texts if text.endswith("hello\n"))
    assert re.fullmatch(pattern.replace("ID", made[:12]), first), first
    assert next(text for text in texts if "wrong" in text).startswith("<131>")  # stderr: error
    assert sorted(logged(engine, "one")) == [b"hello\n", b"last\n", b"wrong\n"]
    assert engine.inspect("one")["LogPath"] == ""


def test_syslog_over_tcp_unix_and_unixgram_with_a_tag(engine: Engine, holder: int, tmp_path: Path) -> None:
    for kind, sock in (
        ("tcp", in_namespace(holder, tcp())),
        ("unix", unix(f"{tmp_path}/stream", socket.SOCK_STREAM)),
        ("unixgram", unix(f"{tmp_path}/datagrams", socket.SOCK_DGRAM)),
    ):
        where = f"127.0.0.1:{port_of(sock)}" if kind == "tcp" else str(sock.getsockname())
        with Receiver(sock) as receiver:
            run(engine, kind, config("syslog", syslog_address=f"{kind}://{where}", tag="{{.Name}}/x"))
            receiver.until(lambda seen: (seen.data + b"".join(seen.datagrams)).count(b"\n") == 3)
        assert f" {kind}/x[".encode() in receiver.data + b"".join(receiver.datagrams)


def test_syslog_over_tls_checks_the_certificate(engine: Engine, holder: int, tmp_path: Path) -> None:
    cert, key = f"{tmp_path}/cert.pem", f"{tmp_path}/key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=logs", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)

    def wrap(stream: socket.socket) -> socket.socket:
        return context.wrap_socket(stream, server_side=True)

    def refused(stream: socket.socket) -> None:
        with pytest.raises(ssl.SSLError):  # the client's alert: unknown authority
            wrap(stream)

    with Receiver(in_namespace(holder, tcp()), wrap) as receiver:
        address = f"tcp+tls://127.0.0.1:{port_of(receiver.sock)}"
        run(engine, "tls", config("syslog", syslog_address=address, syslog_format="rfc5424", syslog_tls_ca_cert=cert))
        receiver.until(lambda seen: seen.data.count(b"\n") == 3)
        trusted = receiver.data
    with Receiver(in_namespace(holder, tcp()), refused) as receiver:
        address = f"tcp+tls://127.0.0.1:{port_of(receiver.sock)}"
        engine.create("untrusted", "true", host=config("syslog", syslog_address=address))
        answer = engine.post("/containers/untrusted/start")
    assert answer.status == 500 and "tls: failed to verify certificate" in answer.message, answer
    size, _, rest = trusted.partition(b" ")
    assert rest[int(size) - 1 : int(size)] == b"\n"  # RFC 5425: the length counts the whole message


def test_gelf_over_udp_in_chunks_and_tcp(engine: Engine, holder: int) -> None:
    with Receiver(in_namespace(holder, udp)) as receiver:
        address = f"udp://127.0.0.1:{port_of(receiver.sock)}"
        made = run(engine, "small", config("gelf", gelf_address=address, labels="team"), Labels={"team": "a"})
        receiver.until(lambda seen: len(seen.datagrams) == 3)
        first = next(item for item in map(unzipped, receiver.datagrams) if item["short_message"] == "hello")
        receiver.datagrams.clear()
        command = "head -c 12000 /dev/urandom | base64 | tr -d '\\n'"
        run(engine, "large", config("gelf", gelf_address=address), "sh", "-c", command)
        receiver.until(lambda seen: bool(seen.datagrams) and len(seen.datagrams) == seen.datagrams[0][11])
    assert first["version"] == "1.1" and first["level"] == 6 and first["_container_id"] == made
    assert first["_container_name"] == "small" and first["_team"] == "a" and first["_tag"] == made[:12]
    assert first["_image_name"] == "busybox" and first["_command"].startswith("sh -c")
    chunks = sorted(receiver.datagrams, key=lambda item: item[10])
    assert len(chunks) > 5 and all(item[:2] == b"\x1e\x0f" and len(item) <= 1420 for item in chunks)
    whole = json.loads(gzip.decompress(b"".join(item[12:] for item in chunks)))
    assert [whole["short_message"].encode()] == logged(engine, "large")
    with Receiver(in_namespace(holder, tcp())) as receiver:
        run(engine, "tcp", config("gelf", gelf_address=f"tcp://127.0.0.1:{port_of(receiver.sock)}"))
        receiver.until(lambda seen: seen.data.count(b"\0") == 3)
    assert {json.loads(item)["level"] for item in receiver.data.split(b"\0")[:-1]} == {3, 6}


def unzipped(data: bytes) -> dict[str, Any]:
    """A GELF message."""
    found: dict[str, Any] = json.loads(zlib.decompress(data, 47))
    return found


def test_fluentd_with_answers(engine: Engine, holder: int) -> None:
    with Receiver(in_namespace(holder, tcp())) as receiver:
        answered: list[bytes] = []

        def answer(data: bytes) -> bytes:
            answered.append(data[-24:])
            return b"\x81\xa3ack\xb8" + data[-24:]

        receiver.answer = answer
        address = f"127.0.0.1:{port_of(receiver.sock)}"
        host = config(
            "fluentd", fluentd_address=address, fluentd_request_ack="true", tag="app.{{.Name}}", env="WHERE",
            fluentd_sub_second_precision="true",
        )  # fmt: skip
        made = run(engine, "fluent", host, Env=["WHERE=here"])
        receiver.until(lambda seen: len(answered) == 3)
    data = receiver.data
    assert data.startswith(b"\x94\xaaapp.fluent\xd7\x00")  # tag, EventTime
    assert b"\xaccontainer_id\xd9\x40" + made.encode() in data
    assert b"\xaecontainer_name\xa7/fluent" in data and b"\xa5WHERE\xa4here" in data
    assert b"\xa6source\xa6stdout\xa3log\xa5hello" in data and b"\xa6source\xa6stderr\xa3log\xa5wrong" in data


def test_journald_by_its_native_protocol(holder: int, tmp_path: Path) -> None:
    del holder
    path = f"{tmp_path}/journal"
    with Receiver(unix(path, socket.SOCK_DGRAM)) as receiver:
        import os

        os.environ["WHARF_JOURNAL_SOCKET"] = path
        try:
            with Wharfd("--log-driver", "journald", "--log-opt", "labels=com.x") as daemon:
                daemon.load_busybox()
                command = "echo hello; head -c 40000 /dev/zero | tr '\\0' a"
                daemon.docker("run", "--name", "jo", "--label", "com.x=1", "busybox", "sh", "-c", command)
                receiver.until(lambda seen: len(seen.datagrams) == 4)
                assert daemon.docker("info", "-f", "{{.LoggingDriver}}").stdout == "journald\n"
                assert daemon.docker("logs", "--tail", "1", "jo").stdout == "a" * (40000 - 2 * 16384)
        finally:
            del os.environ["WHARF_JOURNAL_SOCKET"]
    first = dict(line.split(b"=", 1) for line in receiver.datagrams[0].splitlines())
    assert first[b"MESSAGE"] == b"hello" and first[b"PRIORITY"] == b"6" and first[b"CONTAINER_NAME"] == b"jo"
    assert first[b"COM_X"] == b"1" and first[b"SYSLOG_IDENTIFIER"] == first[b"CONTAINER_ID"]
    assert b"CONTAINER_PARTIAL_MESSAGE=true\n" in receiver.datagrams[1]
