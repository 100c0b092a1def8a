"""Runs the probes and keeps what Docker answered, one file per server version."""

from __future__ import annotations

import json
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.runner import Runner
from tests.probes.probe import Probe
from tests.probes.table import PROBES

RECORDINGS = Path(__file__).parent / "recordings"
PROBE_SECONDS = 60.0
Answers = dict[str, str]


def run_probe(runner: Runner, probe: Probe) -> Answers:
    """What the probe printed, guarded and opened, each followed by the exit code and stderr."""
    return {
        "guarded": _run(runner, probe.arguments(probe.guarded)),
        "opened": _run(runner, probe.arguments(probe.opened, probe.wrap)),
    }


def _run(runner: Runner, arguments: list[str]) -> str:
    done = subprocess.run(
        [runner.client, *(word.replace("{home}", runner.home) for word in arguments)],
        env=runner.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PROBE_SECONDS,
    )
    return f"{done.stdout}{done.stderr}exit {done.returncode}\n"


def record_probes(runner: Runner) -> None:
    """All probes, into the file of the server's version."""
    versions = runner.versions()
    host = {"kernel": platform.release(), "machine": platform.machine()}
    answers = {probe.name: run_probe(runner, probe) for probe in PROBES}
    RECORDINGS.mkdir(exist_ok=True)
    path = RECORDINGS / f"server-{versions['server']}.json"
    document = {"versions": versions, "host": host, "probes": answers}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    print(f"{len(answers)} probes in {path}")


@dataclass(frozen=True)
class Recorded:
    """Answers by probe, with the versions and the kernel they were made with."""

    versions: dict[str, str]
    host: dict[str, str]
    probes: dict[str, Answers]


def newest() -> Recorded:
    """The answers of the newest server; FileNotFoundError when nothing was recorded."""
    paths = sorted(RECORDINGS.glob("*.json"), key=lambda path: [int(n) for n in re.findall(r"\d+", path.name)])
    if not paths:
        raise FileNotFoundError(f"no recording in {RECORDINGS}: run `make record`")
    return Recorded(**json.loads(paths[-1].read_text()))


def comparable(answer: str, other: str, same_host: bool) -> str:
    """An answer as it is compared: of hosts with different kernels only lines about what both have."""
    if same_host:
        return answer
    known = {line.split()[0] for line in other.splitlines() if line}
    return "\n".join(line for line in answer.splitlines() if line and line.split()[0] in known)
