"""syslog: RFC 3164 and 5424 over udp, tcp, tcp+tls, unix and unixgram (moby, daemon/logger/syslog; RFC 6587, 5425)."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from wharf.errors import Invalid
from wharf.logdrivers.origin import Origin
from wharf.logdrivers.transport import Address, Tls
from wharf.logdrivers.values import MAX_SHOWN, host_port, parse_url
from wharf.runtime.logforms import LogEntry, parse_time

FACILITIES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "", "", "", "", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
)  # fmt: skip
FORMATS = ("", "rfc3164", "rfc5424", "rfc5424micro")
LOCAL_PATHS = ("/dev/log", "/var/run/syslog", "/var/run/log")
DEFAULT_PORT = 514
_ERR, _INFO = 3, 6
_SECURE = "tcp+tls"


def parse_address(text: str) -> tuple[str, str]:
    """Scheme and path or host:port; both empty for the host's own syslog. Raises Invalid."""
    if not text:
        return "", ""
    found = parse_url(text)
    if found.scheme in ("unix", "unixgram"):
        return found.scheme, found.path
    if found.scheme not in ("udp", "tcp", _SECURE):
        raise Invalid(f"unsupported scheme: '{found.scheme[:MAX_SHOWN]}'")
    host, port = host_port(found.netloc, DEFAULT_PORT)
    return found.scheme, f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class Syslog:
    """One container's messages."""

    address: Address
    priority: int
    form: str
    hostname: str
    tag: str
    framed: bool

    def encode(self, entry: LogEntry) -> list[bytes]:
        """One message, ended by a newline as Docker has it; with its length before it over TLS with RFC 5424."""
        level = _ERR if entry.stream == "stderr" else _INFO
        text = self._head(self.priority | level, parse_time(entry.time)).encode() + entry.line.rstrip(b"\n") + b"\n"
        return [b"%d %b" % (len(text), text) if self.framed else text]

    def _head(self, priority: int, when: int) -> str:
        seconds, fraction = divmod(when, 10**9)
        local = time.localtime(seconds)
        if self.form.startswith("rfc5424"):
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", local)
            if self.form == "rfc5424micro":
                stamp += f".{fraction // 1000:06d}"
            stamp += _zone(local)
            return f"<{priority}>1 {stamp} {self.hostname} {self.tag} {os.getpid()} {self.tag} - "
        stamp = f"{time.strftime('%b', local)} {local.tm_mday:2d} {time.strftime('%H:%M:%S', local)}"
        host = f"{self.hostname} " if self.form == "rfc3164" else ""
        return f"<{priority}>{stamp} {host}{self.tag}[{os.getpid()}]: "


def _zone(local: time.struct_time) -> str:
    if not local.tm_gmtoff:
        return "Z"
    hours, minutes = divmod(abs(local.tm_gmtoff) // 60, 60)
    return f"{'+' if local.tm_gmtoff > 0 else '-'}{hours:02d}:{minutes:02d}"


def syslog(origin: Origin) -> Syslog:
    """From checked options."""
    options = origin.options
    scheme, target = parse_address(options.get("syslog-address", ""))
    facility = options.get("syslog-facility") or "daemon"
    number = FACILITIES.index(facility) if facility in FACILITIES else int(facility)
    form = options.get("syslog-format", "")
    tls = None
    if scheme == _SECURE:
        tls = Tls(
            options.get("syslog-tls-ca-cert", ""),
            options.get("syslog-tls-cert", ""),
            options.get("syslog-tls-key", ""),
            "syslog-tls-skip-verify" in options and options["syslog-tls-skip-verify"] != "",
        )
    if not scheme:
        address = Address("local", ",".join(LOCAL_PATHS))
    else:
        address = Address("tcp" if tls else scheme, target, tls)
    framed = tls is not None and form.startswith("rfc5424")
    return Syslog(address, number << 3, form, origin.hostname, origin.tag, framed)
