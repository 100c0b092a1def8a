"""Drivers and their options, checked when a container is created; words and order are Docker's (recorded from 28.5)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from wharf.errors import Invalid
from wharf.logdrivers.syslog import FACILITIES, FORMATS, parse_address
from wharf.logdrivers.values import FALSE, MAX_SHOWN, TRUE, host_port, parse_bool, parse_int, parse_size, parse_url
from wharf.spec.quantities import parse_duration

Options = Mapping[str, str]
LOCAL_DRIVERS = frozenset(["json-file", "local", "none"])
"""What they keep is all there is; the others send it away."""
REMOTE_DRIVERS = frozenset(["fluentd", "gelf", "journald", "syslog"])
DRIVERS = tuple(sorted((LOCAL_DRIVERS | REMOTE_DRIVERS) - {"none"}))
"""As `docker info` lists them."""
ELSEWHERE = frozenset(["awslogs", "gcplogs", "splunk", "etwlogs"])
"""Drivers of Docker's for one vendor's service each."""
_FILTERS = frozenset(["labels", "labels-regex", "env", "env-regex", "tag"])
_COMMON = frozenset(["mode", "max-buffer-size", "cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"])
_KNOWN = {
    "json-file": _FILTERS | {"max-size", "max-file", "compress"},
    "local": frozenset(["max-size", "max-file", "compress"]),
    "journald": _FILTERS,
    "syslog": _FILTERS
    | {
        "syslog-address", "syslog-facility", "syslog-tls-ca-cert", "syslog-tls-cert", "syslog-tls-key",
        "syslog-tls-skip-verify", "syslog-format",
    },
    "fluentd": _FILTERS
    | {
        "fluentd-address", "fluentd-async", "fluentd-async-reconnect-interval", "fluentd-buffer-limit",
        "fluentd-max-retries", "fluentd-request-ack", "fluentd-retry-wait", "fluentd-sub-second-precision",
        "fluentd-write-timeout",
    },
    "gelf": _FILTERS
    | {
        "gelf-address", "gelf-compression-type", "gelf-compression-level", "gelf-tcp-max-reconnect",
        "gelf-tcp-reconnect-delay",
    },
}  # fmt: skip
_SHORTEST, _LONGEST = 100_000_000, 10_000_000_000  # fluentd-async-reconnect-interval, ns


def check(driver: str, options: Options) -> None:
    """Raises Invalid; Docker looks at most values only when the container starts."""
    if driver == "none":
        return
    if driver not in _KNOWN:
        name = driver[:MAX_SHOWN]
        raise Invalid(f'error looking up logging plugin {name}: plugin "{name}" not found')
    _check_mode(options)
    if options.get("cache-disabled", "true") not in TRUE + FALSE:
        raise Invalid(f"invalid value for option cache-disabled: {options['cache-disabled'][:MAX_SHOWN]}")
    if driver == "gelf":
        _check_gelf_address(options)
    for key in sorted(options):
        if key not in _KNOWN[driver] and key not in _COMMON:
            raise Invalid(f"unknown log opt '{key[:MAX_SHOWN]}' {_where(driver)}")
    checks: dict[str, Callable[[Options], None]] = {"syslog": _syslog, "fluentd": _fluentd, "gelf": _gelf}
    if driver in checks:
        checks[driver](options)


def _where(driver: str) -> str:
    return "for log driver local" if driver == "local" else f"for {driver} log driver"


def _check_mode(options: Options) -> None:
    mode = options.get("mode", "")
    if mode not in ("", "blocking", "non-blocking"):
        raise Invalid(f"logger: logging mode not supported: {mode[:MAX_SHOWN]}")
    if "max-buffer-size" in options:
        if mode != "non-blocking":
            raise Invalid("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
        try:
            parse_size(options["max-buffer-size"])
        except Invalid as error:
            raise Invalid(f"error parsing option max-buffer-size: {error.message}") from None


def _syslog(options: Options) -> None:
    scheme, target = parse_address(options.get("syslog-address", ""))
    if scheme in ("unix", "unixgram") and not os.path.exists(target):
        raise Invalid(f"stat {target[:MAX_SHOWN]}: no such file or directory")
    facility = options.get("syslog-facility", "daemon") or "daemon"
    if facility not in FACILITIES and facility not in map(str, range(len(FACILITIES))):
        raise Invalid("invalid syslog facility")
    if options.get("syslog-format", "") not in FORMATS:
        raise Invalid("Invalid syslog format")


def _fluentd(options: Options) -> None:
    check_fluentd_address(options.get("fluentd-address", ""))
    for key in ("fluentd-async", "fluentd-request-ack", "fluentd-sub-second-precision"):
        if options.get(key):
            parse_bool(options[key])
    if options.get("fluentd-buffer-limit"):
        parse_size(options["fluentd-buffer-limit"])
    if options.get("fluentd-retry-wait"):
        parse_duration(options["fluentd-retry-wait"])
    if options.get("fluentd-max-retries"):
        parse_int(options["fluentd-max-retries"], "ParseUint")
    if text := options.get("fluentd-async-reconnect-interval"):
        interval = _named("fluentd-async-reconnect-interval: ", text)
        if interval and not _SHORTEST <= interval <= _LONGEST:
            raise Invalid(
                f'invalid value for fluentd-async-reconnect-interval: value ("{text}") must be between 100ms and 10s'
            )
    text = options.get("fluentd-write-timeout", "")
    if text and _named("fluentd-write-timeout: value must be a duration: ", text) < 0:
        raise Invalid("invalid value for fluentd-write-timeout: value must be a positive duration")


def _named(words: str, text: str) -> int:
    try:
        return parse_duration(text)
    except Invalid as error:
        raise Invalid(f"invalid value for {words}{error.message}") from None


def check_fluentd_address(address: str) -> tuple[str, str]:
    """(`unix`, path) or (`tcp` or `tls`, host:port)."""
    if not address:
        return "tcp", "127.0.0.1:24224"
    text = address if "://" in address else f"tcp://{address}"
    words = f"invalid fluentd-address ({address[:MAX_SHOWN]}): "
    found = parse_url(text)
    if found.scheme == "unix":
        if not found.path.lstrip("/"):
            raise Invalid(words + "path is empty")
        return "unix", found.path
    if found.scheme not in ("tcp", "tls"):
        raise Invalid(f"{words}unsupported scheme: '{found.scheme}'")
    if found.path:
        raise Invalid(words + "should not contain a path element")
    try:
        host, port = host_port(found.netloc, 24224)
    except Invalid:
        port_text = found.netloc.rpartition(":")[2]
        raise Invalid(f'{words}parse "{text[:MAX_SHOWN]}": invalid port ":{port_text}" after host') from None
    return found.scheme, f"{_bracketed(host or '127.0.0.1')}:{port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _check_gelf_address(options: Options) -> None:
    if not options.get("gelf-address"):
        raise Invalid("gelf-address is a required parameter")
    found = parse_url(options["gelf-address"])
    if found.scheme not in ("udp", "tcp"):
        raise Invalid("gelf: endpoint needs to be TCP or UDP")
    try:
        host_port(found.netloc, None)
    except Invalid:
        raise Invalid("gelf: please provide gelf-address as proto://host:port") from None


def _gelf(options: Options) -> None:
    udp = parse_url(options["gelf-address"]).scheme == "udp"
    for key in sorted(options):
        value = options[key]
        if key in ("gelf-compression-level", "gelf-compression-type"):
            if not udp:
                raise Invalid("compression is only supported on UDP")
            if value not in _COMPRESSION[key]:
                raise Invalid(f'unknown value "{value[:MAX_SHOWN]}" for log opt "{key}" for gelf log driver')
        if key in ("gelf-tcp-max-reconnect", "gelf-tcp-reconnect-delay"):
            if udp:
                raise Invalid(f'"{key}" is only valid for TCP')
            if not (value.isascii() and value.isdigit()):
                raise Invalid(f'"{key}" must be a positive integer')


_COMPRESSION = {
    "gelf-compression-type": ("gzip", "zlib", "none"),
    "gelf-compression-level": tuple(map(str, range(-1, 10))),
}
