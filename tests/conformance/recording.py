"""Recordings: one file per pair of server and client versions, answers as they came. They are never edited."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.runner import Answer

RECORDINGS = Path(__file__).parent / "recordings"


@dataclass(frozen=True)
class Recording:
    """What an engine answered; `versions` has client, server, server api and api."""

    versions: dict[str, str]
    scenarios: dict[str, list[Answer]]

    @property
    def path(self) -> Path:
        return RECORDINGS / f"server-{self.versions['server']}_client-{self.versions['client']}.json"

    def save(self) -> None:
        document = {
            "versions": self.versions,
            "scenarios": {name: [a.as_json() for a in answers] for name, answers in self.scenarios.items()},
        }
        RECORDINGS.mkdir(exist_ok=True)
        self.path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def load(path: Path) -> Recording:
    document = json.loads(path.read_text())
    rows = {name: [Answer(**answer) for answer in answers] for name, answers in document["scenarios"].items()}
    return Recording(document["versions"], rows)


def newest_for(client: str) -> Recording | None:
    """The recording of the newest server that was made with this version of the client."""
    made = [recording for path in RECORDINGS.glob("*.json") if (recording := load(path)).versions["client"] == client]
    return max(made, key=lambda r: [int(n) for n in re.findall(r"\d+", r.versions["server"])], default=None)


def clients() -> list[str]:
    """Client versions that recordings exist for."""
    return sorted({load(path).versions["client"] for path in RECORDINGS.glob("*.json")})
