"""Where Wharf answers otherwise than Docker on purpose: one entry each, with what it answers and why.

An entry's answer is as exact as a recording's: a stream that is None must equal Docker's.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """Normalised answer of Wharf to one line of one scenario; None means as Docker."""

    scenario: str
    line: str
    reason: str
    code: int | None = None
    stdout: str | None = None
    stderr: str | None = None


DIFFERENCES: tuple[Difference, ...] = ()


def difference(scenario: str, line: str) -> Difference | None:
    """The entry for this line, if there is one."""
    return next((d for d in DIFFERENCES if (d.scenario, d.line) == (scenario, line)), None)
