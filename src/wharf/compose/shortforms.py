"""Short forms: ports, volumes, devices, a command in one line (pure)."""

from __future__ import annotations

import _socket

from wharf.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_PORTS = 65536
_PROPAGATIONS = ("rprivate", "private", "rshared", "shared", "rslave", "slave")


def parse_ports(spec: str) -> list[dict[str, Any]]:
    """`[IP:][HOST[-HOST]:]CONTAINER[-CONTAINER][/PROTOCOL]` in the long form; raises Invalid (nat's words)."""
    *before, last = spec.split(":")
    host_ip, host = ("", "") if not before else (":".join(before[:-1]), before[-1])
    container, protocol = _protocol(last)
    host_ip = _address(host_ip)
    if not container:
        raise Invalid(f"No port specified: {spec}<empty>")
    start, end = _range(container, "containerPort")
    host_start, host_end = _range(host, "hostPort") if host else (0, 0)
    if host and end - start != host_end - host_start and end != start:
        raise Invalid(f"Invalid ranges specified for container and host Ports: {container} and {host}")
    if protocol.lower() not in ("tcp", "udp", "sctp"):
        raise Invalid(f"Invalid proto: {protocol}")
    ports = {}
    for offset in range(end - start + 1):
        published = str(host_start + offset) if host else ""
        if start == end and host_start != host_end:
            published += f"-{host_end}"
        port: dict[str, Any] = {"mode": "ingress", "target": start + offset, "protocol": protocol.lower()}
        if host_ip:
            port["host_ip"] = host_ip
        if published:
            port["published"] = published
        ports[f"{start + offset}/{protocol.lower()}"] = port
    return [ports[key] for key in sorted(ports)]


def _protocol(text: str) -> tuple[str, str]:
    parts = text.split("/")
    if not parts[0]:
        return "", ""
    return parts[0], parts[1] if len(parts) > 1 and parts[1] else "tcp"


def _address(text: str) -> str:
    if text.startswith("["):
        if not text.endswith("]"):
            raise Invalid(f"Invalid ip address {text}: address {text}:: missing ']' in address")
        text = text[1:-1]
    if text and not is_address(text):
        raise Invalid(f"Invalid ip address: {text}")
    return text


def is_address(text: str) -> bool:
    """net.ParseIP would take it: no zone, no leading zeros."""
    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, text)
            return True
        except (OSError, ValueError):
            continue
    return False


def _range(text: str, what: str) -> tuple[int, int]:
    first, dash, second = text.partition("-")
    second = second.split("-")[0] if dash else first
    for part in (first, second):
        if not part.isdecimal() or not part.isascii() or int(part) >= MAX_PORTS:
            raise Invalid(f"Invalid {what}: {text}")
    if int(second) < int(first):
        raise Invalid(f"Invalid {what}: {text}")
    return int(first), int(second)


def parse_volume(spec: str) -> dict[str, Any]:
    """`[SOURCE:]TARGET[:OPTIONS]` in the long form; raises Invalid."""
    if not spec:
        raise Invalid("invalid empty volume spec")
    if len(spec) <= 2:
        return {"type": "volume", "target": spec}
    parts = _sections(spec)
    if any(not part for part in parts):
        raise Invalid(f"invalid spec: {spec}: empty section between colons")
    if len(parts) > 3:
        raise Invalid(f"invalid spec: {spec}: too many colons")
    volume: dict[str, Any] = {}
    if len(parts) == 1:
        volume["target"] = parts[0]
    else:
        volume["source"], volume["target"] = parts[0], parts[1]
    bind: dict[str, Any] = {}
    for option in parts[2].split(",") if len(parts) == 3 else ():
        if option == "ro":
            volume["read_only"] = True
        elif option == "rw":
            volume.pop("read_only", None)
        elif option == "nocopy":
            volume["volume"] = {"nocopy": True}
        elif option in _PROPAGATIONS:
            bind["propagation"] = option
        elif option in ("z", "Z"):
            bind["selinux"] = option
    return _typed(volume, bind)


def _typed(volume: dict[str, Any], bind: dict[str, Any]) -> dict[str, Any]:
    source = volume.get("source", "")
    if source[:1] in (".", "/", "~") or source.startswith("\\\\") or (source[1:2] == ":" and source[0].isalpha()):
        # For compatibility with the first docker-compose, a short form makes the directory that is missing.
        return {"type": "bind", **volume, "bind": {**bind, "create_host_path": True}}
    return {"type": "volume", **volume, **({"bind": bind} if bind else {}), "volume": volume.get("volume", {})}


def _sections(spec: str) -> list[str]:
    """Parts between colons; those of `${…}` and of a Windows drive do not count."""
    parts, part, nesting = [], "", 0
    for index, character in enumerate(spec):
        if character == "$" and spec[index + 1 : index + 2] == "{":
            nesting += 1
        elif character == "}" and nesting:
            nesting -= 1
        elif character == ":" and not nesting and not (len(part) == 1 and part.isalpha()):
            parts.append(part)
            part = ""
            continue
        part += character
    return [*parts, part]


def parse_device(spec: str) -> dict[str, Any]:
    """`HOST[:CONTAINER[:PERMISSIONS]]` in the long form; raises Invalid."""
    parts = spec.split(":")
    if len(parts) > 3:
        raise Invalid(f"confusing device mapping, please use long syntax: {spec}")
    source = parts[0]
    target = parts[1] if len(parts) > 1 and parts[1] else source
    return {"source": source, "target": target, "permissions": parts[2] if len(parts) == 3 else "rwm"}


def split_command(text: str) -> list[str]:
    """Words of a command line as go-shellwords finds them: quotes and backslashes, an unquoted `;&|<>` ends it."""
    return _Words().split(text)


class _Words:
    def __init__(self) -> None:
        self.words: list[str] = []
        self.word = ""
        self.begun = self.escaped = False
        self.quote = ""

    def split(self, text: str) -> list[str]:
        for character in text:
            if not self._take(character):
                break
        if self.begun:
            self.words.append(self.word)
        if self.escaped or self.quote:
            raise Invalid("invalid command line string")
        return self.words

    def _take(self, character: str) -> bool:
        if self.escaped:
            self._add(character)
            self.escaped = False
        elif character == "\\":
            if self.quote == "'":
                self.word += character
            else:
                self.escaped = True
        elif character in " \t\r\n":
            self._space(character)
        elif character in "'\"" and self.quote in ("", character):
            self.quote, self.begun = ("", True) if self.quote else (character, self.begun)
        elif not self.quote and character in ";&|<>":
            if character == ">" and self.word[:1].isdigit():
                self.begun = False
            return False
        else:
            self._other(character)
        return True

    def _space(self, character: str) -> None:
        if self.quote:
            self.word += character
        elif self.begun:
            self.words.append(self.word)
            self.word, self.begun = "", False

    def _other(self, character: str) -> None:
        """Backquotes and `$( )` keep what is between them in one word."""
        if character == "`" and self.quote in ("", "`"):
            self.quote = "" if self.quote else "`"
        elif character == "(" and self.quote == "":
            if not self.word.endswith("$"):
                raise Invalid("invalid command line string")
            self.quote = "("
        elif character == ")" and self.quote in ("", "("):
            self.quote = "" if self.quote else "("
        self._add(character)

    def _add(self, character: str) -> None:
        self.word += character
        self.begun = True
