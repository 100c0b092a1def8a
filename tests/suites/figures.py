"""The figures of other people's suites, kept in docs/suites.tsv for docs/compatibility.md."""

from datetime import UTC, datetime

from tests.support.wharfd import ROOT

FIGURES = ROOT / "docs" / "suites.tsv"
HEAD = "# suite\tpassed\tof them at the second attempt\tfailed\tskipped by the suite itself\tday"


def note(suite: str, found: dict[str, int], second: int) -> None:
    """Keep the figure of a whole run: JUnit's counts, and how many passed only when they were run again."""
    failed = found["failures"] + found["errors"]
    passed = found["tests"] - failed - found["skipped"]
    day = datetime.now(UTC).date().isoformat()
    line = f"{suite}\t{passed}\t{second}\t{failed}\t{found['skipped']}\t{day}"
    kept = FIGURES.read_text().splitlines()[1:] if FIGURES.exists() else []
    lines = sorted([*(item for item in kept if not item.startswith(f"{suite}\t")), line])
    FIGURES.write_text("\n".join([HEAD, *lines]) + "\n")
    print(f"{suite}: {passed} passed, {failed} failed, {found['skipped']} skipped by the suite itself")
