"""Who may do what: tokens and passwords, grants, public repositories."""

import base64
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support.registry import Answer, Http, Registry, digest_of, image
from wharf.registry.server.passwords import MAX_FAILURES, hash_password
from wharf.registry.server.tokens import Tokens


def basic(user: str, password: str) -> str:
    """An Authorization header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def prepare(registry: Registry) -> None:
    """alice owns alice/*, bob may pull team/*, carol administrates; open/* is public."""
    registry.run("user", "add", "alice", feed="alice-secret\n")
    registry.run("user", "add", "bob", feed="bob-secret\n")
    registry.run("user", "add", "carol", "--admin", feed="carol-secret\n")
    registry.run("grant", "bob", "team/*", "pull")
    registry.run("repo", "open/*", "public")


@pytest.fixture(scope="module", params=["token", "basic"])
def guarded(request: pytest.FixtureRequest) -> Iterator[Registry]:
    registry = Registry("--auth", request.param)
    Path(registry.root).mkdir()
    prepare(registry)
    with registry:
        yield registry


@pytest.fixture(scope="module")
def tokens() -> Iterator[Registry]:
    registry = Registry()
    Path(registry.root).mkdir()
    prepare(registry)
    with registry:
        yield registry


def login(http: Http, user: str, repository: str = "", actions: str = "pull,push,delete") -> Http:
    """The client with what a real one would send after the challenge: a token, or the password."""
    http.authorization = ""
    challenge = http("GET", "/v2/").headers["WWW-Authenticate"]
    password = basic(user, f"{user}-secret") if user else ""
    if challenge.startswith("Basic"):
        http.authorization = password
        return http
    scope = f"repository:{repository}:{actions}" if repository else ""
    query = urlencode({"service": "wharf-registry", "scope": scope})
    headers = {"Authorization": password} if user else {}
    answer = http("GET", f"/token?{query}", **headers)
    assert answer.status == 200, answer.body
    http.authorization = "Bearer " + answer.json["token"]
    return http


def pulls(http: Http, repository: str) -> int:
    """The status of asking for a manifest."""
    return http("GET", f"/v2/{repository}/manifests/one").status


@pytest.fixture
def pushed(guarded: Registry) -> None:
    """An image in each kind of repository."""
    for repository in ("alice/app", "team/app", "open/app"):
        http = login(Http(guarded.port), "carol", repository)
        http.push_image(repository, "one")
        http.close()


@pytest.mark.parametrize(
    ("user", "repository", "may_pull", "may_push", "may_delete"),
    [
        ("", "alice/app", False, False, False),
        ("", "open/app", True, False, False),
        ("alice", "alice/app", True, True, True),
        ("alice", "team/app", False, False, False),
        ("alice", "open/app", True, False, False),
        ("bob", "team/app", True, False, False),
        ("bob", "alice/app", False, False, False),
        ("carol", "team/app", True, True, True),
    ],
)
def test_rights(
    guarded: Registry, pushed: None, user: str, repository: str, may_pull: bool, may_push: bool, may_delete: bool
) -> None:
    http = Http(guarded.port)
    if user or "Bearer" in http("GET", "/v2/").headers["WWW-Authenticate"]:
        login(http, user, repository)
    assert (pulls(http, repository) == 200) is may_pull
    began = http("POST", f"/v2/{repository}/blobs/uploads/")
    assert (began.status == 202) is may_push
    gone = http("DELETE", f"/v2/{repository}/blobs/{digest_of(b'never pushed')}")
    assert (gone.status == 404) is may_delete
    for answer, allowed in ((began, may_push), (gone, may_delete)):
        if not allowed:
            assert (answer.status, answer.codes) in [(401, ["UNAUTHORIZED"]), (403, ["DENIED"])]
    http.close()


def test_a_mount_needs_the_right_to_read_its_source(guarded: Registry, pushed: None) -> None:
    http = login(Http(guarded.port), "alice", "alice/app")
    digest = image()["layers"][0]["digest"]
    assert http("POST", f"/v2/alice/other/blobs/uploads/?mount={digest}&from=team/app").status in (202, 401)
    login(http, "alice", "alice/new")
    answer = http("POST", f"/v2/alice/new/blobs/uploads/?mount={digest}&from=team/app")
    assert answer.status == 202
    assert http("HEAD", f"/v2/alice/new/blobs/{digest}").status == 404
    http.close()


def test_the_catalog_shows_what_one_may_pull(guarded: Registry, pushed: None) -> None:
    http = Http(guarded.port)
    assert http("GET", "/v2/_catalog").status == 401
    login(http, "bob")
    found = http("GET", "/v2/_catalog").json["repositories"]
    assert "alice/app" not in found
    assert {"team/app", "open/app"} <= set(found)
    http.close()


def test_a_wrong_password(guarded: Registry) -> None:
    http = Http(guarded.port)
    path = "/v2/" if "Basic" in http("GET", "/v2/").headers["WWW-Authenticate"] else "/token"
    for user in ("alice", "nobody"):
        answer = http("GET", path, Authorization=basic(user, "wrong"))
        assert (answer.status, answer.codes) == (401, ["UNAUTHORIZED"])
    for broken in ("Basic !", "Basic " + base64.b64encode(b"\xff\xff").decode()):
        assert http("GET", path, Authorization=broken).status == 401
    http.close()


def challenge_of(answer: Answer) -> dict[str, str]:
    """The parameters of a Bearer challenge."""
    kind, _, rest = answer.headers["WWW-Authenticate"].partition(" ")
    assert kind == "Bearer"
    return dict(re.findall(r'(\w+)="([^"]*)"', rest))


def test_the_challenge_names_realm_service_and_scope(tokens: Registry) -> None:
    http = Http(tokens.port)
    answer = http("PUT", "/v2/alice/app/manifests/one", "{}")
    assert (answer.status, answer.codes) == (401, ["UNAUTHORIZED"])
    expected = {
        "realm": f"http://{tokens.host}/token",
        "service": "wharf-registry",
        "scope": "repository:alice/app:pull,push",
    }
    assert challenge_of(answer) == expected
    http.close()


def test_a_token_for_one_repository_opens_no_other(tokens: Registry) -> None:
    http = login(Http(tokens.port), "carol", "alice/app", "pull")
    answer = http("GET", "/v2/team/app/manifests/one")
    assert answer.status == 401
    assert challenge_of(answer)["error"] == "insufficient_scope"
    assert http("POST", "/v2/alice/app/blobs/uploads/").status == 401
    http.close()


def payload_of(token: str) -> dict[str, Any]:
    """What a token says."""
    middle = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    return found


def test_a_token_that_was_changed(tokens: Registry) -> None:
    http = login(Http(tokens.port), "bob", "alice/app")
    header, payload, signature = http.authorization.removeprefix("Bearer ").split(".")
    changed = payload_of(f"{header}.{payload}.{signature}")
    changed["access"] = [{"type": "repository", "name": "alice/app", "actions": ["pull"]}]
    forged = base64.urlsafe_b64encode(json.dumps(changed).encode()).rstrip(b"=").decode()
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    for token in (f"{header}.{forged}.{signature}", f"{none}.{forged}.", f"{header}.{payload}.", "x", "", "é" * 10):
        http.authorization = "Bearer " + token.encode().decode("latin-1")
        assert pulls(http, "alice/app") == 401
    http.close()


def test_an_identity_token_gives_tokens_until_the_password_changes(tokens: Registry) -> None:
    tokens.run("user", "add", "dave", feed="first\n")
    http = Http(tokens.port)
    form = {"grant_type": "password", "username": "dave", "password": "first", "access_type": "offline"}
    sent = {"Content_Type": "application/x-www-form-urlencoded"}
    answer = http("POST", "/token", urlencode(form), **sent)
    assert answer.status == 200
    assert payload_of(answer.json["access_token"])["sub"] == "dave"
    refresh = {"grant_type": "refresh_token", "refresh_token": answer.json["refresh_token"]}
    scope = {"scope": "repository:dave/app:pull,push"}
    answer = http("POST", "/token", urlencode(refresh | scope), **sent)
    assert payload_of(answer.json["access_token"])["access"][0]["actions"] == ["pull", "push"]
    # An identity token is no access token.
    assert http("GET", "/v2/", Authorization="Bearer " + refresh["refresh_token"]).status == 401
    tokens.run("user", "add", "dave", feed="second\n")
    assert http("POST", "/token", urlencode(refresh), **sent).status == 401
    http.close()


def test_a_right_that_is_taken_away_ends_at_once(tokens: Registry) -> None:
    tokens.run("user", "add", "erin", feed="erin-secret\n")
    http = login(Http(tokens.port), "erin", "erin/app")
    http.push_image("erin/app", "one")
    tokens.run("grant", "erin", "erin/*", "none")
    assert pulls(http, "erin/app") == 401
    http.close()


def test_guessing_is_slowed_down() -> None:
    registry = Registry("--auth", "basic")
    Path(registry.root).mkdir()
    prepare(registry)
    with registry:
        http = Http(registry.port)
        for _ in range(MAX_FAILURES):
            assert http("GET", "/v2/", Authorization=basic("alice", "wrong")).status == 401
        answer = http("GET", "/v2/", Authorization=basic("alice", "alice-secret"))
        assert (answer.status, answer.codes) == (429, ["TOOMANYREQUESTS"])
        assert 0 < int(answer.headers["Retry-After"]) <= 60
        http.close()


def test_a_htpasswd_file(tmp_path: Path) -> None:
    path = tmp_path / "htpasswd"
    path.write_text(f"frank:{hash_password('frank-secret')}\nold:$apr1$x$y\n")
    with Registry("--htpasswd", str(path), "--auth", "basic", "--default-right", "push") as registry:
        http = Http(registry.port)
        http.authorization = basic("frank", "frank-secret")
        http.push_image("any/thing", "one")
        assert http("GET", "/v2/", Authorization=basic("old", "x")).status == 401
        path.write_text(f"grace:{hash_password('grace-secret')}\n# nobody else\n")
        assert http("GET", "/v2/").status == 401
        assert http("GET", "/v2/", Authorization=basic("grace", "grace-secret")).status == 200
        http.close()


def test_the_access_log(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    registry = Registry("--auth", "basic", "--access-log", str(path))
    Path(registry.root).mkdir()
    prepare(registry)
    with registry:
        http = Http(registry.port)
        http.authorization = basic("alice", "alice-secret")
        http("GET", "/v2/alice/app/manifests/one?secret=1", User_Agent='a"b')
        http.push_blob("alice/app", b"12345")
        http.close()
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    first, last = entries[0], entries[-1]
    assert (first["user"], first["repository"], first["status"]) == ("alice", "alice/app", 404)
    assert first["path"] == "/v2/alice/app/manifests/one"
    assert (last["method"], last["status"], last["in"]) == ("PUT", 201, 5)
    assert abs(time.time() - time.mktime(time.strptime(last["time"][:19], "%Y-%m-%dT%H:%M:%S")) + time.timezone) < 600
    assert "secret" not in path.read_text()


def test_a_token_has_its_time() -> None:
    made = Tokens(b"x" * 32, "here")
    token, _ = made.issue("u", {"a": frozenset({"pull"})})
    assert made.check(token) == ("u", {"a": frozenset({"pull"})})
    assert Tokens(b"x" * 32, "elsewhere").check(token) is None
    assert Tokens(b"y" * 32, "here").check(token) is None
