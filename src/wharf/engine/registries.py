"""The engine's client for registries: made when it is first needed, shared by all that pull and push."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from wharf import __version__
from wharf.errors import Invalid
from wharf.spec.reference import DEFAULT_DOMAIN, Reference
from wharf.spec.registry import RegistryLogin, RegistrySettings, SignatureRule
from wharf.spec.url import host_fault

if TYPE_CHECKING:
    from wharf.registry.client.place import Client
    from wharf.registry.client.repository import Repository
    from wharf.registry.client.values import Credentials

MAX_COUNT = 100
_HOST = r"(?:[A-Za-z0-9-]+\.[A-Za-z0-9.-]+|localhost|[A-Za-z0-9.-]+(?=:)|\[[0-9a-fA-F:]+\])(?::\d+)?"
_PATTERN = re.compile(rf"{_HOST}(?:/[a-z0-9._/-]+)?\Z")
_MIRROR = re.compile(r"https?://[^/@?#\s]+(/[^@?#\s]*)?\Z")


class Registries:
    """One client for the settings in force, and one for the last registry that a client called insecure; tokens and
    connections are kept in them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clients: dict[bool, tuple[RegistrySettings, Client]] = {}

    def client(self, settings: RegistrySettings, insecure: str = "") -> Client:
        """The client; a new one when the settings have changed. `insecure`: a host that is one for this request."""
        from wharf.registry.client.place import Client  # http.client and ssl: only when they are wanted
        from wharf.registry.client.values import DEFAULT_CERTS, ClientConfig

        if insecure:
            settings = replace(settings, insecure=(*settings.insecure, insecure))
        with self._lock:
            known, client = self._clients.get(bool(insecure), (None, None))
            if client is None or known != settings:
                client = Client(
                    ClientConfig(
                        proxies=settings.proxies,
                        certs=settings.certs or DEFAULT_CERTS,
                        insecure=settings.insecure,
                        mirrors=settings.mirrors,
                        realms=settings.realms,
                        attempts=settings.attempts,
                        user_agent=f"wharf/{__version__}",
                    )
                )
                self._clients[bool(insecure)] = settings, client
            return client

    def repository(
        self, settings: RegistrySettings, reference: Reference, login: RegistryLogin, *, insecure: bool = False
    ) -> Repository:
        """The repository of a name, spoken to as `login`; `insecure`: over plain HTTP too."""
        from wharf.registry.client.repository import Repository

        client = self.client(settings, reference.domain if insecure else "")
        return Repository(client, reference, credentials_of(login))

    def close(self) -> None:
        """Close idle connections."""
        with self._lock:
            for _, client in self._clients.values():
                client.close()


def credentials_of(login: RegistryLogin) -> Credentials:
    """A user's login as the client takes it."""
    from wharf.registry.client.values import Credentials

    return Credentials(login.username, login.password, login.identity_token, login.registry_token)


def domain_of(server: str) -> str:
    """The domain of image names that a server address of a login stands for: `https://index.docker.io/v1/` and ""
    are docker.io. Raises Invalid."""
    host = server.strip().removeprefix("https://").removeprefix("http://").partition("/")[0]
    if host in ("", "index.docker.io", "docker.io", "registry-1.docker.io"):
        return DEFAULT_DOMAIN
    if wrong := host_fault(host):
        raise Invalid(f'unable to parse server address: parse "https://{host[:200]}": {wrong}')
    if "@" in host or any(ord(letter) <= 32 or ord(letter) >= 127 for letter in host):
        raise Invalid(f"invalid registry address {server[:200]!r}")
    return host


def parse_signatures(raw: Mapping[str, Any]) -> dict[str, SignatureRule]:
    """The policy of daemon.json: `*`, a domain or a repository -> "accept", "refuse", or {"keys": [FILE…]}.

    Raises Invalid.
    """
    rules: dict[str, SignatureRule] = {}
    for name, value in raw.items():
        if name != "*" and not _PATTERN.match(name):
            raise Invalid(f"signature-policy: {name[:200]!r} is no registry and no repository with its registry")
        keys = value.get("keys") if isinstance(value, dict) else None
        if value in ("accept", "refuse"):
            rules[name] = SignatureRule(refuse=value == "refuse")
        elif isinstance(keys, list) and keys and all(isinstance(key, str) and key.startswith("/") for key in keys):
            rules[name] = SignatureRule(keys=tuple(keys))
        else:
            raise Invalid(f'signature-policy: {name}: expected "accept", "refuse" or {{"keys": ["/path/of/key.pem"]}}')
    return rules


def parse_registries(
    insecure: Sequence[str], mirrors: Sequence[str], realms: Sequence[tuple[str, str]], counts: tuple[int, int, int]
) -> RegistrySettings:
    """The daemon's settings from their texts: hosts and networks; `URL` (of docker.io) or `domain=URL`; domain and
    host; downloads and uploads at once, attempts. Raises Invalid."""
    names = ("max-concurrent-downloads", "max-concurrent-uploads", "max-download-attempts")
    for name, count in zip(names, counts, strict=True):
        if not 1 <= count <= MAX_COUNT:
            raise Invalid(f"invalid {name} {count}: 1 to {MAX_COUNT}")
    by_domain: dict[str, tuple[str, ...]] = {}
    for text in mirrors:
        domain, equals, url = text.partition("=")
        domain, url = (domain, url) if equals and "/" not in domain else (DEFAULT_DOMAIN, text)
        if not _MIRROR.match(url):
            raise Invalid(f"invalid mirror: {url[:200]!r} is not an http or https URL")
        by_domain[domain] = (*by_domain.get(domain, ()), url.rstrip("/"))
    shown: dict[str, tuple[str, ...]] = {}
    for domain, host in realms:
        shown[domain] = (*shown.get(domain, ()), host)
    for host in insecure:
        if not host or "//" in host:
            raise Invalid(f"invalid insecure registry {host[:200]!r}: a host with its port, or a network")
    return RegistrySettings(tuple(insecure), by_domain, shown, *counts)
