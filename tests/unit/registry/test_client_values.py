"""What the client decides without a registry: challenges, whose realm is whose, where plain http is taken, words."""

import base64
import json

import pytest

from wharf.engine.pull import requested
from wharf.engine.registries import domain_of, parse_registries
from wharf.errors import Invalid, NotFound, Unauthorized
from wharf.registry.client.challenge import Challenge, parse_challenges
from wharf.registry.client.errors import Misbehaves, Refused, for_pull, for_push, refused
from wharf.registry.client.place import Client
from wharf.registry.client.proxies import proxy_of
from wharf.registry.client.trust import is_insecure, may_see, split_url
from wharf.registry.client.values import ClientConfig, Credentials
from wharf.spec.platform import Platform
from wharf.spec.reference import Reference
from wharf.spec.registry import ProxySettings
from wharf.transfer.pull_progress import bar, size_text
from wharf.wire.registry import parse_auth, parse_auths, platform_json

CONFIG = ClientConfig()


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('Basic realm="a b"', [("basic", {"realm": "a b"})]),
        (
            'Bearer realm="https://a/t",service="s",scope="repository:x:pull,push"',
            [("bearer", {"realm": "https://a/t", "service": "s", "scope": "repository:x:pull,push"})],
        ),
        ('bearer Realm="x" , Basic realm=y', [("bearer", {"realm": "x"}), ("basic", {"realm": "y"})]),
        (r'Basic realm="a \"b\""', [("basic", {"realm": 'a "b"'})]),
        ("Negotiate", [("negotiate", {})]),
        ("", []),
        ("=", []),
        ("Bearer realm", [("bearer", {}), ("realm", {})]),
    ],
)
def test_challenges(header: str, found: list[tuple[str, dict[str, str]]]) -> None:
    assert parse_challenges([header]) == [Challenge(scheme, parameters) for scheme, parameters in found]


@pytest.mark.parametrize(
    ("host", "insecure", "plain"),
    [
        ("127.0.0.1:5000", (), True), ("localhost:5000", (), True), ("[::1]:5000", (), True), ("127.1.2.3", (), True),
        ("10.0.0.1:5000", (), False), ("10.0.0.1:5000", ("10.0.0.0/8",), True), ("10.0.0.1", ("10.0.0.1:443",), True),
        ("a.example:5000", ("a.example:5000",), True), ("a.example:5001", ("a.example:5000",), False),
        ("docker.io", (), False), ("a.example", ("b/33",), False),
    ],
)  # fmt: skip
def test_where_plain_http_is_taken(host: str, insecure: tuple[str, ...], plain: bool) -> None:
    origin, _ = split_url(f"https://{host}/")
    assert is_insecure(ClientConfig(insecure=insecure), origin.host, f"{origin.host}:{origin.port}") is plain


@pytest.mark.parametrize("host", ["registry.example", "192.0.2.1:5000"])
def test_other_hosts_are_spoken_to_with_tls_only(host: str) -> None:
    assert Client(CONFIG).origin_of(host).scheme == "https"
    assert Client(CONFIG).place(host).base == f"https://{host}"


@pytest.mark.parametrize(
    ("domain", "origin", "realm", "seen"),
    [
        ("docker.io", "https://registry-1.docker.io", "https://auth.docker.io", True),
        ("registry.gitlab.com", "https://registry.gitlab.com", "https://gitlab.com", True),
        ("ghcr.io", "https://ghcr.io", "https://ghcr.io", True),
        ("r.example:5000", "https://r.example:5000", "https://r.example:5001", True),
        ("r.example", "https://r.example", "http://r.example", False),
        ("r.example", "https://r.example", "https://evil.example", False),
        ("r.example", "https://r.example", "https://evilr.example", False),
        ("docker.io", "https://registry-1.docker.io", "https://docker.io.evil.example", False),
        ("127.0.0.1:1", "http://127.0.0.1:1", "http://127.0.0.2:1", False),
        ("r.example", "https://r.example", "https://example", False),
        ("l.example", "https://l.example", "https://login.other", True),
    ],
)
def test_whose_realm_sees_credentials(domain: str, origin: str, realm: str, seen: bool) -> None:
    config = ClientConfig(realms={"l.example": ("login.other",)})
    assert may_see(config, domain, split_url(origin)[0], split_url(realm)[0]) is seen


@pytest.mark.parametrize(
    "url", ["ftp://a/", "http:///x", "http://u@a/", "http://a b/", "http://a:99999/", "x", "http://ä/"]
)
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(Misbehaves, match="invalid URL"):
        split_url(url)


def test_nothing_secret_is_shown() -> None:
    assert "secret" not in repr(Credentials("me", "secret", "secret", "secret"))
    assert "secret" not in repr(parse_auth(base64.b64encode(b'{"username":"me","password":"secret"}').decode()))


def test_docker_words() -> None:
    name = Reference.parse("busybox:none")
    error = refused(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}', "u")
    assert isinstance(for_pull(error, name), NotFound)
    assert str(for_pull(error, name)) == "manifest for busybox:none not found: manifest unknown: manifest unknown"
    error = refused(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}', "u")
    assert isinstance(for_push(error), Unauthorized)
    assert str(error) == "unauthorized: authentication required"
    assert str(refused(401, b'{"details":"incorrect username or password"}', "u")) == (
        "unauthorized: incorrect username or password"
    )
    assert str(refused(500, b"<html>", "http://h/v2/x")) == "unexpected status from http://h/v2/x: 500"
    assert isinstance(refused(500, b"[" * 100_000, "u"), Refused)


