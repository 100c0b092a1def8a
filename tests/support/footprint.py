"""What one daemon of a test has on the host, everything counted: its processes, namespaces, mounts, links, cgroups,
nft elements, and the files beneath its data and exec roots. Ids and digests are one word, so that two footprints of
the same state are equal.

before = footprint(daemon)
…
assert settled(daemon, (before,)) == before
"""

import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.support.wharfd import Wharfd
from wharf.network.names import instance_id

Footprint = Counter[str]
SETTLE_SECONDS = 15.0
"""Trash is emptied, veths die and orphans are reaped in the background."""
_HEX = re.compile(r"[0-9a-f]{64}")
_VOLATILE = ("/wharf.db-wal", "/wharf.db-shm", "/netd.log", "/pid", ".exit")


def processes(daemon: Wharfd) -> list[int]:
    """Pids of the daemon, its helpers and its containers: those in its network namespace and in its cgroups."""
    assert daemon.holder is not None
    namespace = os.readlink(f"/proc/{daemon.holder.pid}/ns/net")
    parent = f"/wharf-{instance_id(daemon.root + '/data')}"
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == daemon.holder.pid:
            continue
        try:
            ours = os.readlink(f"/proc/{entry}/ns/net") == namespace
            if ours or parent in Path(f"/proc/{entry}/cgroup").read_text():
                found.append(int(entry))
        except OSError:
            continue  # ended, or a zombie
    return found


def footprint(daemon: Wharfd) -> Footprint:
    """Everything now, as `kind: thing` with its number."""
    found: Footprint = Counter()
    spaces: set[str] = set()
    for pid in processes(daemon):
        try:
            found[f"process: {Path(f'/proc/{pid}/comm').read_text().strip()}"] += 1
            spaces |= {os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("net", "mnt", "pid", "ipc", "uts", "cgroup")}
        except OSError:
            continue
    found.update(f"namespace: {space.partition(':')[0]}" for space in spaces)
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if daemon.root in line.split()[4]:
            found[f"mount: {_plain(line.split()[4].removeprefix(daemon.root))}"] += 1
    found.update(_network(daemon))
    instance = instance_id(daemon.root + "/data")
    for pattern in (f"wharf-{instance}*", f"*/wharf-{instance}*"):
        for path in Path("/sys/fs/cgroup").glob(pattern):
            found.update(f"cgroup: {_plain(part)}" for part, _, _ in os.walk(path))
    found.update(_files(daemon))
    return found


def _network(daemon: Wharfd) -> Footprint:
    found: Footprint = Counter()
    run = {"capture_output": True, "text": True, "check": False}
    links = subprocess.run([*daemon.enter, "ip", "-o", "link"], **run).stdout  # type: ignore[call-overload]
    for line in links.splitlines():
        name = line.split(": ")[1].partition("@")[0]
        found["link: veth" if "-" in name and not name.startswith("wharf0") else f"link: {name}"] += 1
    rules = subprocess.run([*daemon.enter, "nft", "list", "ruleset"], **run).stdout  # type: ignore[call-overload]
    found["nft elements"] += len(re.findall(r"(?:tcp|udp) \. [^,{}]+? : ", rules))
    found["nft lines"] += len([line for line in rules.splitlines() if "chain" in line or "map" in line])
    return found


def _files(daemon: Wharfd) -> Footprint:
    found: Footprint = Counter()
    for root in ("data", "exec"):
        for directory, names, files in os.walk(f"{daemon.root}/{root}"):
            place = directory.removeprefix(daemon.root)
            deep = place.startswith(("/data/snapshots/", "/data/volumes/")) and place.count("/") >= 5
            if deep:  # the files of images and containers are not the engine's
                names.clear()
                continue
            for name in [*names, *files]:
                path = _plain(f"{place}/{name}")
                if not path.endswith(_VOLATILE) and not path.endswith("/unsynced"):
                    found[f"file: {path}"] += 1
    return found


def _plain(text: str) -> str:
    return _HEX.sub("ID", text)


def settled(
    daemon: Wharfd, allowed: Sequence[Footprint], view: Callable[[Footprint], Footprint] = lambda found: found
) -> Footprint:
    """The footprint (as `view` shows it) as soon as it is one of `allowed`, else what it is when waiting ends."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while (now := view(footprint(daemon))) not in allowed and time.monotonic() < deadline:
        time.sleep(0.05)
    return now


def difference(now: Footprint, then: Footprint) -> str:
    """For a message: what is more (+) and what is less (-) than it was."""
    return "\n".join([f"+ {key} ×{n}" for key, n in (now - then).items()] + [f"- {key} ×{n}" for key, n in
                     (then - now).items()])  # fmt: skip
