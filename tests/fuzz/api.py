"""Fuzzing the API: `make fuzz API=<Docker's description of its Engine API, 1.51>`.

Requests are made by schemathesis from the description, half of them then bent: a value exchanged for a hostile one, a
parameter dropped or doubled, an id of something that is there. Each goes to one engine, which has images, containers,
volumes and networks. A problem is: an answer of 500 without a reason in `EXPLAINED`, none at all, a daemon that ended,
and what is left when everything was removed: processes, mounts, links, cgroups, descriptors, memory.

    WHARF_FUZZ_REQUESTS=20000 WHARF_FUZZ_SEED=<number>
"""

import contextlib
import os
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz.bend import bend
from tests.fuzz.sending import LIMIT, Sent, Wanted, send
from tests.fuzz.things import Things
from tests.support.footprint import Footprint, difference, footprint, settled
from tests.support.wharfd import Wharfd

REQUESTS = int(os.environ.get("WHARF_FUZZ_REQUESTS", "20000"))
SEED = int(os.environ.get("WHARF_FUZZ_SEED", str(random.SystemRandom().randrange(10**6))))
WARM_UP = 1500
"""Requests before anything is measured: modules are loaded and caches filled by them."""
BATCH = 200
TOGETHER = 8
MAX_GROWTH_KB = 20 << 10
MAX_SHOWN = 40
EXPLAINED: dict[str, str] = {
    "dial tcp": "nothing can be reached from the engine's network namespace; Docker answers 500 as well",
    " is not paused": "Docker's answer to unpause",
    ": strconv.Atoi: parsing ": "a number in the query (limit, t, timeout …) that is none; Docker's words and status",
    ": strconv.ParseInt: parsing ": "since and until that are no times; Docker's words and status",
    "/get: invalid reference format": "save alone answers so, as Docker's does",
    "/get: repository name must not be": "likewise",
    "/plugins/privileges: invalid reference format": "Docker's answer",
    "/top: ps: ": "arguments that ps refuses; Docker hands its words on with 500",
    "/stop: cannot stop container: ": "a signal that is none; Docker's words and status",
    "/restart: Cannot restart container ": "a signal that is none; Docker's words and status",
    "/archive: lstat ": "a path in a container with a name too long, or below a file; Docker's words and status",
    "runc did not terminate successfully: exit status 1: ": "Docker hands on what its runtime says to an update",
    "unable to apply cgroup configuration: failed to write": "limits that the kernel refuses at the start; likewise",
    "for procHooks process: failed to write": "likewise, in the words that runc has for other limits",
    'container is marked for removal and cannot be "update"': "an update while it goes; Docker's words and status",
    "POST /build: Cannot locate specified Dockerfile: ": "Docker's words and status",
    "/tasks/{id}/logs: Bad parameters: ": "of Swarm's logs only; Docker's words and status",
    "/services/{id}/logs: Bad parameters: ": "likewise",
    "Conflict, cannot remove the default link name": "the removal of a link that is a container's own name; likewise",
    "/containers/create: invalid --security-opt ": "an option that is none; Docker's words and status",
    "http: no Host in request URL": "an import from an address without a host; Docker's words and status",
}
"""Words in `METHOD path: words` of an answer of 500 -> why Docker, too, answers so."""
_PATIENT = ("/stop", "/restart")
"""Operations that wait as long as the request says: `t` seconds, for ever when negative."""
_SWIFT = 10.0
"""Seconds that such an operation may take beyond its `t`."""

_ID = re.compile(r"[0-9a-f]{12,64}")


@dataclass(slots=True)
class Tally:
    """What came back."""

    statuses: Counter[int]
    problems: dict[str, str]
    slowest: tuple[float, str] = (0.0, "")

    def add(self, wanted: Wanted, sent: Sent) -> None:
        """Count an answer; remember it when it is a problem, once for each operation and beginning of words."""
        self.statuses[sent.status] += 1
        self.slowest = max(self.slowest, (sent.seconds, wanted.label))
        if sent.status == 0 and not sent.streams and not _asked_to_wait(wanted):
            self.problems.setdefault(f"{wanted.label}: no answer", f"{wanted}\n  {sent.words[:300]}")
        told = f"{wanted.label}: {sent.words}"
        if sent.status == 500 and not any(words in told for words in EXPLAINED):
            self.problems.setdefault(
                f"{wanted.label}: {_ID.sub('ID', sent.words)[:60]}", f"{wanted}\n  500 {sent.words[:300]}"
            )


def _asked_to_wait(wanted: Wanted) -> bool:
    """Whether the request's own `t` is why there was no answer within `LIMIT`."""
    if not wanted.path.endswith(_PATIENT):
        return False
    text = str(wanted.query.get("t", ""))
    return text.removeprefix("-").isdecimal() and not 0 <= int(text) < LIMIT - _SWIFT


