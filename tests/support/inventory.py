"""What a run may leave on the host: everything here is compared before and after, and must be equal.

Run as a command: `python -m tests.support.inventory save FILE`, then `… compare FILE` (exit 1 when something is left).
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

Inventory = dict[str, list[str]]
SHOWN = 40
SETTLE_SECONDS = 10.0
"""Network namespaces die some milliseconds after their last process, and an idle init reaps orphans late."""


def processes() -> set[str]:
    """Processes whose command line speaks of Wharf or of an engine that a test starts."""
    found = set()
    mine = {os.getpid(), os.getppid()}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in mine:
            continue
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z" and any(
            word in line
            for word in ("wharfd", "wharf.launcherd", "wharf.network.netd", "wharf-runtime", "wharf-registry")
        ):
            found.add(f"{entry.name} {line[:120]}")
    return found


def mounts() -> set[str]:
    """Mount points of this mount namespace."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return {f"{line.split()[4]} {line.partition(' - ')[2].split()[0]}" for line in lines}


def network_namespaces() -> set[str]:
    """Named network namespaces."""
    try:
        return set(os.listdir("/run/netns"))
    except FileNotFoundError:
        return set()


def links() -> set[str]:
    """Network interfaces of this network namespace."""
    return set(os.listdir("/sys/class/net"))


def cgroups() -> set[str]:
    """Cgroups that an engine made, in every hierarchy."""
    return {path for path, _, _ in os.walk("/sys/fs/cgroup") if "wharf" in path}


def firewall() -> set[str]:
    """nftables tables of this network namespace."""
    out = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False)
    return set(out.stdout.splitlines())


def files() -> set[str]:
    """Entries in the places where the default instance and the tests put theirs."""
    found = set()
    for place in ("/run", "/var/lib", "/tmp", "/dev/shm"):
        found |= {f"{place}/{name}" for name in os.listdir(place) if "wharf" in name}
    return found


KINDS: dict[str, Callable[[], set[str]]] = {
    "process": processes,
    "mount": mounts,
    "network namespace": network_namespaces,
    "link": links,
    "cgroup": cgroups,
    "nftables table": firewall,
    "file": files,
}


def take() -> Inventory:
    """The host now."""
    return {kind: sorted(look()) for kind, look in KINDS.items()}


def left(before: Inventory, after: Inventory) -> list[str]:
    """One line for each thing that is there after and was not before."""
    return [f"{kind}: {item}" for kind in KINDS for item in sorted(set(after[kind]) - set(before[kind]))]


def settle(before: Inventory) -> list[str]:
    """What is left once things that die by themselves had time to."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while (rest := left(before, take())) and time.monotonic() < deadline:
        time.sleep(0.2)
    return rest


def main(arguments: list[str]) -> int:
    """`save FILE` or `compare FILE`."""
    verb, file = arguments
    if verb == "save":
        Path(file).write_text(json.dumps(take()))
        return 0
    rest = settle(json.loads(Path(file).read_text()))
    print("\n".join(rest[:SHOWN]) if rest else "nothing is left on the host")
    if len(rest) > SHOWN:
        print(f"and {len(rest) - SHOWN} more")
    return 1 if rest else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
