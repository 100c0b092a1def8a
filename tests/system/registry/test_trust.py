"""Certificates of a test's authority, clients that must show one, and proxies."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.authority import Authority
from tests.support.fake_registry import FakeRegistry, tar_of
from tests.support.proxy import Proxy
from tests.system.registry.test_pull import FAST
from wharf.errors import Internal
from wharf.registry.client.errors import Misbehaves
from wharf.registry.client.place import Client
from wharf.registry.client.repository import Repository
from wharf.registry.client.values import ClientConfig
from wharf.spec.reference import Reference
from wharf.spec.registry import ProxySettings

NAME = "registry.example:5443"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def manifest(config: ClientConfig, host: str) -> bytes:
    """What the client gets for `host/app:1`."""
    client = Client(config)
    try:
        return Repository(client, Reference.parse(f"{host}/app:1")).manifest("1").data
    finally:
        client.close()


@pytest.fixture
def secure(authority: Authority) -> Iterator[tuple[FakeRegistry, Proxy]]:
    """A registry that is called registry.example, reached through a proxy; nobody's name server knows it."""
    with FakeRegistry(tls=authority.server("registry.example")) as registry:
        registry.add("app", "1", [tar_of({"a": b"x"})])
        with Proxy({NAME: registry.host}) as proxy:
            yield registry, proxy


def test_an_authority_of_certs_d(secure: tuple[FakeRegistry, Proxy], authority: Authority, tmp_path: Path) -> None:
    registry, proxy = secure
    config = replace(FAST, proxies=ProxySettings(https=proxy.url))
    with pytest.raises(Internal, match="tls: failed to verify certificate: x509"):
        manifest(config, NAME)
    trusting = replace(config, certs=(str(authority.trusted_for(tmp_path, NAME)),))
    assert manifest(trusting, NAME) == registry.manifests["app", "1"][1]
    assert set(proxy.seen) == {f"CONNECT {NAME}"}
    other = replace(config, certs=(str(authority.trusted_for(tmp_path / "other", "registry.example:5444")),))
    with pytest.raises(Internal, match="x509"):
        manifest(other, NAME)


def test_a_certificate_for_another_name(authority: Authority, tmp_path: Path) -> None:
    with FakeRegistry(tls=authority.server("other.example")) as registry, Proxy({NAME: registry.host}) as proxy:
        certs = (str(authority.trusted_for(tmp_path, NAME)),)
        with pytest.raises(Internal, match=r"x509: .*registry.example"):
            manifest(replace(FAST, proxies=ProxySettings(https=proxy.url), certs=certs), NAME)


def test_insecure_takes_any_certificate_and_then_plain_http(secure: tuple[FakeRegistry, Proxy]) -> None:
    registry, proxy = secure
    config = replace(FAST, proxies=ProxySettings(https=proxy.url, http=proxy.url), insecure=(NAME,))
    assert manifest(config, NAME) == registry.manifests["app", "1"][1]


def test_a_client_certificate(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue("client")
    with FakeRegistry(tls=authority.server("registry.example", clients=True)) as registry:
        registry.add("app", "1", [tar_of({"a": b"x"})])
        with Proxy({NAME: registry.host}) as proxy:
            authority.trusted_for(tmp_path, NAME)
            config = replace(FAST, attempts=1, proxies=ProxySettings(https=proxy.url), certs=(str(tmp_path),))
            with pytest.raises(Internal):
                manifest(config, NAME)
            (tmp_path / NAME / "client.cert").write_bytes(certificate.read_bytes())
            with pytest.raises(Misbehaves, match=r"cannot use the certificate .*client\.cert"):
                manifest(config, NAME)
            (tmp_path / NAME / "client.key").write_bytes(key.read_bytes())
            assert manifest(config, NAME) == registry.manifests["app", "1"][1]


def test_a_proxy_with_a_password(secure: tuple[FakeRegistry, Proxy], authority: Authority, tmp_path: Path) -> None:
    registry, _ = secure
    certs = (str(authority.trusted_for(tmp_path, NAME)),)
    with Proxy({NAME: registry.host}, "me:p%40ss") as proxy:
        proxy.user = "me:p@ss"
        config = replace(FAST, attempts=1, proxies=ProxySettings(https=proxy.url), certs=certs)
        assert manifest(config, NAME) == registry.manifests["app", "1"][1]
        wrong = replace(config, proxies=ProxySettings(https=proxy.url.replace("me:", "you:")))
        with pytest.raises(Internal, match="407"):
            manifest(wrong, NAME)
    assert not any("proxy-authorization" in call.headers for call in registry.calls)


def test_plain_http_through_a_proxy() -> None:
    name = "registry.example:5000"
    with FakeRegistry() as registry, Proxy({name: registry.host}, "me:secret") as proxy:
        registry.add("app", "1", [tar_of({"a": b"x"})])
        config = replace(FAST, insecure=(name,), proxies=ProxySettings(http=proxy.url, https=proxy.url))
        assert manifest(config, name) == registry.manifests["app", "1"][1]
        assert f"GET {name}" in proxy.seen
        assert not any("proxy-authorization" in call.headers for call in registry.calls)


def test_loopback_and_no_proxy_go_without(secure: tuple[FakeRegistry, Proxy]) -> None:
    _, proxy = secure
    with FakeRegistry() as registry:
        registry.add("app", "1", [tar_of({"a": b"x"})])
        manifest(replace(FAST, proxies=ProxySettings(proxy.url, proxy.url)), registry.host)
    with pytest.raises(Internal):
        manifest(replace(FAST, attempts=1, proxies=ProxySettings(proxy.url, proxy.url, ".example")), NAME)
    assert not proxy.seen
