"""The header WWW-Authenticate (RFC 9110, 11.6.1): its challenges as values."""

import re
from dataclasses import dataclass

MAX_HEADER = 16 << 10
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rf'\s*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))\s*(?:,|\Z)')
_SCHEME = re.compile(rf"\s*,*\s*({_TOKEN})(?:\s+|\s*(?:,|\Z))")


@dataclass(frozen=True, slots=True)
class Challenge:
    """`scheme` in lower case; parameters by lower-case name."""

    scheme: str
    parameters: dict[str, str]


def parse_challenges(values: list[str]) -> list[Challenge]:
    """The challenges of all the headers; what cannot be read ends the list."""
    found: list[Challenge] = []
    for value in values:
        position = 0
        value = value[:MAX_HEADER]
        while position < len(value) and (scheme := _SCHEME.match(value, position)):
            position = scheme.end()
            parameters: dict[str, str] = {}
            while one := _PARAMETER.match(value, position):
                text = re.sub(r"\\(.)", r"\1", one[2]) if one[2] is not None else one[3]
                parameters.setdefault(one[1].lower(), text)
                position = one.end()
            found.append(Challenge(scheme[1].lower(), parameters))
    return found
