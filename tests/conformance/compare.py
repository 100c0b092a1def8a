"""Compares the answers of one engine with the recorded ones, line by line."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from tests.conformance import foreign
from tests.conformance.differences import difference
from tests.conformance.normalise import Normaliser
from tests.conformance.runner import Answer
from tests.conformance.table import Scenario, parse_line


@dataclass(frozen=True)
class Verdict:
    """`problem` is empty when the line was answered as expected, else what differs."""

    line: str
    problem: str


def compare(scenario: Scenario, expected: list[Answer], got: list[Answer]) -> list[Verdict]:
    """One verdict for each line of the scenario, in order."""
    ours, theirs = Normaliser(), Normaliser()
    keys = [parse_line(answer.line).key for answer in expected]
    recorded = {(key, keys[:n].count(key)): answer for n, (key, answer) in enumerate(zip(keys, expected, strict=True))}
    wanted = [line.key for line in scenario.lines]
    verdicts = []
    for n, (line, answer) in enumerate(zip(scenario.lines, got, strict=True)):
        reference = recorded.get((line.key, wanted[:n].count(line.key)))
        if reference is None:
            verdicts.append(Verdict(line.text, "this line is not in the recording: run `make record`"))
            continue
        want, have = theirs.answer(n, line, reference), ours.answer(n, line, answer)
        if known := difference(scenario.name, line.text):
            want = known.expected(*want)
        want = foreign.expected(scenario.name, line.text, want)
        verdicts.append(Verdict(line.text, _explain(want, have)))
    return verdicts


def _explain(want: Sequence[object], have: Sequence[object]) -> str:
    parts = []
    if want[0] != have[0]:
        parts.append(f"exit code {have[0]} instead of {want[0]}")
    for name, w, h in (("stdout", want[1], have[1]), ("stderr", want[2], have[2])):
        if w != h:
            rows = difflib.unified_diff(str(w).splitlines(), str(h).splitlines(), "recorded", "here", lineterm="", n=1)
            parts.append(f"{name}:\n" + "\n".join(list(rows)[2:]))
    return "\n".join(parts)
