"""Bodies, queries, filters and versions of wrong type or size: refused, and never with a fault of ours."""

import json
import time
from typing import Any
from urllib.parse import quote

import pytest

from tests.system.api.raw import Client, exchange, request

V = "/v1.51"
JSON_TARGETS = (
    "/containers/create", "/containers/here/exec", "/volumes/create", "/networks/create", "/commit?container=here",
    "/networks/bridge/connect", "/networks/bridge/disconnect", "/containers/here/update", "/exec/none/start",
)  # fmt: skip
NOT_JSON = (b"{bad", b'{"Image":', b'{"a":1} x', b"{} {}", b'{"a":"\0"}', b'{"a":NaN}', b"\xef\xbb\xbf{}", b"{'a':1}")
NOT_OBJECTS = (b"[]", b"1", b'"x"', b"true", b"[" * 100_000, b'{"a":' * 20_000, b" ")
CREATE_FIELDS = {
    "Hostname": "", "Domainname": "", "User": "", "AttachStdin": True, "ExposedPorts": {}, "Tty": True,
    "OpenStdin": True, "Env": [], "Cmd": [], "Healthcheck": {}, "Image": "", "Volumes": {},
    "WorkingDir": "", "Entrypoint": [], "Labels": {}, "StopSignal": "", "StopTimeout": 1,
}  # fmt: skip
HOST_FIELDS = {
    "Binds": [], "Memory": 1, "NanoCpus": 1, "PidsLimit": 1, "PortBindings": {}, "RestartPolicy": {},
    "AutoRemove": True,
    "VolumesFrom": [], "CapAdd": [], "Dns": [], "ExtraHosts": [], "GroupAdd": [], "IpcMode": "", "NetworkMode": "",
    "Privileged": True, "ReadonlyRootfs": True, "SecurityOpt": [], "Tmpfs": {}, "ShmSize": 1, "Sysctls": {},
    "Mounts": [],
    "Devices": [], "Ulimits": [], "LogConfig": {}, "MaskedPaths": [], "OomScoreAdj": 1, "CgroupParent": "",
    "ConsoleSize": [],
}  # fmt: skip
WRONG: tuple[Any, ...] = (1, -1, 1.5, 10**30, True, "x", [1], [[]], {"a": 1}, {"a": {"b": []}}, [None], {"a": None})


@pytest.fixture(scope="module", autouse=True)
def here(api: Client) -> None:
    made = api.create({"Cmd": ["sleep", "1000"]}, "here")
    assert api.ask("POST", f"{V}/containers/{made.json()['Id']}/start").status == 204


@pytest.mark.parametrize("target", JSON_TARGETS)
def test_what_is_not_the_json_wanted(api: Client, target: str) -> None:
    for body in (*NOT_JSON, *NOT_OBJECTS):
        answer = api.ask("POST", V + target, body)
        assert answer.status == 400, (body[:40], answer)
        assert "JSON" in answer.message
    huge = exchange(api.path, request("POST", V + target, b'{"x":"' + b"y" * (8 << 20) + b'"}'))
    assert huge.status in (0, 400) and (not huge.status or "too large" in huge.message)


@pytest.mark.parametrize("target", JSON_TARGETS)
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "", None])
def test_content_types(api: Client, target: str, kind: str | None) -> None:
    answer = exchange(api.path, request("POST", V + target, b'{"Image":"busybox"}', kind))
    assert answer.status == 400
    assert "must be 'application/json'" in answer.message or "no media type" in answer.message


@pytest.mark.parametrize("section", ["config", "host"])
def test_every_field_of_every_wrong_type(api: Client, section: str) -> None:
    """Of each field the wrong types; a value that happens to be right may be refused by its own rule, or be taken."""
    fields = CREATE_FIELDS if section == "config" else HOST_FIELDS
    for name, right in fields.items():
        for wrong in (value for value in WRONG if type(value) is not type(right)):
            part = {name: wrong}
            body = part if section == "config" else {"HostConfig": part}
            answer = api.ask("POST", f"{V}/containers/create", {"Image": "busybox", **body})
            if isinstance(wrong, str) and name in ("Cmd", "Entrypoint", "CapAdd"):
                continue  # moby takes one word for a list of one
            assert answer.status == 400 and "cannot unmarshal" in answer.message, (name, wrong, answer)


def test_null_everywhere_is_the_default(api: Client) -> None:
    host = {**dict.fromkeys(HOST_FIELDS), "NetworkMode": "none"}
    body = {**dict.fromkeys(CREATE_FIELDS), "Image": "busybox", "HostConfig": host, "NetworkingConfig": None}
    made = api.ask("POST", f"{V}/containers/create", body)
    assert made.status == 201, made
    assert api.ask("DELETE", f"{V}/containers/{made.json()['Id']}").status == 204


