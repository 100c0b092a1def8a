"""Records again what Docker answers: `python -m tests.conformance.record --peers ROOT [--client PATH] [SCENARIO…]`.

ROOT (or the environment's PEERS) is a Debian tree with dockerd in it; `--make SUITE MIRROR` makes it first. The
client is the one in ROOT unless another is named. With scenarios named, only those are recorded anew.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.conformance import recording
from tests.conformance.image import archive, find_busybox
from tests.conformance.peer import Peer, make_root
from tests.conformance.recording import Recording
from tests.conformance.runner import Runner
from tests.conformance.table import scenarios
from tests.probes.record import record_probes


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.conformance.record")
    parser.add_argument("--peers", default=os.environ.get("PEERS"), help="root directory with dockerd in it")
    parser.add_argument("--make", nargs=2, metavar=("SUITE", "MIRROR"), help="make that root first, with mmdebstrap")
    parser.add_argument("--client", help="docker command line to record with")
    parser.add_argument("--no-probes", action="store_true", help="leave the probes' answers as they are")
    parser.add_argument("only", nargs="*", help="names of scenarios")
    options = parser.parse_args(arguments)
    if not options.peers:
        parser.error("name the peer's root directory with --peers or PEERS")
    root = Path(options.peers)
    if options.make:
        make_root(root, *options.make)
    with tempfile.NamedTemporaryFile(suffix=".tar") as tar, Peer(root) as peer:
        tar.write(archive(find_busybox()))
        tar.flush()
        runner = Runner(options.client or peer.client, peer.host, Path(tar.name), peer.enter)
        try:
            record_lines(runner, set(options.only))
            if not options.no_probes and not options.only:
                record_probes(runner)
        finally:
            runner.close()
    return 0


def record_lines(runner: Runner, only: set[str]) -> None:
    """All scenarios, or those named, into the file of this pair of versions."""
    versions = runner.versions()
    target = Recording(versions, {})
    made = {}
    for scenario in scenarios():
        if only and scenario.name not in only:
            continue
        print(f"recording {scenario.name}", flush=True)
        made[scenario.name] = runner.scenario(scenario)
    # Read only now: somebody else may have recorded other scenarios meanwhile.
    old = recording.load(target.path).scenarios if target.path.exists() else {}
    for scenario in scenarios():
        answers = made.get(scenario.name, old.get(scenario.name))
        if answers is not None:
            target.scenarios[scenario.name] = answers
    if only:
        target.scenarios.update({name: answers for name, answers in old.items() if name not in target.scenarios})
    target.save()
    print(f"{sum(map(len, target.scenarios.values()))} lines in {target.path}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
