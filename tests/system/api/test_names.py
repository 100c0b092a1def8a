"""Names, references and ids of every illegal form: Docker's status and words, and nothing made."""

from urllib.parse import quote

import pytest

from tests.system.api.raw import Client

V = "/v1.51"
ZEROS = "0" * 64
BAD_NAMES = (".bad", "a", "-x", "_x", "a b", "a/b", "../x", "é", "a\0b", "a\nb", "x\n", "//ok", "a:b", "..", "a%2Fb")
BAD_REFERENCES = (
    "a:", "a:b:c", ":x", "@", "a@", "a@sha256:12", f"a@sha256:{'g' * 64}", "a b", "a/../b", "../a", "/a", "a//b", "a/",
    "-a", "a-", "a..b", "a___b", "http://x/y", f"a:{'t' * 129}", "a:.t", "a:-t", "é", "a\nb", "a\0", "[zz]/a", "a_.b",
    ".", "..",
)  # fmt: skip
WORDED = {
    "UP": "invalid reference format: repository name (library/UP) must be lowercase",
    "a.b/C": "invalid reference format: repository name (C) must be lowercase",
    "x" * 256: "repository name must not be more than 255 characters",
    f"a@md5:{'0' * 32}": "unsupported digest algorithm",
}
BAD_VOLUMES = (".a", "a/b", "..", "../..", "a b", "é", "a\n", "-a", "  ", "ab:c", "/abs", "x" * 300)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_container_names(api: Client, name: str) -> None:
    words = f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
    made = api.create({}, quote(name, safe=""))
    assert (made.status, made.message) == (400, words)
    assert api.ask("GET", f"{V}/containers/json?all=1").json() == []


def test_new_container_names(api: Client) -> None:
    assert api.create({}, "good").status == 201
    for name in BAD_NAMES:
        if name != "//ok":
            answer = api.ask("POST", f"{V}/containers/good/rename?name={quote(name, safe='')}")
            assert answer.status == 400 and answer.message.startswith("Error when allocating new name: Invalid")
    answer = api.ask("POST", f"{V}/containers/good/rename")
    assert (answer.status, answer.message) == (400, "Neither old nor new names may be empty")
    assert api.ask("GET", f"{V}/containers/good/json").json()["Name"] == "/good"
    assert api.ask("DELETE", f"{V}/containers/good").status == 204


@pytest.mark.parametrize("text", [*BAD_REFERENCES, *WORDED])
def test_references(api: Client, text: str) -> None:
    words = WORDED.get(text, "invalid reference format")
    name = quote(text, safe="")
    for answer in (
        api.ask("POST", f"{V}/images/busybox/tag?repo={name}"),
        api.ask("POST", f"{V}/images/create?fromSrc=-&repo={name}", b"\0" * 1024),
        api.ask("GET", f"{V}/images/{name}/json"),
        api.ask("GET", f"{V}/images/{name}/history"),
        api.ask("DELETE", f"{V}/images/{name}"),
        api.ask("GET", f"{V}/images/get?names={name}"),
    ):
        assert 400 <= answer.status <= 500 and answer.message == words
    created = api.create({"Image": text})
    assert created.status == 400 and (created.message == words or "NUL" in created.message)


def test_references_for_commit(api: Client) -> None:
    assert api.create({}, "source").status == 201
    for text in BAD_REFERENCES:
        answer = api.ask("POST", f"{V}/commit?container=source&repo={quote(text, safe='')}", {})
        assert (answer.status, answer.message) == (400, "invalid reference format")
    assert len(api.ask("GET", f"{V}/images/json?all=1").json()) == 1
    assert api.ask("DELETE", f"{V}/containers/source").status == 204


def test_a_name_that_is_an_id(api: Client) -> None:
    words = f"invalid repository name ({'f' * 64}), cannot specify 64-byte hexadecimal strings"
    answer = api.ask("POST", f"{V}/images/busybox/tag?repo={'f' * 64}")
    assert (answer.status, answer.message) == (400, words)


@pytest.mark.parametrize("tag", [".t", "-t", "t" * 129, "a b", "a:b", "a@b", "/", "é", "a/b"])
def test_tags(api: Client, tag: str) -> None:
    answer = api.ask("POST", f"{V}/images/busybox/tag?repo=zz&tag={quote(tag, safe='')}")
    assert (answer.status == 400 and "tag" in answer.message) or "invalid reference format" in answer.message


@pytest.mark.parametrize("name", BAD_VOLUMES)
def test_volume_names(api: Client, name: str) -> None:
    answer = api.ask("POST", f"{V}/volumes/create", {"Name": name})
    assert answer.status == 400 and "includes invalid characters for a local volume name" in answer.message
    for host in ({"Binds": [f"{name}:/t"]}, {"Mounts": [{"Type": "volume", "Source": name, "Target": "/t"}]}):
        if "Binds" in host and (name.startswith("/") or ":" in name):
            continue
        assert api.create({"HostConfig": host}).status == 400
    assert api.ask("GET", f"{V}/volumes/{quote(name, safe='')}").status == 404
    assert api.ask("DELETE", f"{V}/volumes/{quote(name, safe='')}").status == 404
    assert api.ask("GET", f"{V}/volumes").json()["Volumes"] == []


def test_a_volume_name_of_one_letter(api: Client) -> None:
    answer = api.ask("POST", f"{V}/volumes/create", {"Name": "a"})
    words = "create a: volume name is too short, names should be at least two alphanumeric characters"
    assert (answer.status, answer.message) == (400, words)


@pytest.mark.parametrize("name", ["../x", "a/b", "%00", "x" * 5000, " ", "é", ".", "..", ZEROS, "*", "'; --"])
def test_ids_of_nothing(api: Client, name: str) -> None:
    text = name if "%" in name else quote(name, safe="")
    for method, target in (
        ("GET", "containers/{}/json"),
        ("POST", "containers/{}/start"),
        ("POST", "containers/{}/kill"),
        ("GET", "containers/{}/logs?stdout=1"),
        ("GET", "containers/{}/top"),
        ("DELETE", "containers/{}"),
        ("GET", "networks/{}"),
        ("GET", "exec/{}/json"),
        ("POST", "exec/{}/resize?h=1&w=1"),
    ):
        answer = api.ask(method, f"{V}/{target.format(text)}")
        assert answer.status == 404, (target, answer)
        assert "o such" in answer.message or "not found" in answer.message
    assert api.ask("POST", f"{V}/exec/{text}/start", {}).status == 404


@pytest.mark.parametrize("text", ["%", "%z", "%zz", "a%2"])
def test_broken_escapes(api: Client, text: str) -> None:
    answer = api.ask("GET", f"{V}/containers/{text}/json")
    assert (answer.status, answer.message) == (400, "400 Bad Request")