def test_many_elements_keep_memory_flat(api: Client) -> None:
    for body in (b'{"Image":"busybox","x":[' + b"[]," * 1_300_000 + b"[]]}", b"[" + b"0," * 2_000_000 + b"0]"):
        answer = api.ask("POST", f"{V}/containers/create", body)
        assert answer.status in (201, 400)
    many = {"Image": "busybox", "Env": [f"A{number}=x" for number in range(20_000)]}
    assert api.ask("POST", f"{V}/containers/create", many).status == 400


@pytest.mark.parametrize("text", ["x", "1.5", "1e3", "9" * 20, "0x10", " 1", "１", "1_000", "true"])
def test_numbers_of_a_query(api: Client, text: str) -> None:
    for method, target in (
        ("GET", "/containers/json?limit="),
        ("POST", "/containers/here/stop?t="),
        ("POST", "/containers/here/restart?t="),
    ):
        answer = api.ask(method, V + target + quote(text))
        # Docker answers 500 here, with these words.
        assert answer.status == 500 and answer.message.startswith(f'strconv.Atoi: parsing "{text}": ')
    answer = api.ask("POST", f"{V}/containers/here/resize?w=1&h={quote(text)}")
    assert answer.status == 400 and answer.message.startswith(f'invalid resize height "{text}": ')
    assert api.ask("GET", f"{V}/containers/here/json").json()["State"]["Running"]


@pytest.mark.parametrize("target", ["/containers/json", "/images/json", "/volumes", "/networks"])
def test_filters(api: Client, target: str) -> None:
    for text in (
        "bad",
        "[]",
        "1",
        '""',
        '{"a":1}',
        '{"label":"x"}',
        '{"label":[1]}',
        '{"label":{"x":1}}',
        "[" * 50_000,
    ):
        answer = api.ask("GET", f"{V}{target}?filters={quote(text)}")
        assert answer.status == 400 and "invalid filter" in answer.message
    answer = api.ask("GET", f"{V}{target}?filters={quote(json.dumps({'foo': ['x']}))}")
    assert (answer.status, answer.message) == (400, "invalid filter 'foo'")


@pytest.mark.parametrize("query", ["%zz=1", "a=%", "a=%f", "&".join(f"a{n}=1" for n in range(3000)), "a=%ff%fe"])
def test_queries(api: Client, query: str) -> None:
    assert api.ask("GET", f"{V}/containers/json?{query}").status == 400


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("1.99", "client version 1.99 is too new. Maximum supported API version is 1.51"),
        ("1.52", "client version 1.52 is too new. Maximum supported API version is 1.51"),
        ("9" * 20 + ".1", "is too new. Maximum supported API version is 1.51"),
        ("1.10", "client version 1.10 is too old. Minimum supported API version is 1.24, please upgrade your client"),
        ("1.23", "client version 1.23 is too old"),
        ("1", "is too old"),
        ("..", "is too old"),
    ],
)
def test_versions(api: Client, version: str, words: str) -> None:
    for target in ("/_ping", "/version", "/containers/json"):
        answer = api.ask("GET", f"/v{version}{target}")
        assert answer.status == 400 and words in answer.message


@pytest.mark.parametrize(
    ("target", "name", "value"),
    [
        ("/images/json", "reference", "*" * 200 + "b"),
        ("/images/json", "reference", "*a" * 100 + "[z-a]"),
        ("/containers/json", "name", "(a+)+$"),
        ("/containers/json", "name", "(a|aa)*$"),
        ("/containers/json", "name", "a?" * 40 + "a" * 40),
        ("/containers/json", "name", ".*" * 9 + "b"),
        ("/containers/json", "exited", "9" * 5000),
        ("/images/json", "until", "9" * 400 + "h"),
        ("/images/json", "until", "9" * 400),
    ],
)
def test_patterns_that_would_take_for_ever(api: Client, target: str, name: str, value: str) -> None:
    """A pattern that goes back and forth over a name of many letters would hold up every other request."""
    made = api.create({}, "a" * 60 + "-")
    assert api.ask("POST", f"{V}/images/busybox/tag?repo={'a' * 60}c").status == 201
    begun = time.monotonic()
    answer = api.ask("GET", f"{V}{target}?all=1&filters={quote(json.dumps({name: [value]}))}")
    assert answer.status in (200, 400) and time.monotonic() - begun < 5
    assert api.ask("DELETE", f"{V}/containers/{made.json()['Id']}").status == 204
    assert api.ask("DELETE", f"{V}/images/{'a' * 60}c").status == 200
