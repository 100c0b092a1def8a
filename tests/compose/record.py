"""`python -m tests.compose.record [NAME…]`: what docker compose answers to each project's command lines.

DOCKER_COMPOSE names the binary (a 2.40.3 was recorded); no engine is asked.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict

from tests.compose.cases import DIR, Answer, Case, cases, in_place


def record(case: Case, binary: str) -> list[Answer]:
    """Asks every command line."""
    answers = []
    for command in case.commands:
        out = subprocess.run([binary, *command], cwd=case.path, env=case.environment, capture_output=True, text=True,
                             stdin=subprocess.DEVNULL, check=False)  # fmt: skip
        shown = [text.replace(str(case.path), DIR) for text in (out.stdout, out.stderr)]
        answers.append(Answer(" ".join(command), out.returncode, *shown))
    return answers


def main() -> None:
    """Records the named projects, or all."""
    binary = os.environ["DOCKER_COMPOSE"]
    for case in cases():
        if not sys.argv[1:] or case.path.name in sys.argv[1:]:
            with in_place(case) as placed:
                answers = [asdict(answer) for answer in record(placed, binary)]
            (case.path / "expected.json").write_text(json.dumps(answers, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
