"""Signals by name and number, as clients write them."""

import signal

from wharf.errors import Invalid

RTMIN, RTMAX = 34, 64
"""What the C library leaves of the real-time signals (signal(7)); the numbers of Docker's names."""

_NAMES = {member.name.removeprefix("SIG"): int(member) for member in signal.Signals if "RT" not in member.name}
_ALIASES = {"CLD": int(signal.SIGCHLD), "POLL": int(signal.SIGIO), "IOT": int(signal.SIGABRT)}
_REAL_TIME = {
    "RTMIN": RTMIN,
    **{f"RTMIN+{number}": RTMIN + number for number in range(1, 16)},
    **{f"RTMAX-{number}": RTMAX - number for number in range(1, 15)},
    "RTMAX": RTMAX,
}
NUMBERS = {**_ALIASES, **_NAMES, **_REAL_TIME}


def parse_signal(text: str) -> int:
    """`TERM`, `SIGTERM`, `15`; raises Invalid `invalid signal: x`."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        number = int(text)
        if number == 0:
            raise Invalid(f"invalid signal: {text}")
        return number
    number = NUMBERS.get(text.upper().removeprefix("SIG"), 0)
    if not number:
        raise Invalid(f"invalid signal: {text[:100]}")
    return number


def known_signal(number: int) -> bool:
    """Whether this kernel has a signal of that number."""
    return number in NUMBERS.values() or 32 <= number <= RTMAX
