"""Which proxy a host is spoken to through, by the rules of Go's net/http.

An entry of `no_proxy` is `*`, an address, a network, `name` (and all below it), `.name` (only what is below it), each
with `:port` where only that port is meant. Loopback is never reached through a proxy.
"""

import ipaddress
from urllib.parse import SplitResult, urlsplit

from wharf.errors import Invalid
from wharf.registry.client.trust import Origin
from wharf.spec.registry import ProxySettings

DEFAULT_PORT = 3128


def proxy_of(settings: ProxySettings, origin: Origin) -> SplitResult | None:
    """The proxy for an origin, None for none. Raises Invalid for one that is no http URL."""
    text = settings.http if origin.scheme == "http" else settings.https
    if not text or _is_loopback(origin.host) or any(_names(entry, origin) for entry in settings.no_proxy.split(",")):
        return None
    proxy = urlsplit(text if "://" in text else f"http://{text}")
    if proxy.scheme != "http" or not proxy.hostname:
        raise Invalid(f"invalid proxy for {origin.scheme}: expected http://host:port")
    return proxy


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _names(entry: str, origin: Origin) -> bool:
    entry = entry.strip().lower()
    if entry == "*":
        return True
    address = _address(origin.host)
    if "/" in entry and address is not None:
        try:
            return address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, colon, port = entry.rpartition(":")
    if colon and port.isdigit() and (":" not in name or name.endswith("]")):
        if int(port) != origin.port:
            return False
        entry = name.strip("[]")
    if address is not None:
        return address == _address(entry)
    entry = entry.removeprefix("*")
    host = origin.host.lower().rstrip(".")
    return bool(entry) and (host.endswith(entry if entry.startswith(".") else f".{entry}") or host == entry)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
