"""What the client of the distribution protocol is told, and what it brings.

place        a host that answers for a repository: the registry itself, or a mirror of it
repository   the images of one name at its places
credentials  what a user gave for one registry; they go to that registry and to realms that belong to it, nowhere else
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from wharf.spec.digest import Digest
from wharf.spec.registry import ProxySettings

MAX_MANIFEST = 4 << 20
"""Bytes of a manifest or index: what registries accept, as the specification suggests."""
MAX_CONFIG = 8 << 20
"""Bytes of an image's config."""
MAX_ANSWER = 1 << 20
"""Bytes of any other document: tokens, errors, lists."""
DEFAULT_CERTS = ("/etc/wharf/certs.d", "/etc/docker/certs.d")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Of one user at one registry. An identity token is exchanged for others; a registry token is used as it is."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    def __bool__(self) -> bool:
        return bool(self.username or self.identity_token or self.registry_token)


NOBODY = Credentials()


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """Settings. Times in seconds.

    `insecure` are hosts (`name:port`), or networks in CIDR, where plain http and unknown certificates are taken.
    `mirrors` gives the domain of an image name (`docker.io`) URLs that are tried before the registry itself.
    `realms` gives a registry's host further hosts that its credentials may be shown to for tokens.
    """

    insecure: tuple[str, ...] = ()
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    realms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    certs: tuple[str, ...] = DEFAULT_CERTS
    """Directories with a directory `host:port` each: `*.crt` are authorities, `*.cert` and `*.key` the client's own."""
    proxies: ProxySettings = field(default_factory=lambda: ProxySettings().with_defaults(os.environ))
    user_agent: str = "wharf"
    connect_timeout: float = 30.0
    read_timeout: float = 60.0
    """Of silence: an answer may take as long as it likes while something comes."""
    attempts: int = 5
    backoff: float = 0.25
    """Before the second attempt; doubled for each further one."""
    max_wait: float = 60.0
    """The longest Retry-After that is waited for."""


@dataclass(frozen=True, slots=True)
class Document:
    """A manifest or index as it came; `digest` is that of `data`."""

    media_type: str
    data: bytes
    digest: Digest


@dataclass(frozen=True, slots=True)
class Head:
    """What a registry says of a manifest without sending it; unverified."""

    digest: Digest
    media_type: str
