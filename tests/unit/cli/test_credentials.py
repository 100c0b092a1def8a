"""Docker's config.json: credentials in the file, and with helpers."""

import base64
import json
import os
from pathlib import Path

import pytest

from wharf.cli.credentials import HUB, Credentials, encoded, server_key, server_of
from wharf.errors import Invalid

HELPER = """#!/bin/sh
case $1 in
get) read server; cat "$0.$(echo $server | tr -c 'a-z0-9\\n' _)" 2>/dev/null ||
    { echo credentials not found in native keychain; exit 1; } ;;
store) cat > "$0.stored" ;;
erase) cat > "$0.erased" ;;
esac
"""


def write(tmp_path: Path, **raw: object) -> Credentials:
    (tmp_path / "config.json").write_text(json.dumps(raw))
    return Credentials(str(tmp_path))


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "docker-credential-mine"
    program.write_text(HELPER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return program


def pair(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("image", "server"),
    [
        ("busybox", HUB), ("me/app:1", HUB), ("docker.io/me/app", HUB), ("localhost/app", "localhost"),
        ("h:5000/a/b@sha256:0", "h:5000"), ("r.example/a", "r.example"),
    ],
)  # fmt: skip
def test_whose_image_it_is(image: str, server: str) -> None:
    assert server_of(image) == server


def test_the_file(tmp_path: Path) -> None:
    auths = {
        HUB: {"auth": pair("hub:a:b")},
        "https://r.example/v1/": {"auth": pair("me:x")},
        "t": {"identitytoken": "i"},
    }
    kept = write(tmp_path, auths=auths)
    assert kept.get("docker.io") == {"username": "hub", "password": "a:b", "serveraddress": HUB}
    assert kept.get("r.example")["username"] == "me"
    assert kept.get("t") == {"identitytoken": "i", "serveraddress": "t"}
    assert kept.get("other") == {}
    assert kept.header("other/x.y") == {"X-Registry-Auth": encoded(kept.get(HUB))}
    assert encoded({}) == "e30="


def test_what_is_kept_and_forgotten(tmp_path: Path) -> None:
    kept = write(tmp_path, HttpHeaders={"a": "b"}, auths={"https://h/": {"auth": pair("old:x")}})
    assert kept.put("h", {"username": "me", "password": "secret"})
    raw = json.loads((tmp_path / "config.json").read_text())
    assert raw["HttpHeaders"] == {"a": "b"} and raw["auths"]["h"] == {"auth": pair("me:secret")}
    Credentials(str(tmp_path)).remove("https://h/")
    assert json.loads((tmp_path / "config.json").read_text())["auths"] == {}
    assert os.listdir(tmp_path) == ["config.json"]


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    Credentials(str(tmp_path / "new")).put("h", {"username": "me", "password": "secret"})
    assert (tmp_path / "new/config.json").stat().st_mode & 0o777 == 0o600


def test_a_helper(tmp_path: Path, helper: Path) -> None:
    kept = write(tmp_path, credHelpers={"h": "mine"})
    assert kept.get("h") == {}
    Path(f"{helper}.h").write_text('{"ServerURL":"h","Username":"me","Secret":"s"}')
    assert kept.get("h") == {"username": "me", "password": "s", "serveraddress": "h"}
    Path(f"{helper}.h").write_text('{"ServerURL":"h","Username":"<token>","Secret":"s"}')
    assert kept.get("h") == {"identitytoken": "s", "serveraddress": "h"}
    assert not kept.put("h", {"username": "me", "password": "secret"})
    assert json.loads(Path(f"{helper}.stored").read_text()) == {"ServerURL": "h", "Username": "me", "Secret": "secret"}
    assert "secret" not in (tmp_path / "config.json").read_text()
    kept.remove("h")
    assert Path(f"{helper}.erased").read_text() == "h"


@pytest.mark.parametrize("name", ["none-there", "../mine"])
def test_helpers_that_are_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(Invalid, match="credential helper"):
        write(tmp_path, credsStore=name).get("h")


@pytest.mark.parametrize("text", ["[]", "{", '{"auths":{"h":{"auth":"abc"}}}'])
def test_files_that_are_damaged(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(Invalid, match=r"cannot read|damaged"):
        Credentials(str(tmp_path)).get("h")


def test_keys() -> None:
    assert [server_key(text) for text in ("", "docker.io", "https://h:1/v2/", "h:1")] == [HUB, HUB, "h:1", "h:1"]
