"""Which host is who: plain http or not, certificates, proxies, and whose realm a realm is."""

import glob
import ipaddress
import os
import ssl
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

from wharf.registry.client.errors import Misbehaves
from wharf.registry.client.values import ClientConfig

HUB = "docker.io"
HUB_HOST = "registry-1.docker.io"
MAX_URL = 8 << 10
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connection goes."""

    scheme: str
    host: str
    port: int

    @property
    def netloc(self) -> str:
        """As in an URL: without the scheme's own port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}"


def split_url(url: str) -> tuple[Origin, str]:
    """Origin and the path with its query. Raises Misbehaves for what is no plain http or https URL."""
    try:
        parts: SplitResult = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Misbehaves(f"invalid URL {url[:200]!r}") from None
    strange = parts.username is not None or any(ord(c) <= 32 or ord(c) >= 127 for c in url)
    if parts.scheme not in _PORTS or not parts.hostname or strange or len(url) > MAX_URL:
        raise Misbehaves(f"invalid URL {url[:200]!r}: expected http://host/path or https://host/path")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Origin(parts.scheme, parts.hostname, port or _PORTS[parts.scheme]), path


def join_url(base: str, target: str) -> str:
    """What a Location means. Raises Misbehaves."""
    try:
        return urljoin(base, target)
    except ValueError:
        raise Misbehaves(f"invalid URL {target[:200]!r}") from None


def host_of(domain: str) -> str:
    """The host that serves a domain of image names."""
    return HUB_HOST if domain == HUB else domain


def is_insecure(config: ClientConfig, host: str, netloc: str) -> bool:
    """Whether plain http and unknown certificates are taken: on loopback, and where the settings say so."""
    if host == "localhost" or netloc in config.insecure or host in config.insecure:
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or any(_within(address, text) for text in config.insecure)


def _within(address: ipaddress.IPv4Address | ipaddress.IPv6Address, text: str) -> bool:
    try:
        return address in ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False


def may_see(config: ClientConfig, domain: str, origin: Origin, realm: Origin) -> bool:
    """Whether the credentials given for `domain` may be shown to a realm that its registry names.

    The same host, a host above or below it in the names, or one that the settings list; never by plain http where the
    registry speaks https.
    """
    if origin.scheme == "https" and realm.scheme != "https":
        return False
    if realm.netloc in config.realms.get(domain, ()) or realm.host in config.realms.get(domain, ()):
        return True
    own = {origin.host, urlsplit(f"//{domain}").hostname or domain}
    return any(realm.host == host or _related(realm.host, host) for host in own)


def _related(one: str, other: str) -> bool:
    shorter, longer = sorted((one, other), key=len)
    return "." in shorter and not shorter.replace(".", "").isdigit() and longer.endswith("." + shorter)


def tls_context(config: ClientConfig, origin: Origin, insecure: bool) -> ssl.SSLContext:
    """For one host: the system's authorities, those of certs.d, and the client's own certificate there.

    Raises Misbehaves naming the file that cannot be used.
    """
    context = ssl.create_default_context()
    names = {f"{origin.host}:{origin.port}", origin.netloc}
    found = False
    for directory in (os.path.join(top, name) for top in config.certs for name in sorted(names)):
        for path in sorted(glob.glob(os.path.join(glob.escape(directory), "*.c*rt"))):
            try:
                if path.endswith(".crt"):
                    context.load_verify_locations(path)
                    found = True
                elif path.endswith(".cert"):
                    context.load_cert_chain(path, path.removesuffix(".cert") + ".key")
            except (OSError, ssl.SSLError) as error:
                raise Misbehaves(f"cannot use the certificate {path}: {error}") from None
    if insecure and not found:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
