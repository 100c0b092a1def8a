"""Runs scenarios against any engine and prints what differs: `python -m tests.conformance.check HOST [NAME…]`.

HOST is a docker host (`unix:///…`), or `peer:ROOT` for a fresh dockerd of a peer root, or `wharfd` for a private one.
Lines whose answer differs between two runs of Docker itself do not belong in the table: check them with `peer:`.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.conformance import recording
from tests.conformance.compare import compare
from tests.conformance.image import archive, find_busybox
from tests.conformance.peer import Peer
from tests.conformance.runner import Runner
from tests.conformance.table import scenarios
from tests.support.wharfd import Wharfd, newest_docker_client


def main(arguments: list[str]) -> int:
    place, *only = arguments
    with ExitStack() as stack:
        tar = stack.enter_context(tempfile.NamedTemporaryFile(suffix=".tar"))
        tar.write(archive(find_busybox()))
        tar.flush()
        client, host, enter = newest_docker_client(), place, list[str]()
        if place.startswith("peer:"):
            peer = stack.enter_context(Peer(Path(place.removeprefix("peer:"))))
            client, host, enter = peer.client, peer.host, peer.enter
        elif place == "wharfd":
            daemon = stack.enter_context(Wharfd())
            host, enter = daemon.host, daemon.enter
        runner = Runner(client, host, Path(tar.name), enter)
        stack.callback(runner.close)
        recorded = recording.newest_for(runner.docker("version", "--format", "{{.Client.Version}}").strip())
        if recorded is None:
            print(f"no recording for this client; there are ones for {recording.clients()}")
            return 2
        wrong = total = 0
        for scenario in scenarios():
            if only and not any(word in scenario.name for word in only):
                continue
            answers = runner.scenario(scenario)
            for verdict in compare(scenario, recorded.scenarios.get(scenario.name, []), answers):
                total += 1
                if verdict.problem:
                    wrong += 1
                    print(f"== {scenario.name}\n$ {verdict.line}\n{verdict.problem}", flush=True)
        print(f"{wrong} of {total} lines differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
