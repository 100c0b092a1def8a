"""The OCI runtimes that containers may run through: ours, and what the administrator added by name."""

import contextlib
import os
from typing import Any

from wharf.engine.config import OWN_RUNTIME, RUNTIME_NAME, EngineConfig
from wharf.errors import Invalid

SHIM_NAME = "io.containerd.runc.v2"
"""What Docker's clients may write for its stock runtime."""


def runtime_command(config: EngineConfig, name: str) -> tuple[str, ...]:
    """Path and arguments of a runtime, () for our own; raises Invalid in Docker's words."""
    wanted = RUNTIME_NAME if name in ("", SHIM_NAME) else name
    if wanted in config.runtimes:
        return tuple(config.runtimes[wanted])
    if wanted in (RUNTIME_NAME, OWN_RUNTIME):
        return ()
    raise Invalid(f"unknown or invalid runtime name: {name[:100]}")


def remove_foreign_parents(known: dict[str, str], parent: str) -> None:
    """Remove what other runtimes made below `parent` in hierarchies that our own leaves alone (runc makes cgroups in
    the unified one of a hybrid host too, and a killed monitor cannot have it delete them). Nothing may run any more;
    what holds a process all the same stays."""
    with open("/proc/self/mountinfo") as file:
        fields = [line.split() for line in file]
    for words in fields:
        kind, point = words[words.index("-") + 1], words[4]
        if kind in ("cgroup", "cgroup2") and point not in known.values():
            for directory, _, _ in os.walk(point + parent, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(directory)


def listed_runtimes(config: EngineConfig) -> dict[str, Any]:
    """`Runtimes` of the info document: what can be asked for by name."""
    found: dict[str, Any] = {RUNTIME_NAME: {"path": OWN_RUNTIME}}
    if RUNTIME_NAME in config.runtimes:
        found[OWN_RUNTIME] = {"path": OWN_RUNTIME}
    for name, command in config.runtimes.items():
        found[name] = {"path": command[0], **({"runtimeArgs": list(command[1:])} if command[1:] else {})}
    return dict(sorted(found.items()))
