"""Builds the cases with a wharfd of its own and prints what differs: `python -m tests.conformance.builds.check WAY…`.

Words other than `docker` and `wharf` choose cases by their names.
"""

from __future__ import annotations

import sys
import tempfile

from tests.conformance.builds.compare import problem
from tests.conformance.builds.test_builds import CASES, RECORDED, WAYS, Builder
from tests.conformance.image import archive, find_busybox
from tests.support.wharfd import Wharfd


def main(arguments: list[str]) -> int:
    ways = [word for word in arguments if word in WAYS] or list(WAYS)
    only = [word for word in arguments if word not in WAYS]
    wrong = 0
    with Wharfd() as daemon, tempfile.NamedTemporaryFile(suffix=".tar") as tar:
        tar.write(archive(find_busybox()))
        tar.flush()
        daemon.docker("load", "-i", tar.name)
        builder = Builder(daemon)
        for name, case in CASES.items():
            for way in ways:
                if (only and not any(word in name for word in only)) or (case.only_wharf and way != "wharf"):
                    continue
                try:
                    found = problem(case, RECORDED[name], builder.image(way, case))
                except (AssertionError, LookupError) as error:
                    found = str(error)
                if found:
                    wrong += 1
                    print(f"== {name} by {way}\n{found}", flush=True)
    print(f"{wrong} differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
