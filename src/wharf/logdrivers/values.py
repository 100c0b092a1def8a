"""Option values as Go reads them; every function raises Invalid in Go's words."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from wharf.errors import Invalid

TRUE = ("1", "t", "T", "true", "TRUE", "True")
FALSE = ("0", "f", "F", "false", "FALSE", "False")
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kKmMgGtTpP]?)[iI]?[bB]?")
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
MAX_SHOWN = 100


def parse_bool(text: str) -> bool:
    """strconv.ParseBool."""
    if text in TRUE or text in FALSE:
        return text in TRUE
    raise Invalid(f'strconv.ParseBool: parsing "{text[:MAX_SHOWN]}": invalid syntax')


def parse_int(text: str, function: str = "Atoi") -> int:
    """strconv.Atoi, or ParseUint when so named."""
    digits = text if function == "ParseUint" else text.removeprefix("-" if text.startswith("-") else "+")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 10:
        raise Invalid(f'strconv.{function}: parsing "{text[:MAX_SHOWN]}": invalid syntax')
    return int(text)


def parse_size(text: str) -> int:
    """units.RAMInBytes and, for what logs are given, FromHumanSize: `10k`, `1.5m`; not negative."""
    found = _SIZE.fullmatch(text)
    if found is None or float(found[1]) >= 1 << 50:
        raise Invalid(f"invalid size: '{text[:MAX_SHOWN]}'")
    return int(float(found[1]) * _UNITS[found[2].lower()])


def parse_url(text: str) -> SplitResult:
    """An address as a URL; a wrong port is left to `host_port`."""
    try:
        return urlsplit(text)
    except ValueError as error:
        raise Invalid(f'parse "{text[:MAX_SHOWN]}": {error}') from None


def host_port(address: str, default_port: int | None) -> tuple[str, int]:
    """net.SplitHostPort; a port may be missing where there is a default."""
    host, colon, port = address.rpartition(":")
    if address.startswith("[") and (address.endswith("]") or not colon):
        host, colon, port = address, "", ""
    elif not colon:
        host, port = address, ""
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise Invalid(f"address {address[:MAX_SHOWN]}: too many colons in address")
    if not colon:
        if default_port is None:
            raise Invalid(f"address {address[:MAX_SHOWN]}: missing port in address")
        return host.strip("[]"), default_port
    if not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise Invalid(f"address {port[:MAX_SHOWN]}: invalid port")
    return host.strip("[]"), int(port)
