"""`-p` and `--expose` as docker reads them (go-connections/nat)."""

from wharf.errors import Invalid

PROTOCOLS = ("tcp", "udp", "sctp")
MAX_PORT = 65535
Bindings = dict[str, list[dict[str, str]]]


def _range(text: str, what: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    try:
        low = int(first)
        high = int(last) if dash else low
    except ValueError:
        raise Invalid(f"invalid {what}: {text}") from None
    if not 0 <= low <= MAX_PORT or not 0 <= high <= MAX_PORT or high < low:
        raise Invalid(f"invalid {what}: {text}")
    return low, high


def _split(text: str) -> tuple[str, str, str]:
    """(host address, host port, container port); an IPv6 address stands in brackets."""
    if text.startswith("["):
        address, _, rest = text[1:].partition("]")
        host, colon, inner = rest.removeprefix(":").rpartition(":")
        return address, host if colon else "", inner
    parts = text.rsplit(":", 2)
    if len(parts) == 1:
        return "", "", parts[0]
    if len(parts) == 2:
        return "", parts[0], parts[1]
    return parts[0], parts[1], parts[2]


def publish(given: list[str]) -> tuple[dict[str, dict[str, str]], Bindings]:
    """(ExposedPorts, PortBindings) of `-p` values; raises Invalid with docker's words."""
    exposed: dict[str, dict[str, str]] = {}
    bindings: Bindings = {}
    for text in given:
        value, _, protocol = text.partition("/")
        protocol = protocol.lower() or "tcp"
        if "=" in text:  # the long form: target=80,published=8080,protocol=tcp
            fields = dict(field.partition("=")[::2] for field in text.split(","))
            value = f"{fields.get('published', '')}:{fields.get('target', '')}"
            protocol = fields.get("protocol", "tcp")
        if protocol not in PROTOCOLS:
            raise Invalid(f"invalid proto: {protocol}")
        address, host, inner = _split(value)
        if address:
            _check_address(address)
        if not inner:
            raise Invalid(f"no port specified: {text}<empty>")
        _expand(address, host, inner, protocol, exposed, bindings)
    return exposed, bindings


def _expand(
    address: str, host: str, inner: str, protocol: str, exposed: dict[str, dict[str, str]], bindings: Bindings
) -> None:
    low, high = _range(inner, "containerPort")
    host_low, host_high = _range(host, "hostPort") if host else (0, 0)
    if host and high - low != host_high - host_low and low != high:
        raise Invalid(f"invalid ranges specified for container and host Ports: {inner} and {host}")
    for offset in range(high - low + 1):
        key = f"{low + offset}/{protocol}"
        shown = "" if not host else host if low == high and host_low != host_high else str(host_low + offset)
        exposed[key] = {}
        bindings.setdefault(key, []).append({"HostIp": address, "HostPort": shown})


def _check_address(text: str) -> None:
    from _socket import AF_INET, AF_INET6, inet_pton

    for family in (AF_INET6, AF_INET):
        try:
            inet_pton(family, text)
            return
        except (OSError, ValueError):
            pass
    raise Invalid(f"invalid IP address: {text}")


def expose(given: list[str]) -> dict[str, dict[str, str]]:
    """ExposedPorts of `--expose` values; raises Invalid."""
    ports: dict[str, dict[str, str]] = {}
    for text in given:
        if ":" in text:
            raise Invalid(f"invalid port format for --expose: {text}")
        numbers, _, protocol = text.partition("/")
        first, dash, last = numbers.partition("-")
        reason = ""
        for number in (first, last) if dash else (first,):
            if not number.isdigit():
                reason = reason or f'strconv.ParseUint: parsing "{number}": invalid syntax'
            elif int(number) > MAX_PORT:
                reason = reason or f'strconv.ParseUint: parsing "{number}": value out of range'
        if not reason and dash and int(last) < int(first):
            reason = f"invalid range specified for port: {numbers}"
        if reason:
            raise Invalid(f"invalid range format for --expose: {text}, error: {reason}")
        for port in range(int(first), int(last if dash else first) + 1):
            ports[f"{port}/{protocol or 'tcp'}"] = {}
    return ports