def _archives() -> None:
    """Bodies that are archives: any bytes, also such as begin an archive."""
    heads = st.sampled_from([b"", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"./" + bytes(98) + b"0000644\0", bytes(1024)])
    for kind in ("application/x-tar", "application/octet-stream"):
        schemathesis.openapi.media_type(kind, st.tuples(heads, st.binary(max_size=2048)).map(b"".join))


def requests(description: str, chance: random.Random, number: int) -> Iterator[Wanted]:
    """Requests without end, round the operations, each a little different from the last."""
    _archives()
    with open(description, encoding="utf-8") as file:
        schema = schemathesis.openapi.from_dict(yaml.safe_load(file))
    operations = [found.ok() for found in schema.get_all_operations()]
    each = max(1, number // len(operations) // 3)
    made = {operation.label: list(_examples(operation, each)) for operation in operations}
    while True:
        chance.shuffle(operations)
        for operation in operations:
            yield chance.choice(made[operation.label])


def _examples(operation: Any, number: int) -> Iterator[Wanted]:
    found: list[Wanted] = []

    @seed(SEED)
    @settings(
        max_examples=number,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE))
    def collect(case: Any) -> None:
        body = None if type(case.body).__name__ == "NotSet" else case.body
        found.append(
            Wanted(case.method.upper(), case.path, dict(case.path_parameters or {}), dict(case.query or {}), body)
        )

    collect()
    yield from found


def run(daemon: Wharfd, description: str) -> Tally:
    """All requests; returns what came back."""
    chance = random.Random(SEED)
    things = Things(daemon, chance)
    tally = Tally(Counter(), {})
    source = requests(description, chance, REQUESTS)
    started = time.monotonic()
    batches(daemon, things, tally, source, WARM_UP)
    things.renew()  # with the image, which the last requests may have removed
    things.clear()
    before = _at_rest(daemon)
    sizes = things.sizes()
    batches(daemon, things, tally, source, REQUESTS)
    things.renew()
    things.clear()
    now = settled(daemon, (before,))
    if now != before:
        tally.problems["the host has changed"] = difference(now, before)
    for name, size in things.sizes().items():
        print(f"{name}: {sizes.get(name)} -> {size}")
        if size > sizes.get(name, size) + (MAX_GROWTH_KB if name.endswith("kB") else 0):
            tally.problems[f"growth of {name}"] = f"{sizes.get(name)} -> {size}"
    print(f"{sum(tally.statuses.values())} requests in {time.monotonic() - started:.0f} s, seed {SEED}")
    return tally


def _at_rest(daemon: Wharfd) -> Footprint:
    """The footprint once it stays the same for a second: what was removed last has ended by then."""
    seen = footprint(daemon)
    for _ in range(30):
        time.sleep(1)
        if (now := footprint(daemon)) == seen:
            return now
        seen = now
    raise RuntimeError("the host does not come to rest")


def batches(daemon: Wharfd, things: Things, tally: Tally, source: Iterator[Wanted], number: int) -> None:
    """So many requests, `TOGETHER` at a time; after each batch the things that ids name are made again."""
    with ThreadPoolExecutor(TOGETHER) as pool:
        for begin in range(0, number, BATCH):
            things.renew()
            asked = [bend(wanted, things.chance, things.ids()) for wanted in islice(source, min(BATCH, number - begin))]
            for wanted, sent in zip(asked, pool.map(lambda one: send(daemon.socket, one), asked), strict=True):
                tally.add(wanted, sent)
            if daemon.process is None or daemon.process.poll() is not None:
                raise RuntimeError(f"the daemon ended: {tally.problems}\n{daemon.log()}")


def main(arguments: list[str]) -> int:
    """`python -m tests.fuzz.api DESCRIPTION`; 1 when there was a problem."""
    if len(arguments) != 1 or not os.path.isfile(arguments[0]):
        print("fuzz: skipped: name Docker's description of its API with API=<file>, as make fuzz API=v1.51.yaml")
        return 0
    with Wharfd("--log-level", "error") as daemon:
        daemon.load_busybox()
        tally = run(daemon, arguments[0])
        with contextlib.suppress(OSError):
            os.makedirs(".cache", exist_ok=True)
            with open(".cache/fuzz-wharfd.log", "w", encoding="utf-8") as file:
                file.write(daemon.log())
    print("answers:", ", ".join(f"{status} x{count}" for status, count in sorted(tally.statuses.items())))
    print(f"slowest: {tally.slowest[0]:.2f} s, {tally.slowest[1]}")
    for where, words in list(tally.problems.items())[:MAX_SHOWN]:
        print(f"PROBLEM {where}\n  {words}")
    print(f"{len(tally.problems)} problems")
    return 1 if tally.problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
