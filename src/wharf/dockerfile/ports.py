"""Ports of EXPOSE: `[address:][host:]port[-port][/protocol]`, of which only port and protocol count."""

import ipaddress

from wharf.errors import Invalid
from wharf.spec.quote import go_quote

MAX_PORT = 65535
PROTOCOLS = ("tcp", "udp", "sctp")


def exposed_ports(word: str) -> list[str]:
    """`port/protocol` of each port of the word; raises Invalid with Docker's words."""
    address, host, inner = split_port(word)
    ports, _, protocol = inner.partition("/")
    if not ports:
        raise Invalid(f"invalid port: {go_quote(word)}: no port specified")
    protocol = protocol.lower() or "tcp"
    if protocol not in PROTOCOLS:
        raise Invalid(f"invalid port: {go_quote(word)}: invalid proto: {inner.partition('/')[2]}")
    _check_address(address)
    first, last = _range(ports, "containerPort")
    if host:
        outer_first, outer_last = _range(host, "hostPort")
        if last - first != outer_last - outer_first and first != last:
            raise Invalid(f"invalid ranges specified for container and host Ports: {ports} and {host}")
    return [f"{port}/{protocol}" for port in range(first, last + 1)]


def split_port(word: str) -> tuple[str, str, str]:
    """(address, host port, the rest)."""
    *before, inner = word.split(":")
    if not before:
        return "", "", inner
    return ":".join(before[:-1]), before[-1], inner


def _check_address(address: str) -> None:
    bare = address[1:-1] if address.startswith("[") and address.endswith("]") else address
    if not bare:
        return
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        raise Invalid(f"invalid IP address: {bare}") from None


def _range(text: str, what: str) -> tuple[int, int]:
    start, dash, end = text.partition("-")
    ends = (start, end if dash else start)
    if not all(part.isascii() and part.isdigit() and int(part) <= MAX_PORT for part in ends):
        raise Invalid(f"invalid {what}: {text}")
    first, last = int(ends[0]), int(ends[1])
    if last < first:
        raise Invalid(f"invalid {what}: {text}")
    return first, last