@pytest.mark.parametrize(
    "text",
    [
        base64.urlsafe_b64encode(b'{"username":"\xc3\xbc?>","password":"p"}').decode(),
        base64.b64encode(b'{"Username":"\xc3\xbc?>","Password":"p"}').decode().rstrip("="),
        base64.b64encode(json.dumps({"auth": base64.b64encode("ü?>:p".encode()).decode()}).encode()).decode(),
    ],
)
def test_credentials_as_clients_send_them(text: str) -> None:
    login = parse_auth(text)
    assert (login.username, login.password) == ("ü?>", "p")


def test_nobodys_credentials() -> None:
    assert parse_auth("") == parse_auth("e30=") == parse_auth("null")
    assert parse_auths("e30=") == {}
    hosts = parse_auths(base64.b64encode(b'{"https://index.docker.io/v1/":{"username":"me"}}').decode())
    assert domain_of(next(iter(hosts))) == "docker.io"


@pytest.mark.parametrize("text", ["%%%", "e30", "W10=", base64.b64encode(b'{"username":1}').decode(), "x" * 70_000])
def test_credentials_that_are_none(text: str) -> None:
    if text in ("e30", "W10="):
        assert not parse_auth(text).username
        return
    with pytest.raises(Invalid):
        parse_auth(text)


@pytest.mark.parametrize(
    ("image", "tag", "found"),
    [
        ("docker.io/library/alpine", "latest", "alpine:latest"),
        ("alpine:3", "", "alpine:3"),
        ("alpine", "", "alpine"),
        ("h:5000/a", "sha256:" + "a" * 64, "h:5000/a@sha256:" + "a" * 64),
        ("alpine:3", "4", "alpine:4"),
    ],
)
def test_what_is_asked_for(image: str, tag: str, found: str) -> None:
    assert requested(image, tag).familiar() == found


@pytest.mark.parametrize(("image", "tag"), [("A", ""), ("a", "-"), ("a", "x/y"), ("a@sha256:1", "")])
def test_what_is_no_name(image: str, tag: str) -> None:
    with pytest.raises(Invalid):
        requested(image, tag)


def test_platforms_of_a_push() -> None:
    assert platform_json("") is None
    assert platform_json('{"os":"linux","architecture":"arm64","variant":"v8"}') == Platform("linux", "arm64", "v8")
    for text in ("{", "[]", '{"os":"linux"}', '{"os":1}'):
        with pytest.raises(Invalid):
            platform_json(text)


def test_settings() -> None:
    found = parse_registries(["a:5000"], ["https://m/", "ghcr.io=http://n/p"], [("r", "h")], (3, 5, 5))
    assert found.mirrors == {"docker.io": ("https://m",), "ghcr.io": ("http://n/p",)}
    assert found.realms == {"r": ("h",)}
    wrong: list[tuple[list[str], list[str], tuple[int, int, int]]] = [
        (["http://a"], [], (3, 5, 5)), ([], ["ftp://x"], (3, 5, 5)), ([], ["https://u:p@x"], (3, 5, 5)),
        ([], [], (0, 5, 5)), ([], [], (3, 5, 1000)),
    ]  # fmt: skip
    for insecure, mirrors, counts in wrong:
        with pytest.raises(Invalid):
            parse_registries(insecure, mirrors, [], counts)


def test_bars() -> None:
    assert bar(0, 100) == "[>" + " " * 50 + "]       0B/100B"
    assert bar(1_234_567, 2_469_134) == "[" + "=" * 25 + ">" + " " * 25 + "]  1.235MB/2.469MB"
    assert bar(5, 0) == "      5B"
    assert size_text(999) == "999B" and size_text(1e9) == "1GB"


@pytest.mark.parametrize(
    ("url", "listed", "through"),
    [
        ("https://a.example", "", True), ("https://a.example", "a.example", False),
        ("https://b.a.example", "a.example", False), ("https://a.example", ".a.example", True),
        ("https://b.a.example", "*.a.example", False), ("https://ba.example", "a.example", True),
        ("https://a.example:5000", "a.example:5000", False), ("https://a.example:5001", "a.example:5000", True),
        ("https://a.example", "x, A.EXAMPLE ,y", False), ("https://a.example", "*", False),
        ("https://10.1.2.3", "10.0.0.0/8", False), ("https://11.1.2.3", "10.0.0.0/8", True),
        ("https://10.1.2.3", "10.1.2.3", False), ("https://10.1.2.3:5000", "10.1.2.3:5001", True),
        ("https://[2001:db8::1]:5000", "[2001:db8::1]:5000", False), ("https://[2001:db8::1]", "2001:db8::/32", False),
        ("https://127.0.0.5", "", False), ("https://localhost:5000", "", False),
        ("https://a.example", "b/33,,:", True), ("http://a.example", "", False),
    ],
)  # fmt: skip
def test_who_is_spoken_to_through_the_proxy(url: str, listed: str, through: bool) -> None:
    settings = ProxySettings(https="http://proxy.example:3128", no_proxy=listed)
    assert (proxy_of(settings, split_url(url)[0]) is not None) is through
