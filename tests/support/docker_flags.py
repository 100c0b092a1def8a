"""The grammar of docker 28.5 outside Swarm, buildx and compose, as `docker-flags.tsv` has it: commands and their flags.

A row is a command, a tab and its flags: `all,a` is a flag with a short name, `filter,f=` one that takes a value.
`docker` is what stands before a command, `build (legacy)` the build without BuildKit.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("docker-flags.tsv")


@dataclass(frozen=True)
class Flag:
    """Its letter ("" without one), and whether a value follows."""

    short: str
    value: bool


@functools.cache
def docker_flags() -> dict[str, dict[str, Flag]]:
    """command -> its flags by long name."""
    found = {}
    for line in TABLE.read_text().splitlines():
        command, _, flags = line.partition("\t")
        found[command] = dict(map(_flag, flags.split()))
    return found


def _flag(text: str) -> tuple[str, Flag]:
    name, _, short = text.rstrip("=").partition(",")
    return name, Flag(short, text.endswith("="))
