"""Options of the local volume driver: `type`, `device`, `o` and `size` as Docker's driver takes them."""

import ipaddress
import re
import socket
import urllib.parse
from dataclasses import dataclass

from wharf.errors import Internal, Invalid
from wharf.spec.quantities import parse_size
from wharf.spec.volume import VolumeRecord

_KNOWN = ("type", "o", "device", "size")
_NEEDED = {"device": ("type",), "type": ("device",), "o": ("device", "type")}
_ADDRESS = re.compile(r"(?:^|,)addr=([^,]*)")
NETWORK_TYPES = ("nfs", "cifs")


@dataclass(frozen=True, slots=True)
class VolumeMount:
    """What to mount for a volume: arguments of the job `volume.mount`."""

    device: str
    kind: str
    options: str


def check_options(name: str, options: dict[str, str]) -> None:
    """Raises Invalid in Docker's words, with the volume's name."""
    for key in sorted(options):
        if key not in _KNOWN:
            raise Invalid(f'create {name}: invalid option: "{key[:100]}"')
    if options.get("type") == "cifs" and options.get("device"):
        _check_share(name, options["device"])
    if "size" in options:
        try:
            size = parse_size(options["size"])
        except Invalid as error:
            raise Invalid(f"create {name}: {error.message}") from None
        if size > 0:
            raise Invalid(f"create {name}: quota size requested but no quota support")
    for key, needed in _NEEDED.items():
        for other in needed:
            if key in options and other not in options:
                raise Invalid(f'create {name}: missing required option: "{other}"')


def _check_share(name: str, device: str) -> None:
    try:
        port = urllib.parse.urlsplit(device).port
    except ValueError as error:
        raise Invalid(f"create {name}: error parsing mount device url: {error}") from None
    if port is not None:
        raise Invalid(f"create {name}: port not allowed in CIFS device URL, include 'port' in 'o='")


def needs_mount(record: VolumeRecord) -> bool:
    """Whether the volume is something to mount instead of a directory of ours."""
    options = record.options or {}
    return bool(options.get("device") or options.get("type"))


def mount_of(record: VolumeRecord) -> VolumeMount:
    """What to mount, names of servers resolved (may wait for a resolver). Raises Internal in Docker's words."""
    options = record.options or {}
    device, kind, words = options.get("device", ""), options.get("type", ""), options.get("o", "")
    if not device:
        raise Internal("missing device in volume options")
    if kind not in NETWORK_TYPES:
        return VolumeMount(device, kind, words)
    found = _ADDRESS.search(words)
    if found and found[1] and not _is_address(found[1]):
        return VolumeMount(device, kind, words[: found.start(1)] + _resolve(found[1]) + words[found.end(1) :])
    if kind == "cifs" and not found:
        parts = urllib.parse.urlsplit(device)  # `check_options` has seen that it is one
        if parts.hostname and not _is_address(parts.hostname):
            device = device.replace(parts.netloc, _resolve(parts.hostname), 1)
    return VolumeMount(device, kind, words)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _resolve(host: str) -> str:
    """The first address, an IPv4 one where there is any."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = str(error.strerror).lower() if isinstance(error, OSError) else "no such host"
        raise Internal(f"error resolving passed in network volume address: lookup {host[:255]}: {reason}") from None
    return str(sorted(found, key=lambda row: row[0] != socket.AF_INET)[0][4][0])
