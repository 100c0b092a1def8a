"""Attach, exec, logs and the frame of every answer, byte by byte."""

import json
import os
from pathlib import Path

import pytest

from tests.system.facts.conftest import Engine, V

RAW, FRAMED = "application/vnd.docker.raw-stream", "application/vnd.docker.multiplexed-stream"
ALWAYS = {"Api-Version": "1.51", "Docker-Experimental": "false", "Ostype": "linux"}


def frame(number: int, text: str) -> bytes:
    """One frame of a stream without a terminal."""
    return bytes([number, 0, 0, 0]) + len(text).to_bytes(4, "big") + text.encode()


@pytest.mark.parametrize(
    ("upgrade", "version", "first", "kind"),
    [
        (True, "1.51", "HTTP/1.1 101 UPGRADED", FRAMED),
        (True, "1.42", "HTTP/1.1 101 UPGRADED", FRAMED),
        (True, "1.41", "HTTP/1.1 101 UPGRADED", RAW),
        (False, "1.51", "HTTP/1.1 200 OK", RAW),
    ],
)
def test_head_of_a_hijacked_exec(engine: Engine, upgrade: bool, version: str, first: str, kind: str) -> None:
    engine.start("host", "sleep", "1000")
    made = engine.post("/containers/host/exec", {"Cmd": ["echo", "hi"], "AttachStdout": True}).json()["Id"]
    headers, body = engine.raw("POST", f"/v{version}/exec/{made}/start", {}, upgrade)
    assert headers[""] == first and headers["Content-Type"] == kind
    assert headers.get("Upgrade") == ("tcp" if upgrade else None)
    assert {key: headers[key] for key in ALWAYS} == ALWAYS and headers["Server"].endswith("(linux)")
    assert body == frame(1, "hi\n")


@pytest.mark.parametrize(
    ("version", "tty", "kind"), [("1.51", False, FRAMED), ("1.41", False, RAW), ("1.51", True, RAW)]
)
def test_head_of_an_attach(engine: Engine, version: str, tty: bool, kind: str) -> None:
    engine.create("said", "echo", "hi", Tty=tty)
    engine.post("/containers/said/start")
    engine.post("/containers/said/wait")
    headers, body = engine.raw("POST", f"/v{version}/containers/said/attach?logs=1&stdout=1&stderr=1", None, True)
    assert headers["Content-Type"] == kind
    assert body == (b"hi\r\n" if tty else frame(1, "hi\n"))


@pytest.mark.parametrize(
    "path", ["/containers/nosuch/attach?stream=1", "/containers/host/attach?stream=1&detachKeys=bogus"]
)
def test_an_attach_that_fails_is_told_in_plain_text(engine: Engine, path: str) -> None:
    engine.start("host", "sleep", "1000")
    headers, body = engine.raw("POST", V + path, None, True)
    assert headers["Content-Type"] == RAW
    status, words = ("404 Not Found", "No such container: nosuch") if "nosuch" in path else (
        "400 Bad Request", "Invalid detach keys (bogus) provided")  # fmt: skip
    assert (headers[""], body) == (f"HTTP/1.1 {status}", f"{words}\r\n".encode())


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("nosuch", 127, 'exec: "nosuch": executable file not found in $PATH'),
        ("/etc", 126, 'exec: "/etc": is a directory: permission denied'),
    ],
)
def test_an_exec_that_cannot_start_says_so_in_its_stream(engine: Engine, command: str, code: int, words: str) -> None:
    engine.start("host", "sleep", "1000")
    made = engine.post("/containers/host/exec", {"Cmd": [command], "AttachStdout": True}).json()["Id"]
    headers, body = engine.raw("POST", f"{V}/exec/{made}/start", {}, True)
    assert headers[""] == "HTTP/1.1 101 UPGRADED"
    told = f"OCI runtime exec failed: exec failed: unable to start container process: {words}\r\n"
    assert body == frame(1, told)
    found = engine.get(f"/exec/{made}/json").json()
    assert (found["Running"], found["ExitCode"]) == (False, code)
    assert engine.post(f"/exec/{made}/start", {"Detach": True}).status == 409


def test_an_exec_is_known_until_its_container_has_gone(engine: Engine) -> None:
    missing = engine.get("/exec/deadbeef/json")
    assert (missing.status, missing.message) == (404, "No such exec instance: deadbeef")
    engine.start("host", "sleep", "1000")
    made = engine.post("/containers/host/exec", {"Cmd": ["sh", "-c", "exit 9"], "AttachStdout": True}).json()["Id"]
    engine.raw("POST", f"{V}/exec/{made}/start", {}, True)
    found = engine.get(f"/exec/{made}/json").json()
    assert (found["Running"], found["ExitCode"], found["ContainerID"]) == (False, 9, engine.inspect("host")["Id"])
    engine.api.ask("DELETE", f"{V}/containers/host?force=1")
    assert engine.get(f"/exec/{made}/json").status == 404


def test_a_log_and_its_file(engine: Engine) -> None:
    made = engine.start("said", "sh", "-c", "echo '<&>'; echo err >&2", Labels={"l": "v"}, host={
        "LogConfig": {"Type": "json-file", "Config": {"labels": "l", "tag": "{{.Name}}"}}})  # fmt: skip
    engine.post("/containers/said/wait")
    neither = engine.get("/containers/said/logs")
    assert (neither.status, neither.message) == (400, "Bad parameters: you must choose at least one stream")
    path = Path(engine.inspect("said")["LogPath"])
    assert path.name == f"{made}-json.log" and path.parent.name == made
    assert os.stat(path).st_mode & 0o777 == 0o640
    lines = path.read_text().splitlines()
    assert '"log":"\\u003c\\u0026\\u003e\\n"' in lines[0] or '"log":"\\u003c\\u0026\\u003e\\n"' in lines[1]
    entry = json.loads(lines[0])
    assert list(entry) == ["log", "stream", "attrs", "time"] and entry["attrs"] == {"l": "v", "tag": "said"}


def test_a_driver_that_cannot_be_read(engine: Engine) -> None:
    engine.start("silent", "echo", "hi", host={"LogConfig": {"Type": "none"}})
    engine.post("/containers/silent/wait")
    answer = engine.get("/containers/silent/logs?stdout=1")
    assert (answer.status, answer.message) == (501, "configured logging driver does not support reading")
    assert engine.inspect("silent")["LogPath"] == ""
    assert engine.inspect("silent")["HostConfig"]["LogConfig"] == {"Type": "none", "Config": {}}


@pytest.mark.parametrize(
    ("target", "status", "words"),
    [
        ("/v1.51/nosuch", 404, "page not found"),
        ("/v1.99/version", 400, "client version 1.99 is too new. Maximum supported API version is 1.51"),
        ("/v1.10/version", 400, "client version 1.10 is too old. Minimum supported API version is 1.24, please upgrade "
                                "your client to a newer version"),
        ("/version", 200, ""),
        ("/_ping", 200, ""),
        ("/v1.51/events?since=10&until=5", 400, "`since` time (10) cannot be after `until` time (5)"),
        ("/v1.51/containers/nosuch/json", 404, "No such container: nosuch"),
    ],
)  # fmt: skip
def test_every_answer_has_the_engines_headers(engine: Engine, target: str, status: int, words: str) -> None:
    headers, body = engine.raw("GET", target)
    assert headers[""].split()[1] == str(status)
    assert {key: headers[key] for key in ALWAYS} == ALWAYS and headers["Server"].endswith("(linux)")
    if words:  # what is older than 1.24 is told without JSON
        assert body.decode() == f"{words}\n" if "/v1.10/" in target else json.loads(body) == {"message": words}
