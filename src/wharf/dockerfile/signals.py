"""Signals of STOPSIGNAL."""

import re
import signal

from wharf.errors import Invalid

_REALTIME = re.compile(r"RTM(?:IN(?:\+(\d+))?|AX(?:-(\d+))?)\Z")
_NAMES = {name.name.removeprefix("SIG") for name in signal.Signals} | {"IOT", "CLD", "POLL", "UNUSED", "STKFLT"}
REALTIME_SPAN = 30
"""SIGRTMIN is 34, SIGRTMAX 64."""


def check_signal(text: str) -> None:
    """Raises Invalid for what no kernel signal is called: `SIGTERM`, `term`, `15`, `RTMIN+3`."""
    if text.isascii() and text.isdigit():
        if 1 <= int(text[:4]) <= 64 and len(text) <= 3:
            return
        raise Invalid(f"invalid signal: {text}")
    name = text.upper().removeprefix("SIG")
    match = _REALTIME.match(name)
    if match and int(match.group(1) or match.group(2) or 0) <= REALTIME_SPAN:
        return
    if name not in _NAMES or name.startswith("RT"):
        raise Invalid(f"invalid signal: {text}")
